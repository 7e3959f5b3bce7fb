"""What a table of evidence wants: runs, each with its point, its role beside the method, and how its settings were chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.config import RunConfig
from core.nested_presets import filters_control, level_control, random_control, student_control
from core.presets import dense_control, scratch_control

METHOD, DENSE, SCRATCH = "method", "dense control", "scratch control"


@dataclass(frozen=True)
class Wanted:
    """A run of a table. `name` is its row's; tables share a row by naming it alike.

    `config.source` names another wanted row, whose run it starts from or learns from. `level`: of a control of one level.
    `tried`: settings that were compared, on validation images, before these were chosen.
    """

    name: str
    point: str
    config: RunConfig
    role: str = METHOD
    level: int | None = None
    tried: int = 1


@dataclass(frozen=True)
class Table:
    """Wanted runs, and what they ask. `error`: whether accuracy is told as test error, as the papers do."""

    name: str
    title: str
    asks: str
    wanted: tuple[Wanted, ...]
    error: bool = True


def with_controls(
    stem: str, point: str, config: RunConfig, tried: int = 1, *, scratch: bool = True
) -> Iterator[Wanted]:
    """The method's run, the dense network equally long, and its shape from scratch, of one seed."""
    own = f"{stem}.{config.seed}"
    yield Wanted(own, point, config, tried=tried)
    yield Wanted(f"{stem}.dense.{config.seed}", point, dense_control(config), DENSE)
    if scratch:
        yield Wanted(f"{stem}.scratch.{config.seed}", point, scratch_control(config, own), SCRATCH)


def with_level_controls(stem: str, point: str, config: RunConfig, student: bool = False) -> Iterator[Wanted]:
    """A nested run and what its levels are compared with, of one seed: every level alone (the dense network is the full one alone),
    random masks or L1-norm filters, and a student of the core's shape."""
    seed, levels = config.seed, config.phases[-1].levels
    yield Wanted(f"{stem}.{seed}", point, config)
    yield Wanted(f"{stem}.dense.{seed}", point, dense_control(config), DENSE, len(levels) - 1)
    for level in range(len(levels) - 1):
        yield Wanted(f"{stem}.alone{level}.{seed}", point, level_control(config, level), "level alone", level)
    if levels[0].is_masked:
        yield Wanted(f"{stem}.random.{seed}", point, random_control(config), "random masks")
    elif levels[0].depth == 1 and levels[0].width < 1 and not levels[0].labels:
        yield Wanted(f"{stem}.filters.{seed}", point, filters_control(config, 0), "L1-norm filters", 0)
    if student:
        taught = student_control(config, 0, f"{stem}.dense.{seed}")
        yield Wanted(f"{stem}.student.{seed}", point, taught, "student", 0)


def of_seeds(config: RunConfig, seeds: tuple[int, ...]) -> Iterator[RunConfig]:
    """The settings with each seed."""
    yield from (config.model_copy(update={"seed": seed}) for seed in seeds)
