"""What a table of evidence wants: runs, each with its point, its role beside the method, and how its settings were chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.config import Phase, RunConfig
from core.nested_presets import filters_control, level_control, random_control, student_control
from core.presets import dense_control, scratch_control, shuffled_control

OF_ANY_TRAINING = (
    "name", "epochs", "starts_from", "lr", "lr_schedule", "lr_drops", "lr_floor", "warmup", "weight_decay", "ema",
)  # fmt: skip
METHOD, DENSE, SCRATCH, SHUFFLED, ALONE, RANDOM = (
    "method", "dense control", "scratch control", "random mask", "level alone", "random masks",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A run of a table. `name` is its row's; points and tables share a row by naming it alike.

    `config.source` names another wanted row, whose run it starts from or learns from. `level`: of a control of one level.
    `tried`: settings that were compared before these were chosen; how, the table says.
    """

    name: str
    point: str
    config: RunConfig
    role: str = METHOD
    level: int | None = None
    tried: int = 1


@dataclass(frozen=True)
class Table:
    """Wanted runs, and what they ask. `error`: whether accuracy is told as test error, as the papers do.

    `cost`: what MACs left are counted of, as the papers count them: all layers, or convolutions. `paper`: the paper's point (`core.papers`)
    that stands beside a point; `pairs`: (place, better, than), its points that are set against one another as here a label is against a role.
    `chosen`: how settings were, where several were tried. `differs`: in what the paper's point is another experiment, by point.
    `note`: what one has to know of the settings to compare its points; a sentence.
    """

    name: str
    title: str
    asks: str
    wanted: tuple[Wanted, ...]
    error: bool = True
    cost: Literal["macs", "conv_macs"] = "macs"
    paper: Mapping[str, str] = field(default_factory=dict)
    pairs: Mapping[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)
    chosen: str = "on validation images"
    differs: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def by_name(self) -> dict[str, Wanted]:
        """A run for every row, in order; points that share one have it once."""
        return {wanted.name: wanted for wanted in self.wanted}


def with_controls(
    stem: str,
    point: str,
    config: RunConfig,
    tried: int = 1,
    *,
    dense: str = "",
    scratch: bool = True,
    shuffled: bool = False,
) -> Iterator[Wanted]:
    """The method's run, the dense network equally long, its shape from scratch and a random mask of its shape, of one seed.

    `dense`: the stem of a dense row that several points share.
    """
    own = f"{stem}.{config.seed}"
    yield Wanted(own, point, config, tried=tried)
    yield Wanted(
        f"{dense or stem}.dense.{config.seed}", point, bare(config, dense) if dense else dense_control(config), DENSE
    )
    if scratch:
        yield Wanted(f"{stem}.scratch.{config.seed}", point, scratch_control(config, own), SCRATCH)
    if shuffled:
        yield Wanted(f"{stem}.random.{config.seed}", point, shuffled_control(config, own), SHUFFLED)


def bare(config: RunConfig, name: str) -> RunConfig:
    """The dense control without a trace of what it is the control of, called `name`: the same for all points that train equally long."""
    phases = tuple(
        Phase(method="dense", kinds=(), **{key: getattr(phase, key) for key in OF_ANY_TRAINING}) for phase in config.phases
    )  # fmt: skip
    return config.model_copy(update={"preset": name, "phases": phases, "steering": ()})


def with_level_controls(
    stem: str, point: str, config: RunConfig, tried: int = 1, *, student: bool = False, dense: str = ""
) -> Iterator[Wanted]:
    """A nested run and what its levels are compared with, of one seed: every level alone (the dense network is the full one alone),
    random masks or L1-norm filters, and a student of the core's shape. `dense`: the stem of a dense row that several tables share."""
    seed, levels = config.seed, config.phases[-1].levels
    whole = f"{dense or stem}.dense.{seed}"
    yield Wanted(f"{stem}.{seed}", point, config, tried=tried)
    yield Wanted(whole, point, bare(config, dense) if dense else dense_control(config), DENSE, len(levels) - 1)
    for level in range(len(levels) - 1):
        yield Wanted(f"{stem}.alone{level}.{seed}", point, level_control(config, level), ALONE, level)
    if levels[0].is_masked:
        yield Wanted(f"{stem}.random.{seed}", point, random_control(config), RANDOM)
    elif levels[0].depth == 1 and levels[0].width < 1 and not levels[0].labels:
        yield Wanted(f"{stem}.filters.{seed}", point, filters_control(config, 0), "L1-norm filters", 0)
    if student:
        taught = student_control(config, 0, whole)
        yield Wanted(f"{stem}.student.{seed}", point, taught, "student", 0)
