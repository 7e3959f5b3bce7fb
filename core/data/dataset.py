"""What a data set is: images, in memory or streamed from files, and labels, cut once for all to train, validate and test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from core.data.augment import Augment
from core.data.images import Streamed

SPLIT_SEED = 2016  # of every split made here; changing it changes every result


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W), uint8 with 255 for white, channels last in memory, and their labels (N,), int64.

    The images are a tensor, or streamed from files, which a slice of them shows as a tensor.
    """

    images: torch.Tensor | Streamed
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Split:
        """The same on another device."""
        return Split(self.images.to(device), self.labels.to(device))

    def read(
        self,
        parts: Iterable[slice | torch.Tensor],
        area: float | None = None,
        seeds: Iterable[torch.Tensor] | None = None,
    ) -> Iterator[torch.Tensor]:
        """The images of every part (a slice, or indices) in turn, (B, C, H, W), uint8, channels last in memory.

        ``area`` and ``seeds``: of streamed images only, see ``Streamed.read``.
        """
        if isinstance(self.images, Streamed):
            yield from self.images.read(parts, area, seeds)
            return
        pixels = self.images.permute(0, 2, 3, 1)  # (N, H, W, C), contiguous
        for part in parts:
            chosen = pixels[part] if isinstance(part, slice) else pixels.index_select(0, part)
            yield chosen.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Families:
    """Coarse classes: their names, and for every fine class the coarse one it belongs to."""

    names: tuple[str, ...]
    of: tuple[int, ...]

    def coarse(self, labels: torch.Tensor) -> torch.Tensor:
        """The coarse labels of fine ``labels`` of any shape."""
        return torch.tensor(self.of, device=labels.device)[labels]


@dataclass(frozen=True)
class Dataset:
    """A data set. ``mean`` and ``std`` are those of the training images per channel, on a scale where white is 1.

    ``augment`` is how training images are varied where nothing else is asked for; ``splits_note`` says how the splits
    were made.
    """

    name: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    families: Families | None
    train: Split
    val: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment
    splits_note: str

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def with_classes(self, families: Families, name: str | None = None) -> Dataset:
        """The same images by the coarse classes of ``families``, under another name if one is given."""
        own = [Split(split.images, families.coarse(split.labels)) for split in (self.train, self.val, self.test)]
        return replace(
            self,
            name=name or self.name,
            class_names=families.names,
            families=None,
            train=own[0],
            val=own[1],
            test=own[2],
        )

    def to(self, device: torch.device | str) -> Dataset:
        """The same with its images and labels on another device."""
        return replace(self, train=self.train.to(device), val=self.val.to(device), test=self.test.to(device))

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """(images / 255 - mean) / std of uint8 images (B, C, H, W), as float32, channels last in memory."""
        num, channels, height, width = images.shape
        mean = torch.tensor(self.mean, dtype=torch.float64)
        std = torch.tensor(self.std, dtype=torch.float64)
        # A whole row at a time: broadcasting over three channels alone is seven times slower.
        scale = (1 / (255 * std)).to(images.device, torch.float32).repeat(width)
        shift = (-mean / std).to(images.device, torch.float32).repeat(width)
        rows = images.permute(0, 2, 3, 1).reshape(num, height, width * channels).to(torch.float32)
        return torch.addcmul(shift, rows, scale).view(num, height, width, channels).permute(0, 3, 1, 2)


def split_of(pixels: np.ndarray, labels: np.ndarray) -> Split:
    """A split of ``pixels`` (N, H, W, C), uint8."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    return Split(images, torch.from_numpy(labels.astype(np.int64)))


def mean_and_std(
    split: Split, chosen: slice | torch.Tensor = slice(None)
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, over all pixels of the ``chosen`` images, white being 1; from sums that are exact integers."""
    images = split.images[chosen]
    _, channels, _, width = images.shape
    rows = images.permute(0, 2, 3, 1).reshape(-1, width * channels)
    totals = torch.zeros(2, width * channels, dtype=torch.float64)
    for some in rows.split(8192):
        values = some.to(torch.float64)
        totals += torch.stack((values.sum(0), values.square().sum(0)))
    first, second = totals.view(2, width, channels).sum(1) / (len(rows) * width)  # means of x and of x squared
    std = (second - first.square()).sqrt()
    return tuple((first / 255).tolist()), tuple((std / 255).tolist())


def hold_out(labels: np.ndarray, num_held: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices kept and indices held out, ``num_held`` of them, every class in proportion; both ascending.

    Each class gives the last of its images in a seeded permutation; classes with the largest remainders round up.
    ``RandomState`` is NumPy's frozen generator, so the splits stay the same for ever.
    """
    random = np.random.RandomState(seed)
    counts = np.bincount(labels)
    exact = counts * (num_held / len(labels))
    quota = np.floor(exact).astype(int)
    quota[np.argsort(quota - exact, kind="stable")[: num_held - quota.sum()]] += 1
    held = [random.permutation(np.flatnonzero(labels == c))[counts[c] - quota[c] :] for c in range(len(counts))]
    taken = np.zeros(len(labels), dtype=bool)
    taken[np.concatenate(held)] = True
    return np.flatnonzero(~taken), np.flatnonzero(taken)
