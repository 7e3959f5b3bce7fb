"""Batches: one epoch of a split, shuffled and augmented from one generator, a whole batch at a time.

Training images are padded with black by p pixels and cropped at a random place (every offset 0..2p equally likely),
and with "crop-flip" mirrored left to right half of the time: the augmentation of He et al. (CVPR 2016) for CIFAR.
All numbers of an epoch are drawn when it begins: an order, two offsets per image, a flip per image.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from core.data.dataset import Dataset, Split
from core.errors import BadInput


def batches(
    split: Split,
    dataset: Dataset,
    batch_size: int,
    *,
    generator: torch.Generator | None,
    train: bool,
    position: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """See ``core.data.batches``. Numbers are drawn here, images are touched as they are asked for."""
    if batch_size < 1:
        raise BadInput(f"batch_size must be at least 1; got {batch_size}")
    if not train:
        return _plain(split, dataset, batch_size, position)
    if generator is None:
        raise BadInput("generator must be given to shuffle and augment training batches; got None")
    device, num = split.labels.device, len(split)
    order = torch.randperm(num, generator=generator).to(device)
    offsets = flips = None
    if dataset.augmentation != "none":
        offsets = torch.randint(2 * dataset.padding + 1, (2, num), generator=generator).to(device)
    if dataset.augmentation == "crop-flip":
        flips = torch.randint(2, (num,), generator=generator).to(device)
    return _shuffled(split, dataset, batch_size, position, order, offsets, flips)


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


def _plain(
    split: Split, dataset: Dataset, batch_size: int, position: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for start in range(position * batch_size, len(split), batch_size):
        chosen = slice(start, start + batch_size)
        yield dataset.normalise(split.images[chosen]), split.labels[chosen]


def _shuffled(
    split: Split,
    dataset: Dataset,
    batch_size: int,
    position: int,
    order: torch.Tensor,
    offsets: torch.Tensor | None,
    flips: torch.Tensor | None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    pixels = split.images.permute(0, 2, 3, 1)  # (N, H, W, C), contiguous
    for start in range(position * batch_size, len(split), batch_size):
        chosen = order[start : start + batch_size]
        images = pixels.index_select(0, chosen)
        if offsets is not None:
            images = crop(images, dataset.padding, offsets[:, start : start + batch_size])
        if flips is not None:
            images = mirror(images, flips[start : start + batch_size])
        yield dataset.normalise(images.permute(0, 3, 1, 2)), split.labels.index_select(0, chosen)
