"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from their official binary files.

A record is one label byte (CIFAR-100: coarse, then fine) and 3,072 pixel bytes: 32x32 red, then green, then blue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.data.dataset import SPLIT_SEED, Dataset, Families, hold_out, mean_and_std, split_of
from core.data.files import check_labels, read

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
COARSE_CLASSES = (
    "aquatic mammals", "fish", "flowers", "food containers", "fruit and vegetables", "household electrical devices",
    "household furniture", "insects", "large carnivores", "large man-made outdoor things",
    "large natural outdoor scenes", "large omnivores and herbivores", "medium mammals", "non-insect invertebrates",
    "people", "reptiles", "small mammals", "trees", "vehicles 1", "vehicles 2",
)
CIFAR100_CLASSES = (
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple tree", "motorcycle", "mountain", "mouse", "mushroom", "oak tree", "orange",
    "orchid", "otter", "palm tree", "pear", "pickup truck", "pine tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow tree", "wolf", "woman", "worm",
)
# fmt: on


def load_10(data_dir: Path | None) -> Dataset:
    """CIFAR-10: 45,000 / 5,000 / 10,000 images."""
    records = np.concatenate(read("cifar10", data_dir)).reshape(60_000, 3073)
    check_labels(records[:, 0], 10, "labels", "cifar10")
    return _dataset("cifar10", CIFAR10_CLASSES, None, records[:, 0], records[:, 1:])


def load_100(data_dir: Path | None) -> Dataset:
    """CIFAR-100: 45,000 / 5,000 / 10,000 images; the families are its 20 coarse classes."""
    records = np.concatenate(read("cifar100", data_dir)).reshape(60_000, 3074)
    coarse, fine = records[:, 0], records[:, 1]
    check_labels(coarse, 20, "coarse labels", "cifar100")
    check_labels(fine, 100, "fine labels", "cifar100")
    family = np.zeros(100, dtype=np.int64)
    family[fine] = coarse
    families = Families(COARSE_CLASSES, tuple(family.tolist()))
    return _dataset("cifar100", CIFAR100_CLASSES, families, fine, records[:, 2:])


def _dataset(
    name: str, class_names: tuple[str, ...], families: Families | None, labels: np.ndarray, planes: np.ndarray
) -> Dataset:
    """``planes`` (60,000, 3072): the training images, then the 10,000 test images."""
    pixels = np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    kept, held = hold_out(labels[:50_000], 5_000, SPLIT_SEED)
    train = split_of(pixels[kept], labels[kept])
    mean, std = mean_and_std(train.images)
    return Dataset(
        name=name,
        shape=(3, 32, 32),
        class_names=class_names,
        families=families,
        train=train,
        val=split_of(pixels[held], labels[held]),
        test=split_of(pixels[50_000:], labels[50_000:]),
        mean=mean,
        std=std,
        augmentation="crop-flip",
        padding=4,
        splits_note="45,000 training and 5,000 validation images from the official 50,000, "
        "every class in proportion, drawn once with a fixed seed; the official 10,000 test images.",
    )
