"""How a level's parameter is a part of the full network's: a piece of it, or the whole behind a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.nested.masks import Fallen, written


class Tie(Protocol):
    """A level's tensor, taken from the full network's tensor named `source`."""

    @property
    def source(self) -> str: ...

    def of(self, full: Tensor) -> Tensor:
        """The level's tensor, differentiable in the full one."""

    def held(self, full: Tensor) -> Tensor:
        """Bool, flat: which elements of the full tensor the level has."""

    def state(self, full: Tensor) -> tuple[object, ...]:
        """Numbers that change whenever what `of` gives may have changed."""


@dataclass(frozen=True)
class Piece:
    """Some of the elements: their numbers in the full tensor (Long, in the piece's shape).

    `leading`: the first rows, columns, ... of the full tensor. `along`: else, where it is such, the indices along each dimension.
    """

    source: str
    elements: Tensor
    leading: bool = False
    along: tuple[Tensor, ...] | None = None

    def of(self, full: Tensor) -> Tensor:
        """The piece; where it is leading, a view."""
        if self.leading:
            return full[tuple(map(slice, self.elements.shape))]
        if self.along is None:
            return full.flatten()[self.elements.to(full.device)]
        for dim, indices in enumerate(self.along):
            if len(indices) < full.shape[dim] or not torch.equal(indices, torch.arange(len(indices))):
                full = full.index_select(dim, indices.to(full.device))
        return full

    def held(self, full: Tensor) -> Tensor:
        """Bool, flat: which elements of the full tensor the level has."""
        out = torch.zeros(full.numel(), dtype=torch.bool)
        out[self.elements.flatten()] = True
        return out

    def state(self, full: Tensor) -> tuple[object, ...]:
        """Where the full tensor lies, and how often it was written to."""
        return full.data_ptr(), written(full)


@dataclass(frozen=True)
class Masked:
    """The whole tensor with zeros where the level has none of its weights."""

    source: str
    found: Fallen
    level: int
    levels: int

    def of(self, full: Tensor) -> Tensor:
        """W M, M 0 or 1 and without a gradient."""
        return full * self.found.mask(self.source, self.level, self.levels, full)

    def held(self, full: Tensor) -> Tensor:
        """Bool, flat: which weights the level has."""
        return self.found.keep(self.source, self.level, self.levels).flatten().cpu()

    def state(self, full: Tensor) -> tuple[object, ...]:
        """Where the full tensor lies, and how often it and the mask were written to."""
        return full.data_ptr(), written(full), written(self.found.fell(self.source))


def piece_of(source: str, full: Tensor, numbers: Tensor) -> Piece:
    """The tie of a piece with these element numbers of the full tensor."""
    whole = torch.arange(full.numel()).view(full.shape)
    if whole.ndim != numbers.ndim:
        return Piece(source, numbers)
    if torch.equal(whole[tuple(map(slice, numbers.shape))], numbers):
        return Piece(source, numbers, leading=True)
    places = torch.unravel_index(numbers, full.shape)
    along = tuple(
        place[tuple(slice(None) if d == dim else 0 for d in range(numbers.ndim))] for dim, place in enumerate(places)
    )
    outer = whole
    for dim, indices in enumerate(along):
        outer = outer.index_select(dim, indices)
    return Piece(source, numbers, along=along if torch.equal(outer, numbers) else None)
