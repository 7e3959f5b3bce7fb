"""The data sets by name. No torch here: the front end lists them without importing it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadInput


@dataclass(frozen=True)
class DataInfo:
    """A data set before anything is loaded. ``shape`` is (channels, height, width); ``files``: path and bytes of each.

    A data set without files is built in. ``num_families`` counts its coarse classes, 0 where it has none; ``num_val`` its
    validation images.
    """

    title: str
    shape: tuple[int, int, int]
    num_classes: int
    num_families: int
    num_val: int
    files: tuple[tuple[str, int], ...]
    source: str


def _idx(folder: str, train: int, test: int) -> tuple[tuple[str, int], ...]:
    return (
        (f"{folder}/train-images-idx3-ubyte", 16 + 784 * train),
        (f"{folder}/train-labels-idx1-ubyte", 8 + train),
        (f"{folder}/t10k-images-idx3-ubyte", 16 + 784 * test),
        (f"{folder}/t10k-labels-idx1-ubyte", 8 + test),
    )


_CIFAR_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
_CIFAR10 = tuple(
    (f"cifar-10-batches-bin/{name}.bin", 10_000 * 3073)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
)
_CIFAR100 = (("cifar-100-binary/train.bin", 50_000 * 3074), ("cifar-100-binary/test.bin", 10_000 * 3074))

DATASETS: dict[str, DataInfo] = {
    "digits": DataInfo("1,797 handwritten digits, grey 8x8; built in", (1, 8, 8), 10, 0, 360, (), "scikit-learn"),
    "shapes": DataInfo(
        "11,000 drawn shapes, colour 32x32, in 4 families; built in", (3, 32, 32), 20, 4, 1_000, (), "drawn here"
    ),
    "shapes-coarse": DataInfo(
        "11,000 drawn shapes, colour 32x32: shapes by their 4 families; built in",
        (3, 32, 32),
        4,
        0,
        1_000,
        (),
        "drawn here",
    ),
    "cifar10": DataInfo("60,000 photographs, colour 32x32", (3, 32, 32), 10, 0, 5_000, _CIFAR10, _CIFAR_PAGE),
    "cifar100": DataInfo(
        "60,000 photographs, colour 32x32, in 20 families", (3, 32, 32), 100, 20, 5_000, _CIFAR100, _CIFAR_PAGE
    ),
    "cifar100-coarse": DataInfo(
        "60,000 photographs, colour 32x32: CIFAR-100 by its coarse labels",
        (3, 32, 32),
        20,
        0,
        5_000,
        _CIFAR100,
        _CIFAR_PAGE,
    ),
    "mnist": DataInfo(
        "70,000 handwritten digits, grey 28x28",
        (1, 28, 28),
        10,
        0,
        6_000,
        _idx("mnist", 60_000, 10_000),
        "https://github.com/cvdfoundation/mnist",
    ),
    "fashion-mnist": DataInfo(
        "70,000 pieces of clothing, grey 28x28",
        (1, 28, 28),
        10,
        0,
        6_000,
        _idx("fashion-mnist", 60_000, 10_000),
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
}
NAMES: tuple[str, ...] = tuple(DATASETS)

FOLDER = "folder:"
CHOICES: tuple[str, ...] = (*NAMES, f"{FOLDER}PATH")
SIDES = (8, 512)  # least and largest side of a folder's images, in pixels


@dataclass(frozen=True)
class FolderName:
    """A folder of images as a data set: where it lies, absolute, and the side its images get; None: what they have."""

    path: Path
    side: int | None

    def __str__(self) -> str:
        """The name it is kept under: the same from whatever folder a process was started in."""
        return f"{FOLDER}{self.path}" + ("" if self.side is None else f"@{self.side}")


def folder_named(name: str) -> FolderName | None:
    """The folder of images that ``folder:PATH`` or ``folder:PATH@SIDE`` names; None for any other name.

    PATH may hold spaces, begin with ~ and be relative; one that ends in @ and digits must be given a side of its own.
    Nothing is looked up on disk. Raises BadInput for a side out of range or no path at all.
    """
    if not name.startswith(FOLDER):
        return None
    told = name.removeprefix(FOLDER)
    sized = re.fullmatch(r"(.*)@([0-9]{1,6})", told, re.DOTALL)
    text, side = (sized[1], int(sized[2])) if sized else (told, None)
    if not text.strip() or "\0" in text:
        raise BadInput(
            f"{FOLDER} must be followed by the path of a folder; got {name!r}; for example {FOLDER}~/photos@64"
        )
    if side is not None and not SIDES[0] <= side <= SIDES[1]:
        raise BadInput(
            f"the side of {FOLDER}PATH@SIDE must be {SIDES[0]} to {SIDES[1]} pixels; got {side}; "
            f"a path that itself ends in @{side} needs a side of its own after it"
        )
    return FolderName(Path(os.path.abspath(os.path.expanduser(text))), side)
