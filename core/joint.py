"""Joint groups: a filter together with what falls with it, under one norm.

Beside a filter's own weights its group may hold scale and shift of the norm behind it, and the weights of later layers that
read it (Wen et al., NIPS 2016, equation 2, penalise the two sides one by one; DepGraph, Fang et al., CVPR 2023, arXiv
2301.12900, groups them). All parts reach zero in the same step, and stay there: each part's gradient is a multiple of the
others. Penalised one by one, the side with the smaller weights dies first and its scale escapes into the other; a layer in
front of a batch norm, whose scale the loss does not feel, comes back from zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.lasso import TINY


@dataclass(frozen=True)
class Part:
    """What a parameter gives to the groups: unit u has row u (`dim` 0), or `span` columns from `start` + u x span on (`dim` 1)."""

    parameter: nn.Parameter
    dim: int = 0
    start: int = 0
    span: int = 1

    def of(self, tensor: Tensor, total: int) -> Tensor:
        """`tensor`, shaped like the parameter, as (total, ...), sharing its memory."""
        if self.dim == 0:
            return tensor if total == len(tensor) else tensor.unsqueeze(0)
        return tensor.narrow(1, self.start, total * self.span).unflatten(1, (total, self.span)).movedim(1, 0)


@dataclass(frozen=True)
class JointGroups:
    """`total` groups of one kind (filter, or layer: then one), each with a piece of every part."""

    site: str
    kind: str
    total: int
    parts: tuple[Part, ...]
    multiplier: float = 1.0

    @property
    def size(self) -> int:
        """Weights in a group."""
        return sum(part.of(part.parameter, self.total).numel() for part in self.parts) // self.total

    def norms(self) -> Tensor:
        """||w_g||_2 of every group, all its parts together, (total,)."""
        pieces = (part.of(part.parameter.detach(), self.total) for part in self.parts)
        return torch.stack([piece.flatten(1).square().sum(1) for piece in map(rows, pieces)]).sum(0).sqrt()


def rows(piece: Tensor) -> Tensor:
    """At least two dimensions."""
    return piece if piece.ndim > 1 else piece.unsqueeze(1)


def along(factor: Tensor, piece: Tensor) -> Tensor:
    """One number a unit, in the shape that multiplies `piece`."""
    return factor.view(-1, *[1] * (piece.ndim - 1))


@torch.no_grad()
def threshold_(groups: Iterable[JointGroups], strengths: Mapping[str, float], step: float) -> None:
    """w_g <- w_g max(0, 1 - step strength / ||w_g||), in place: the exact proximal map of each site's groups.

    A weight in the groups of two sites (a column of one, a row of the other) is thresholded in turn: a splitting step.
    """
    for g in groups:
        amount = step * strengths[g.kind] * g.multiplier
        if amount > 0:
            norms = g.norms()
            factor = torch.where(norms > amount, 1 - amount / norms.clamp_min(TINY), 0.0)
            for part in g.parts:
                piece = part.of(part.parameter.detach(), g.total)
                piece.mul_(along(factor, piece))


@torch.no_grad()
def add_subgradient_(groups: Iterable[JointGroups], strengths: Mapping[str, float]) -> None:
    """grad += lambda w / ||w_g||, 0 where the norm is 0, in place. A parameter without a gradient is left alone."""
    for g in groups:
        amount = strengths[g.kind] * g.multiplier
        if amount > 0:
            norms = g.norms()
            factor = torch.where(norms > 0, amount / norms.clamp_min(TINY), 0.0)
            for part in g.parts:
                if part.parameter.grad is not None:
                    piece = part.of(part.parameter.detach(), g.total)
                    part.of(part.parameter.grad, g.total).addcmul_(piece, along(factor, piece))
