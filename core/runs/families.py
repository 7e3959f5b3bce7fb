"""Families: several seeds of one experiment, its controls, and sweeps over strengths. Their runs are ordinary runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from core.config import Kind, RunConfig
from core.errors import BadInput
from core.presets import dense_control, scratch_control
from core.runs.control import submit
from core.runs.store import Run, Store

LEARNING = ("sss", "ssl", "slimming", "l1")


def experiment(
    store: Store, config: RunConfig, seeds: Sequence[int], controls: bool, family: str | None = None
) -> list[str]:
    """Queue a run for every seed, with both controls where asked: dense equally long, and its shape from scratch."""
    names: list[str] = []
    for seed in seeds:
        own = config.model_copy(update={"seed": seed})
        names.append(submit(store, own, family=family))
        family = family or names[0]
        if controls:
            names += controls_of(store, own, names[-1], family)
    return names


def controls_of(store: Store, config: RunConfig, run: str, family: str) -> list[str]:
    """Queue the two controls of a run; the shape from scratch waits until the run is over."""
    kin = {"family": family, "parent": run}
    return [
        submit(store, dense_control(config), role="dense control", **kin),
        submit(store, scratch_control(config, run), role="scratch control", **kin),
    ]


def scaled(config: RunConfig, factor: float) -> RunConfig:
    """The settings with every strength times `factor`. BadInput where no phase learns anything."""
    if not any(phase.method in LEARNING for phase in config.phases):
        raise BadInput(
            f"a sweep must have a phase that learns structure; {config.preset} has none; take another preset"
        )
    phases = []
    for phase in config.phases:
        strengths = {f"strength_{kind}": min(10.0, factor * phase.strength(kind)) for kind in get_args(Kind)}
        phases.append(phase.model_copy(update=strengths) if phase.method in LEARNING else phase)
    return config.model_copy(update={"phases": tuple(phases)})


def sweep(
    store: Store,
    config: RunConfig,
    factors: Sequence[float],
    *,
    seeds: Sequence[int] = (),
    controls: bool = False,
    warm: bool = False,
) -> list[str]:
    """Queue a run for every factor on the strengths, smallest first, and every seed (default: the config's).

    `warm`: each starts from the weights of the one before it on the path (its first phase only).
    """
    names: list[str] = []
    family: str | None = None
    for seed in seeds or (config.seed,):
        before = ""
        for factor in sorted(factors):
            own = scaled(config, factor).model_copy(update={"seed": seed})
            if warm and before:
                first = own.phases[0].model_copy(update={"starts_from": "source"})
                own = own.model_copy(update={"phases": (first, *own.phases[1:]), "source": before})
            made = experiment(store, own, (seed,), controls, family)
            family, before = family or made[0], made[0]
            names += made
    return names


def search(
    start: Callable[[float], Run], left: Callable[[Run], float], wanted: float, *, most: int = 6, near: float = 0.02
) -> Iterator[tuple[float, Run]]:
    """Runs at factors on the strengths, bisecting their logarithm, until one leaves `wanted` (at most, within `near`).

    `start(factor)` trains to the end; `left(run)` is what it leaves, 0-1. Yields (factor, run) as they end, at most `most`.
    """
    low, high, factor = None, None, 1.0
    for _ in range(most):
        run = start(factor)
        yield factor, run
        share = left(run)
        if wanted - near <= share <= wanted:
            return
        if share > wanted:
            low = factor
        else:
            high = factor
        factor = math.sqrt(low * high) if low and high else factor * (2.5 if share > wanted else 0.4)


def macs_left(run: Run) -> float:
    """The fraction of the MACs per image that a finished run leaves. BadInput where it did not finish."""
    if not run.result:
        raise BadInput(
            f"run {run.id} must finish to be part of a search; it is {run.state}: {run.error or 'no result'}"
        )
    macs: dict[str, Any] = run.result["macs_per_image"]
    return float(macs["compact"] / macs["dense"])
