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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.errors import one_of
from core.overlaps import COLUMNS, nests

KINDS = ("weight", "kernel2d", "shape", "filter", "channel", "layer")  # small groups before those that hold them
TINY = 1e-30


@dataclass(frozen=True)
class Groups:
    """The groups of one kind in one weight, whose first dimension falls into `conv_groups` parts."""

    site: str
    kind: str
    weight: nn.Parameter
    conv_groups: int = 1
    multiplier: float = 1.0

    @property
    def total(self) -> int:
        return self.norms().numel()

    @property
    def size(self) -> int:
        """Weights in a group."""
        return self.weight.numel() // self.total

    def norms(self) -> Tensor:
        """||w_g||_2 of every group, (total,), units in order: a shape is input x taps + tap, conv groups one after another."""
        grid = grid_of(self.weight.detach(), self.conv_groups)
        found = squares(grid.values.square(), self.kind, grid.taps).sqrt()
        return (found.transpose(2, 3) if grid.taps == 2 else found).flatten()


class Grid(NamedTuple):
    """A weight as (conv groups, filters, ., .), sharing its memory: inputs and taps in the order in which they lie there."""

    values: Tensor
    taps: int  # the dimension of the taps: 3, or 2 where the weight is stored channels-last


def grid_of(weight: Tensor, conv_groups: int) -> Grid:
    """Rows are contiguous either way, so that sums over filters and over shapes run at the speed of memory."""
    last = weight.ndim in (4, 5) and not weight.is_contiguous()
    if last:  # channels-last: (N, taps..., C)
        weight = weight.movedim(1, -1)
    inputs = weight.shape[-1] if last else weight.shape[1]
    shape = (conv_groups, weight.shape[0] // conv_groups, *((-1, inputs) if last else (inputs, -1)))
    return Grid(weight.view(shape), 2 if last else 3)


def squares(squared: Tensor, kind: str, taps: int) -> Tensor:
    """The sum over each group of a grid of squares, other dimensions 1."""
    if kind == "weight":
        return squared
    if kind == "kernel2d":
        return squared.sum(taps, keepdim=True)
    if kind == "filter":
        return squared.flatten(2).sum(2)[..., None, None]
    if kind == "layer":
        return squared.sum().view(1, 1, 1, 1)
    columns = squared.sum(1, keepdim=True)
    return columns if kind == "shape" else columns.sum(taps, keepdim=True)


def groups_of(path: str, layer: nn.Module, kind: str, multiplier: float = 1.0) -> Groups | None:
    """The groups of `kind` in a convolution or linear layer; None where the layer has none of that kind."""
    if kind not in KINDS:
        raise one_of("kind of group", kind, KINDS)
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    linear = isinstance(layer, nn.Linear)
    if linear and kind == "kernel2d":
        return None
    name = "neuron" if linear and kind == "filter" else kind
    return Groups(f"{path}/{name}", kind, weight, int(getattr(layer, "groups", 1)), multiplier)


def penalty(groups: Iterable[Groups], strengths: Mapping[str, float]) -> Tensor:
    """The sum over groups of strength x multiplier x norm: what the solvers minimise beside the loss. A float64 scalar."""
    total = torch.zeros((), dtype=torch.float64)
    for g in groups:
        total += strengths[g.kind] * g.multiplier * float(g.norms().double().sum())
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
        grid = grid_of(weight.detach(), own[0].conv_groups)
        squared = grid.values.square()
        factor: Tensor | None = None
        for g, amount in amounts:
            norms = squares(squared, g.kind, grid.taps).sqrt()
            one = torch.where(norms > 0, amount / norms.clamp_min(TINY), 0.0)
            factor = one if factor is None else factor + one
        assert factor is not None
        if weight.grad.stride() != weight.stride():
            weight.grad = weight.grad.clone(memory_format=torch.preserve_format).as_strided_(
                weight.shape, weight.stride()
            )
        grid_of(weight.grad, own[0].conv_groups).values.addcmul_(grid.values, factor)


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
        grid = grid_of(weight.detach(), own[0].conv_groups)
        if splitting == "dykstra" and not nests([g.kind for g, _ in amounts]):
            dykstra_(grid, amounts, passes)
        else:
            shrink_(grid, amounts)


def shrink_(grid: Grid, amounts: list[tuple[Groups, float]]) -> None:
    """w_g max(0, 1 - amount / ||w_g||) for one kind after the other, in place; groups within `amount` become exact 0."""
    squared = grid.values.square()
    for i, (groups, amount) in enumerate(amounts):
        norms = squares(squared, groups.kind, grid.taps).sqrt()
        factor = torch.where(norms > amount, 1 - amount / norms.clamp_min(TINY), 0.0)
        grid.values.mul_(factor)
        if i + 1 < len(amounts):
            squared.mul_(factor.square())


def dykstra_(grid: Grid, amounts: list[tuple[Groups, float]], passes: int) -> None:
    """The proximal map of rows + columns, in place: to and fro, each side with the correction of its last turn."""
    sides = [[a for a in amounts if (a[0].kind in COLUMNS) == columns] for columns in (False, True)]
    corrections = [torch.zeros_like(grid.values) for _ in sides]
    for _ in range(passes):
        for side, correction in zip(sides, corrections, strict=True):
            grid.values.add_(correction)
            correction.copy_(grid.values)
            shrink_(grid, side)
            correction.sub_(grid.values)


def by_weight(groups: Iterable[Groups]) -> list[tuple[nn.Parameter, list[Groups]]]:
    """Groups by the weight that they are in, small groups before those that may hold them."""
    found: dict[int, tuple[nn.Parameter, list[Groups]]] = {}
    for g in groups:
        found.setdefault(id(g.weight), (g.weight, []))[1].append(g)
    return [(weight, sorted(own, key=lambda g: KINDS.index(g.kind))) for weight, own in found.values()]


@torch.no_grad()
def cut_small_(parameters: Iterable[Tensor], below: float) -> None:
    """Every element of at most `below` in size becomes 0, in place: the paper's cut after each update (1e-4)."""
    for parameter in parameters:
        torch.hardshrink(parameter.detach(), below, out=parameter.detach())
