"""The knife for any network: what could go, what is aimed at, the cut, its proof and its price.

A cut of exact zeros changes nothing; a chosen one (a target or a threshold) is proved against the network with the chosen
units masked, which says that the removal is right, not that it is free: the accuracy before and after says that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core import latency
from core.cut import Cut, accuracy, without_zeros
from core.data.dataset import Dataset
from core.errors import BadInput, one_of
from core.networks.factors import fold
from core.structure import (
    Explanation,
    RemovalPlan,
    apply,
    cost,
    explain,
    plan_target,
    plan_threshold,
    sparsity,
)
from core.structure.importance import by_l1
from core.structure.layers import weight_by_input, weight_in
from core.structure.trace import Example

QUARTILES = torch.tensor((0, 0.25, 0.5, 0.75, 1), dtype=torch.float64)
TARGETS = {
    "macs": "the fraction of the MACs that may remain",
    "params": "the fraction of the parameters that may remain",
    "ms": "the milliseconds that one pass may take",
}


@dataclass(frozen=True)
class Aim:
    """What a cut is for: a plan made before, a target, a threshold on importance, or (all None) exact zeros only."""

    plan: RemovalPlan | None = None
    target: dict[str, float] | None = None
    threshold: float | None = None
    importance: str = "l1"

    @property
    def chosen(self) -> bool:
        """Whether more than exact zeros may go."""
        return not (self.plan is None and self.target is None and self.threshold is None)


def parse_target(text: str) -> dict[str, float]:
    """`macs=0.5` as {"macs": 0.5}; fractions in 0-1, milliseconds above 0."""
    key, _, number = text.partition("=")
    if key not in TARGETS:
        raise one_of("--target", text, [f"{name}=NUMBER" for name in TARGETS])
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 < value < (math.inf if key == "ms" else 1):
        rule = "above 0" if key == "ms" else "between 0 and 1"
        raise BadInput(f"--target {key} must be a number {rule}, {TARGETS[key]}; got {number!r}; for example {key}=0.5")
    return {key: value}


def plain(network: nn.Module) -> nn.Module:
    """A copy in float32 eval mode on the CPU, with every factor multiplied in: what is looked at and cut."""
    return fold(network).cpu().float().eval()


def looked_at(network: nn.Module, example: Tensor) -> dict[str, Any]:
    """What could go, what cannot and why, and what the network costs; keyed as `inspect --json` prints it."""
    model = plain(network)
    found = explain(model, example)
    whole = cost(model, example)
    macs = {layer.path: layer.macs for layer in whole.layers}
    return {
        "layers": [row | {"macs": macs.get(row["layer"], 0)} for row in _layers(model, found)],
        "units": found.units,
        "refilled": [refilled.model_dump() for refilled in found.refilled],
        "removable": found.removable,
        "macs": whole.macs,
        "macs_per_image": whole.macs_per_image,
        "params": whole.params,
        "uncounted": whole.uncounted,
    }


def _layers(model: nn.Module, found: Explanation) -> list[dict[str, Any]]:
    """One row a layer: zeros among its weights, its units by verdict, and how many of them would leave.

    `importance`: least, quartiles and most of its filters' l1 norms, over their mean.
    """
    rows = []
    for row in sparsity(model):
        sizes = by_l1(weight_by_input(module := model.get_submodule(row.path), weight_in(module)).double(), None)
        spread = torch.quantile(sizes / sizes.mean().clamp(min=torch.finfo(sizes.dtype).tiny), QUARTILES).tolist()
        units = next((found.sites[s] for s in (f"{row.path}/filter", f"{row.path}/neuron") if s in found.sites), [])
        said = [unit.verdict for unit in units]
        gone = sum(len(found.plan.removed.get(f"{row.path}/{kind}", ())) for kind in ("filter", "neuron"))
        rows.append(
            {"layer": row.path, **row.model_dump(exclude={"path"}), "units": {name: said.count(name) for name in found.units},
             "unread": sum(unit.verdict == "alive" and not unit.read for unit in units), "leave": gone, "importance": spread}
        )  # fmt: skip
    return rows


def timed(done: Cut, example: Tensor, batch: int) -> dict[str, Any]:
    """Dense against compact for a batch of noise of the example's shape, on this machine: a `latency.Speed` as JSON."""
    noise = torch.randn(batch, *example.shape[1:], generator=torch.Generator().manual_seed(0))
    speed = latency.measure(
        done.plain, done.compact, noise, done.promised, budget_s=2.0, layer_macs=done.layer_macs, sources=done.sources
    )
    return speed.model_dump(mode="json")


def one_input(done: Cut, example: Tensor) -> dict[str, float]:
    """Median milliseconds of one pass of `example`, {dense, compact}: what a target of milliseconds is about."""
    return {"dense": _milliseconds(done.plain, example), "compact": _milliseconds(done.compact, example)}


def cut_towards(network: nn.Module, example: Tensor, aim: Aim, source: str) -> Cut:
    """`network` without what `aim` says; the network given is left untouched."""
    if not aim.chosen:
        return without_zeros(network, example, source)
    model = plain(network)
    plan = aim.plan or _planned(model, example, aim, source)
    compact = apply(plan, model, example).eval()
    return Cut(model, plan, compact, cost(model, example), cost(compact, example))


def _planned(model: nn.Module, example: Tensor, aim: Aim, source: str) -> RemovalPlan:
    if aim.target is not None:
        return plan_target(model, example, aim.target, importance=aim.importance, clock=_milliseconds, source=source)
    assert aim.threshold is not None
    return plan_threshold(model, example, aim.threshold, importance=aim.importance, source=source)


def _milliseconds(network: nn.Module, example: Example) -> float:
    return latency.milliseconds(network, example[0] if isinstance(example, tuple) else example)


def accuracies(trained: nn.Module, compact: nn.Module, dataset: Dataset, what: str) -> dict[str, float]:
    """Fractions of right answers on the test images, {dense, compact}, asked once where both are one network.

    Messages call the network `what`.
    """
    with torch.inference_mode():
        answers = trained(torch.zeros(2, *dataset.shape))
    if not isinstance(answers, Tensor) or answers.shape != (2, dataset.num_classes):
        got = (
            f"answers of shape {tuple(answers.shape)}" if isinstance(answers, Tensor) else f"a {type(answers).__name__}"
        )
        raise BadInput(
            f"--dataset must have as many classes as {what} tells apart; got {dataset.name} with {dataset.num_classes} and, for "
            f"two images, {got}; choose another data set, or leave it out"
        )
    dense = accuracy(trained, dataset, "test")
    return {"dense": dense, "compact": dense if compact is trained else accuracy(compact, dataset, "test")}
