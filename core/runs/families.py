"""Families: several seeds of one experiment, its controls, and sweeps over strengths. Their runs are ordinary runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from core.config import Kind, RunConfig, checked
from core.errors import BadInput
from core.nested_presets import nested_controls
from core.presets import dense_control, scratch_control
from core.runs.control import LEARNING, submit
from core.runs.store import Store
from core.runs.tables import Run

Queue = Callable[..., str]  # makes a run: (store, config, **kin) -> its name


def experiment(
    store: Store,
    config: RunConfig,
    seeds: Sequence[int],
    controls: bool,
    family: str | None = None,
    queue: Queue = submit,
) -> Iterator[str]:
    """A run for every seed, with both controls where asked: dense equally long, and its shape from scratch.

    `queue` makes a run of settings: `submit` for the background. Each is made when its name is asked for.
    """
    for seed in seeds:
        own = checked(config.model_dump(mode="json") | {"seed": seed})
        if controls and own.phases[-1].method == "nested":
            nested_controls(own)  # says what cannot be trained before anything is
        name = queue(store, own, family=family)
        family = family or name
        yield name
        if controls:
            yield from controls_of(store, own, name, family, queue)


def controls_of(
    store: Store, config: RunConfig, run: str, family: str, queue: Queue = submit, *, dense: bool = True
) -> Iterator[str]:
    """The two controls of a run (without `dense` the second alone); the shape from scratch waits until the run is over.

    Of a nested run: the dense network, which is the full level alone, and `nested_controls`; a student waits for its teacher.
    """
    kin = {"family": family, "parent": run}
    teacher = queue(store, dense_control(config), role="dense control", **kin) if dense else ""
    if teacher:
        yield teacher
    if config.phases[-1].method == "nested":
        for role, control in nested_controls(config, teacher):
            yield queue(store, control, role=role, **kin)
        return
    yield queue(store, scratch_control(config, run), role="scratch control", **kin)


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

    `controls`: the dense control once a seed, as it knows no strength; the shape from scratch of every run.
    `warm`: each starts from the weights of the one before it on the path (its first phase only).
    """
    names: list[str] = []
    family: str | None = None
    for seed in seeds or (config.seed,):
        before = ""
        for factor in sorted(factors):
            own = checked(scaled(config, factor).model_dump(mode="json") | {"seed": seed})
            if warm and before:
                first = own.phases[0].model_copy(update={"starts_from": "source"})
                own = own.model_copy(update={"phases": (first, *own.phases[1:]), "source": before})
            name = submit(store, own, family=family)
            family = family or name
            names += [name, *(controls_of(store, own, name, family, dense=not before) if controls else ())]
            before = name
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


def strengths_of(config: Mapping[str, Any]) -> dict[str, float]:
    """The strength of each kind that the first learning phase of a run's settings drives; none where nothing is learned."""
    for phase in config["phases"]:
        if phase["method"] in LEARNING:
            return {kind: phase[f"strength_{kind}"] for kind in phase["kinds"] if phase[f"strength_{kind}"]}
    return {}


def macs_left(run: Run) -> float:
    """The fraction of the MACs per image that a finished run leaves. BadInput where it did not finish."""
    if not run.result:
        raise BadInput(
            f"run {run.id} must finish to be part of a search; it is {run.state}: {run.error or 'no result'}"
        )
    macs: dict[str, Any] = run.result["macs_per_image"]
    return float(macs["compact"] / macs["dense"])


def numbers(text: str, option: str) -> list[float]:
    """Positive numbers between commas; BadInput in one sentence."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found or not all(0 < value < 1e6 for value in found):
        raise BadInput(f"{option} must be positive numbers with commas; got {text!r}; for example 0.5,1,2")
    return found


def whole_numbers(text: str | None, option: str) -> list[int]:
    """Whole numbers between commas, none of nothing; BadInput in one sentence."""
    if not (text or "").strip():
        return []
    parts = [part.strip() for part in str(text).split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and part.isascii() for part in parts):
        raise BadInput(f"{option} must be whole numbers with commas; got {text!r}; for example 0,1,2")
    found = [int(part) for part in parts]
    if len(set(found)) < len(found):
        raise BadInput(f"{option} must be different numbers; got {text!r}; the same one again tells nothing new")
    return found
