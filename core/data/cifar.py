"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) from their official binary files.

A record is one label byte (CIFAR-100: coarse, then fine) and 3,072 pixel bytes: 32x32 red, then green, then blue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.data.augment import default_of
from core.data.dataset import SPLIT_SEED, Dataset, Families, hold_out, mean_and_std, split_of
from core.data.files import check_labels, read, remedy
from core.errors import DamagedFile

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
    labels = records[:, 0]
    check_labels(labels, 10, "labels", "cifar10")
    return _dataset("cifar10", CIFAR10_CLASSES, None, labels, labels, records[:, 1:])


def load_100(data_dir: Path | None, *, by_coarse: bool = False) -> Dataset:
    """CIFAR-100: 45,000 / 5,000 / 10,000 images; the families are its 20 coarse classes.

    ``by_coarse`` makes the coarse classes the ones to learn; the splits hold the same images either way.
    """
    name = "cifar100-coarse" if by_coarse else "cifar100"
    records = np.concatenate(read(name, data_dir)).reshape(60_000, 3074)
    coarse, fine = records[:, 0], records[:, 1]
    check_labels(coarse, 20, "coarse labels", name)
    check_labels(fine, 100, "fine labels", name)
    if by_coarse:
        return _dataset(name, COARSE_CLASSES, None, coarse, fine, records[:, 2:])
    family = np.zeros(100, dtype=np.int64)
    family[fine] = coarse
    if (family[fine] != coarse).any():
        raise DamagedFile(
            f"fine labels of data set {name} must each have one coarse label; got two for one of them; {remedy(name)}"
        )
    families = Families(COARSE_CLASSES, tuple(family.tolist()))
    return _dataset(name, CIFAR100_CLASSES, families, fine, fine, records[:, 2:])


def _dataset(
    name: str,
    class_names: tuple[str, ...],
    families: Families | None,
    labels: np.ndarray,
    strata: np.ndarray,
    planes: np.ndarray,
) -> Dataset:
    """``planes`` (60,000, 3072): the training images, then the 10,000 test images; ``strata`` are held out in proportion."""
    pixels = np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    kept, held = hold_out(strata[:50_000], 5_000, SPLIT_SEED)
    train = split_of(pixels[kept], labels[kept])
    mean, std = mean_and_std(train)
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
        augment=default_of(name),
        splits_note="45,000 training and 5,000 validation images from the official 50,000, "
        "every class in proportion, drawn once with a fixed seed; the official 10,000 test images.",
    )
