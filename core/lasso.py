"""Group lasso over the weights of a network: groups by name, their norms, the subgradient and the exact threshold.

R_g(w) = sum over groups g of ||w_g||_2 (Wen et al., NIPS 2016, equation 1), without a factor for the size of a group
unless asked. With t = lr lambda / (1 - mu), mu the momentum of the optimizer, `threshold_` is the proximal map
w_g <- w_g max(0, 1 - t / ||w_g||): behind momentum this threshold, not lr lambda, has the optimum as its fixed point.

    filter   W[n, :, :, :]   a row of the GEMM matrix; of a linear layer a neuron's incoming weights
    channel  W[:, c, :, :]   an input; of a linear layer a neuron's (or a pixel's) outgoing weights
    shape    W[:, c, m, k]   a column of the GEMM matrix
    kernel2d W[n, c, :, :]   a two-dimensional filter
    layer    W               a whole layer
    weight   W[n, c, m, k]   a single weight: the l1 norm, structure unlearned
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import one_of

KINDS = ("weight", "kernel2d", "shape", "filter", "channel", "layer")  # small groups before those that hold them
COLUMNS = ("shape", "channel")
TINY = 1e-30


@dataclass(frozen=True)
class Groups:
    """The groups of one kind in one weight. `view`: its shape with conv groups apart; a group spans the dims `spans`."""

    site: str
    kind: str
    weight: nn.Parameter
    view: tuple[int, ...]
    spans: tuple[int, ...]
    multiplier: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """One number a group, other dims 1."""
        return tuple(1 if dim in self.spans else n for dim, n in enumerate(self.view))

    @property
    def total(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Weights in a group."""
        return self.weight.numel() // self.total

    def norms(self, weight: Tensor | None = None) -> Tensor:
        """||w_g||_2 of every group, of shape `shape`; of `weight`, if given, instead of the parameter."""
        weight = (self.weight.detach() if weight is None else weight).view(self.view)
        if not self.spans:
            return weight.abs()
        return torch.linalg.vector_norm(weight, dim=self.spans, keepdim=True)


def groups_of(path: str, layer: nn.Module, kind: str, multiplier: float = 1.0) -> Groups | None:
    """The groups of `kind` in a convolution or linear layer; None where the layer has none of that kind."""
    if kind not in KINDS:
        raise one_of("kind of group", kind, KINDS)
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    linear = isinstance(layer, nn.Linear)
    if linear and kind == "kernel2d":
        return None
    conv_groups = 1 if linear else int(getattr(layer, "groups", 1))
    view = (conv_groups, weight.shape[0] // conv_groups, *weight.shape[1:])
    taps = tuple(range(3, len(view)))
    spans = {
        "weight": (),
        "kernel2d": taps,
        "shape": (1,),
        "filter": (2, *taps),
        "channel": (1, *taps),
        "layer": tuple(range(len(view))),
    }[kind]
    name = "neuron" if linear and kind == "filter" else kind
    return Groups(f"{path}/{name}", kind, weight, view, spans, multiplier)


def penalty(groups: Iterable[Groups], strengths: Mapping[str, float]) -> Tensor:
    """The sum over groups of strength x multiplier x norm: what the solvers minimise beside the loss. A float64 scalar."""
    total = torch.zeros((), dtype=torch.float64)
    for g in groups:
        total += strengths[g.kind] * g.multiplier * float(g.norms(g.weight.detach().double()).sum())
    return total


@torch.no_grad()
def add_subgradient_(groups: Iterable[Groups], strengths: Mapping[str, float]) -> None:
    """grad += lambda w / ||w_g||, 0 where the norm is 0, in place (Wen et al., their released solver).

    A weight without a gradient is left alone. All kinds of one weight are added at once.
    """
    for weight, own in by_weight(groups):
        amounts = [(g, strengths[g.kind] * g.multiplier) for g in own if strengths[g.kind] and g.multiplier]
        if weight.grad is None or not amounts:
            continue
        factor: Tensor | None = None
        for g, amount in amounts:
            norms = g.norms()
            one = torch.where(norms > 0, amount / norms.clamp_min(TINY), 0.0)
            factor = one if factor is None else factor + one
        assert factor is not None
        view = own[0].view
        weight.grad.view(view).addcmul_(weight.view(view), factor)


@torch.no_grad()
def threshold_(
    groups: Iterable[Groups],
    strengths: Mapping[str, float],
    step: float,
    *,
    splitting: str = "sequential",
    passes: int = 1,
) -> None:
    """The proximal map of `step` x the penalty, in place. Exact where the kinds of a weight nest like a tree (`nests`).

    Where rows meet columns there is no closed form. `sequential`: one map after the other, a splitting step.
    `dykstra`: `passes` rounds of Dykstra's scheme for two proximal maps (Bauschke & Combettes, 2008), exact in the limit.
    """
    for weight, own in by_weight(groups):
        amounts = [(g, step * strengths[g.kind] * g.multiplier) for g in own]
        amounts = [(g, amount) for g, amount in amounts if amount > 0]
        if not amounts:
            continue
        if splitting == "dykstra" and not nests([g.kind for g, _ in amounts]):
            weight.copy_(dykstra(weight.detach().clone(), amounts, passes))
            continue
        for g, amount in amounts:
            shrink_(weight.view(g.view), g, amount)


def shrink_(weight: Tensor, groups: Groups, amount: float) -> Tensor:
    """w_g max(0, 1 - amount / ||w_g||) in place, `weight` viewed as `groups.view`; groups within `amount` become exact 0."""
    norms = groups.norms(weight)
    return weight.mul_(torch.where(norms > amount, 1 - amount / norms.clamp_min(TINY), 0.0))


def dykstra(weight: Tensor, amounts: list[tuple[Groups, float]], passes: int) -> Tensor:
    """The proximal map of rows + columns: `weight` projected to and fro, each side with the correction of its last turn."""
    view = amounts[0][0].view
    sides = [[a for a in amounts if (a[0].kind in COLUMNS) == columns] for columns in (False, True)]
    corrections = [torch.zeros_like(weight) for _ in sides]
    for _ in range(passes):
        for side, correction in zip(sides, corrections, strict=True):
            before = weight + correction
            weight = before.clone()
            for groups, amount in side:
                shrink_(weight.view(view), groups, amount)
            correction.copy_(before - weight)
    return weight


def nests(kinds: Iterable[str]) -> bool:
    """Whether these kinds form a tree in one weight: then small groups first is the exact proximal map."""
    present = set(kinds) - {"weight", "layer"}
    rows, columns = present & {"filter"}, present & set(COLUMNS)
    return not (rows and columns) and not ("kernel2d" in present and "shape" in present)


def by_weight(groups: Iterable[Groups]) -> list[tuple[nn.Parameter, list[Groups]]]:
    """Groups by the weight that they are in, small groups before those that may hold them."""
    found: dict[int, tuple[nn.Parameter, list[Groups]]] = {}
    for g in groups:
        found.setdefault(id(g.weight), (g.weight, []))[1].append(g)
    return [(weight, sorted(own, key=lambda g: KINDS.index(g.kind))) for weight, own in found.values()]


@torch.no_grad()
def cut_small_(parameters: Iterable[Tensor], below: float) -> None:
    """Every element smaller than `below` in size becomes 0, in place: the paper's cut after each update (1e-4)."""
    for parameter in parameters:
        parameter.masked_fill_(parameter.abs() < below, 0.0)
