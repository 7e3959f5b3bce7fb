"""Batches: one epoch of a split, shuffled and augmented from one generator, a whole batch at a time.

What acts is an ``Augment``. Streamed pictures are cut at random as they are decoded (``area``). Images are padded with black
by ``crop`` = p pixels and cropped at a random place (every offset 0..2p equally likely), with ``flip`` mirrored left to right
half of the time: the augmentation of He et al. (CVPR 2016) for CIFAR. ``cutout`` greys out a square whose centre may be any
pixel, so that part of it may lie outside (DeVries & Taylor, 2017).
All numbers of an epoch are drawn when it begins, and only those of what acts: an order, two offsets per image, a flip per
image, then a whole number per picture for its cut, two coordinates per image for its cutout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from core.data.augment import Augment
from core.data.dataset import Dataset, Split
from core.data.images import Streamed
from core.errors import BadInput

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]
STREAMED_VALUES = 2**25  # at most, in a batch of streamed images that are not trained on: 128 MiB as float32


@dataclass(frozen=True)
class _Drawn:
    """The numbers of an epoch: place i of ``order`` (N,), of ``offsets`` and ``holes`` (2, N), and so on, is one image's."""

    order: torch.Tensor
    offsets: torch.Tensor | None
    flips: torch.Tensor | None
    seeds: torch.Tensor | None
    holes: torch.Tensor | None


def batches(
    split: Split,
    dataset: Dataset,
    batch_size: int,
    *,
    generator: torch.Generator | None,
    train: bool,
    position: int,
    augment: Augment | None,
) -> Batches:
    """See ``core.data.batches``. Numbers are drawn here, images are touched as they are asked for."""
    if batch_size < 1:
        raise BadInput(f"batch_size must be at least 1; got {batch_size}")
    if not train:
        return _plain(split, dataset, batch_size, position)
    if generator is None:
        raise BadInput("generator must be given to shuffle and augment training batches; got None")
    augment = augment or dataset.augment
    _check(augment, split, dataset)
    return _shuffled(split, dataset, batch_size, position, augment, _draw(augment, split, dataset, generator))


def crop(images: torch.Tensor, padding: int, offsets: torch.Tensor) -> torch.Tensor:
    """Pad uint8 images (B, H, W, C) with black and cut image b at row offsets[0, b] and column offsets[1, b]."""
    num, height, width, channels = images.shape
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    high, wide = padded.shape[1:3]
    # Row p of this overlapping view is the run of `width` pixels from pixel p on: rows are copied whole, which takes
    # an eighth of the time of an index per pixel.
    runs = padded.as_strided((num * high * wide - width + 1, width * channels), (channels, 1))
    first = torch.arange(num, device=images.device) * (high * wide) + offsets[0] * wide + offsets[1]  # (B,)
    starts = first[:, None] + torch.arange(height, device=images.device) * wide  # (B, H)
    return runs.index_select(0, starts.flatten()).view(num, height, width, channels)


def mirror(images: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    """Images (B, H, W, C) with those where ``flips`` (B,) is 1 mirrored left to right."""
    num = len(images)
    both = torch.cat((images, images.flip(2)))  # copying whole images from two sets beats torch.where by three times
    return both.index_select(0, torch.arange(num, device=images.device) + num * flips)


def cut_out(images: torch.Tensor, side: int, centres: torch.Tensor) -> torch.Tensor:
    """Images (B, C, H, W) with 0 in a square of ``side`` around row centres[0, b] and column centres[1, b], in place."""
    inside = []
    for length, centre in zip(images.shape[2:], centres, strict=True):
        first = (centre - side // 2)[:, None]
        line = torch.arange(length, device=images.device)
        inside.append((line >= first) & (line < first + side))  # (B, length)
    return images.masked_fill_((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0)


def _check(augment: Augment, split: Split, dataset: Dataset) -> None:
    side = min(dataset.shape[1:])
    for what, size in (("crop", augment.crop or 0), ("cutout", augment.cutout)):
        if size >= side:
            raise BadInput(
                f"augment.{what} must be smaller than the images of {dataset.name}, {side} pixels; got {size}"
            )
    if augment.area is not None and not isinstance(split.images, Streamed):
        raise BadInput(
            f"augment.area must be left out for {dataset.name}, which is in memory; got {augment.area:g}; take crop"
        )


def _draw(augment: Augment, split: Split, dataset: Dataset, generator: torch.Generator) -> _Drawn:
    """The numbers of an epoch. Their order decides every result of a seed: new ones go to the end."""
    device, num = split.labels.device, len(split)
    order = torch.randperm(num, generator=generator).to(device)
    offsets = flips = seeds = holes = None
    if augment.crop is not None:
        offsets = torch.randint(2 * augment.crop + 1, (2, num), generator=generator).to(device)
    if augment.flip:
        flips = torch.randint(2, (num,), generator=generator).to(device)
    if augment.area is not None:
        seeds = torch.randint(2**62, (num,), generator=generator)
    if augment.cutout:
        rows, columns = (torch.randint(length, (num,), generator=generator) for length in dataset.shape[1:])
        holes = torch.stack((rows, columns)).to(device)
    return _Drawn(order, offsets, flips, seeds, holes)


def _plain(split: Split, dataset: Dataset, batch_size: int, position: int) -> Batches:
    if isinstance(split.images, Streamed):
        batch_size = min(batch_size, max(1, STREAMED_VALUES // (3 * split.images.side**2)))
    parts = [slice(start, start + batch_size) for start in range(position * batch_size, len(split), batch_size)]
    for part, images in zip(parts, split.read(parts), strict=True):
        yield dataset.normalise(images), split.labels[part]


def _shuffled(
    split: Split, dataset: Dataset, batch_size: int, position: int, augment: Augment, drawn: _Drawn
) -> Batches:
    parts = [slice(start, start + batch_size) for start in range(position * batch_size, len(split), batch_size)]
    chosen = [drawn.order[part] for part in parts]
    seeds = None if drawn.seeds is None else [drawn.seeds[part] for part in parts]
    for part, some, images in zip(parts, chosen, split.read(chosen, augment.area, seeds), strict=True):
        pixels = images.permute(0, 2, 3, 1)  # (B, H, W, C), contiguous
        if augment.crop is not None and drawn.offsets is not None:
            pixels = crop(pixels, augment.crop, drawn.offsets[:, part])
        if drawn.flips is not None:
            pixels = mirror(pixels, drawn.flips[part])
        ready = dataset.normalise(pixels.permute(0, 3, 1, 2))
        if drawn.holes is not None:
            ready = cut_out(ready, augment.cutout, drawn.holes[:, part])
        yield ready, split.labels.index_select(0, some)
