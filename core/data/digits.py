"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn (Alpaydin & Kaynak, UCI, 1998)."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from core.data.augment import default_of
from core.data.dataset import SPLIT_SEED, Dataset, hold_out, mean_and_std, split_of


def load() -> Dataset:
    """1,077 / 360 / 360 images, their 17 grey levels spread over 0..255."""
    bunch = load_digits()
    pixels = np.rint(bunch.images[..., None] * (255 / 16)).astype(np.uint8)  # (N, 8, 8, 1)
    labels = bunch.target
    rest, test = hold_out(labels, 360, SPLIT_SEED)
    kept, held = hold_out(labels[rest], 360, SPLIT_SEED)
    train = split_of(pixels[rest[kept]], labels[rest[kept]])
    mean, std = mean_and_std(train)
    return Dataset(
        name="digits",
        shape=(1, 8, 8),
        class_names=tuple("0123456789"),
        families=None,
        train=train,
        val=split_of(pixels[rest[held]], labels[rest[held]]),
        test=split_of(pixels[test], labels[test]),
        mean=mean,
        std=std,
        augment=default_of("digits"),
        splits_note="1,077 training, 360 validation, 360 test images: every digit in proportion, drawn once with a fixed seed.",
    )
