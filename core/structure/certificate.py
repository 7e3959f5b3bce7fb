"""A certificate: what was measured to show that a cut changed nothing, and the verdict that follows from it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.utils._pytree import tree_leaves

from core.errors import BadInput, PlanError
from core.structure.plan import RemovalPlan
from core.structure.surgery import apply
from core.structure.trace import Example, eval_mode

SMALLEST_BATCH = 8
LEAST_SPREAD = 1e-4
TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 5e-2}  # of the delivered network in its own precision
FLOAT32_TOLERANCE = 1e-5
Verdict = Literal["exact", "approximate", "nothing-removed", "inconclusive", "failed"]


class Certificate(BaseModel):
    """Eval mode, float64. With a, b the outputs and s = max |a - mean of a over the batch|, the worst over all batches:

    `max_abs` = max |a-b|; `max_rel` = max |a-b| / s; `spread` = s / max |a|; `float32_max_rel` = max |a-b| / max |a| of
    the delivered network in its own precision (float32 unless it was converted). None: not measured, or not finite.
    `sizes`: height and width of each batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    verdict: Verdict
    max_abs: float | None
    max_rel: float | None
    spread: float | None
    top1_agreement: float | None
    float32_max_rel: float | None
    sizes: list[list[int]]
    inputs: int
    reference: Literal["unmodified", "masked"]


def verify(
    model: nn.Module,
    plan: RemovalPlan,
    example: Example,
    inputs: list[Tensor],
    *,
    compact: nn.Module | None = None,
    reference: nn.Module | None = None,
    tolerance: float = 1e-9,
) -> Certificate:
    """Cut a float64 copy of `model` and compare it with `reference` (default: `model`) on every batch of `inputs`.

    Units of `plan.masked` are silenced in the reference by forward hooks, which use nothing of the graph engine.
    `compact` is the network to deliver; it is compared in its own precision. No network given is changed.
    """
    check_inputs(inputs)
    judged = copy.deepcopy(model if reference is None else reference).double()
    if compact is not None:
        check_precision(compact)
    original = copy.deepcopy(model).double()
    cut = apply(plan, original, as_type(example, torch.float64))
    with masked(judged, plan.masked), eval_mode(judged, cut):
        pairs = [(outputs(judged, x.double()), outputs(cut, x.double())) for x in inputs]
    float32, small = None, torch.float32
    if compact is not None:
        small = next((p for p in compact.parameters() if p.is_floating_point()), torch.zeros(())).dtype
        judged = copy.deepcopy(model if reference is None else reference).to(small)
        with masked(judged, plan.masked), eval_mode(judged, compact):
            float32 = worst(
                difference_of_scale(outputs(judged, x.to(small)), outputs(compact, x.to(small))) for x in inputs
            )
    return certificate_of(
        pairs, inputs, plan.nothing_removed, float32, "masked" if plan.masked else "unmodified",
        approximate=plan.approximate, tolerance=tolerance, own_tolerance=TOLERANCE.get(small, FLOAT32_TOLERANCE),
    )  # fmt: skip


def certificate_of(
    pairs: list[tuple[Tensor, Tensor]],
    inputs: list[Tensor],
    nothing_removed: bool,
    float32: float | None,
    reference: Literal["unmodified", "masked"],
    *,
    approximate: bool = False,
    tolerance: float = 1e-9,
    own_tolerance: float = FLOAT32_TOLERANCE,
) -> Certificate:
    """The certificate of float64 outputs (reference, cut) for every batch of `inputs`.

    `float32`: the difference of the delivered network in its own precision, where it was measured; at most `own_tolerance`.
    """
    max_abs = worst(float((a - b).abs().max()) for a, b in pairs)
    max_rel = worst(float((a - b).abs().max()) / scale(a) if scale(a) else math.inf for a, b in pairs)
    spreads = [scale(a) / float(a.abs().max()) if a.abs().max() > 0 else 0.0 for a, _ in pairs]
    spread = min(spreads) if all(map(math.isfinite, spreads)) else math.nan
    finite = all(bool(torch.isfinite(a).all()) and bool(torch.isfinite(b).all()) for a, b in pairs)
    agree = [(a.argmax(1) == b.argmax(1)).double().mean().item() for a, b in pairs]
    verdict = judge(approximate, finite, max_rel, spread, float32, tolerance, own_tolerance)
    return Certificate(
        verdict="nothing-removed" if nothing_removed and verdict == "exact" else verdict,
        max_abs=finite_or_none(max_abs),
        max_rel=finite_or_none(max_rel),
        spread=finite_or_none(spread),
        top1_agreement=sum(agree) / len(agree),
        float32_max_rel=finite_or_none(float32),
        sizes=[list(x.shape[2:]) for x in inputs],
        inputs=sum(len(x) for x in inputs),
        reference=reference,
    )


def judge(
    approximate: bool,
    finite: bool,
    max_rel: float,
    spread: float,
    float32: float | None,
    tolerance: float,
    own_tolerance: float,
) -> Verdict:
    """Nothing proved, equal, declared unequal, or wrong: in this order."""
    if not finite or not spread >= LEAST_SPREAD:
        return "inconclusive"
    if float32 is not None and not float32 <= own_tolerance:
        return "approximate" if approximate else "failed"
    if max_rel <= tolerance:
        return "exact"
    return "approximate" if approximate else "failed"


@contextmanager
def masked(model: nn.Module, sites: dict[str, list[int]]) -> Iterator[None]:
    """Inside, the named units give zero: a hook on each site's layer; filter shapes are zeroed in the (copied) weight."""
    modules = dict(model.named_modules())
    handles, weights = [], []
    try:
        for site, units in sites.items():
            path, kind = site.rsplit("/", 1)
            module = modules.get(path)
            if module is None:
                raise PlanError(
                    f"masked: {site} is not in the reference network; pass a reference that has it, or none"
                )
            axis = -1 if isinstance(module, nn.Linear) else 1  # filters, and channels of a norm
            if kind == "shape":
                weight: Tensor = module.weight.data
                weights.append((weight, weight.clone()))
                weight.copy_(without_shapes(module, weight, units))
            elif kind == "channel":
                handles.append(module.register_forward_pre_hook(silence_input(torch.tensor(units), axis)))
            else:
                handles.append(module.register_forward_hook(silence(torch.tensor(units), axis)))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for weight, before in weights:
            weight.copy_(before)


def without_shapes(module: nn.Module, weight: Tensor, units: list[int]) -> Tensor:
    """The weight with zeros at these shapes: input * taps + tap, the input counted within its conv group."""
    grid = weight.reshape(*weight.shape[:2], -1).clone()
    taps = grid.shape[2]
    for unit in units:
        if isinstance(module, _ConvTransposeNd):  # (in, out per conv group, taps)
            grid[unit // taps :: len(grid) // module.groups, :, unit % taps] = 0
        else:
            grid[:, unit // taps, unit % taps] = 0
    return grid.view_as(weight)


def silence(units: Tensor, axis: int) -> Any:
    return lambda module, args, output: output.index_fill(axis, units.to(output.device), 0)


def silence_input(units: Tensor, axis: int) -> Any:
    return lambda module, args: (args[0].index_fill(axis, units.to(args[0].device), 0), *args[1:])


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """All outputs of a batch side by side, (N, anything), however deep they are nested; BadInput where no tensor is among them."""
    parts = [part for part in tree_leaves(model(x)) if isinstance(part, Tensor)]
    if not parts:
        raise BadInput(
            f"{type(model).__name__} must answer with tensors, also in dicts, tuples or lists; got none; let forward return them"
        )
    return torch.cat([part.flatten(1) if part.dim() else part.expand(len(x), 1) for part in parts], 1)


def scale(a: Tensor) -> float:
    return float((a - a.mean(0, keepdim=True)).abs().max())


def difference_of_scale(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max())


def worst(values: Iterator[float]) -> float:
    """The largest; NaN if any is NaN."""
    found = list(values)
    return math.nan if any(map(math.isnan, found)) else max(found)


def finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def as_type(example: Example, dtype: torch.dtype) -> Example:
    return tuple(t.to(dtype) for t in example) if isinstance(example, tuple) else example.to(dtype)


def check_inputs(inputs: list[Tensor]) -> None:
    if not inputs:
        raise BadInput("inputs must hold at least one batch; got none; pass real and random images")
    for x in inputs:
        if not x.is_floating_point() or x.dim() < 2 or len(x) < SMALLEST_BATCH:
            raise BadInput(
                f"inputs must be float batches of at least {SMALLEST_BATCH}; got {x.dtype} of shape {tuple(x.shape)}; "
                "pass more images"
            )


def check_precision(compact: nn.Module) -> None:
    kinds = {p.dtype for p in compact.parameters() if p.is_floating_point()}
    if len(kinds) > 1:
        raise BadInput(f"compact must have one precision; got {sorted(map(str, kinds))}; convert it with .float()")
