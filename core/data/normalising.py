"""Normalisations by name: the mean and standard deviation of the images that a network was trained on. No torch.

Per channel, on a scale where white is 1, as usually published; those of a data set are of its official training images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import BadInput, one_of

if TYPE_CHECKING:
    from core.data.dataset import Dataset

NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2860,), (0.3530,)),
    "none": ((0.0,), (1.0,)),  # of any number of channels: pixels from 0 to 1
}


def renormalised(dataset: Dataset, name: str) -> Dataset:
    """`dataset` with the normalisation `name` in place of its own; the images themselves are shared."""
    if name not in NORMALISATIONS:
        raise one_of("normalize", name, NORMALISATIONS)
    mean, std = NORMALISATIONS[name]
    channels = dataset.shape[0]
    if name == "none":
        mean, std = mean * channels, std * channels
    if len(mean) != channels:
        raise BadInput(
            f"normalize must have as many channels as data set {dataset.name}, {channels}; got {name!r} with "
            f"{len(mean)}; leave it out to take the data set's own, or take none"
        )
    return replace(dataset, mean=mean, std=std)
