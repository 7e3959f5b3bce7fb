"""The data sets by name. No torch here: the front end lists them without importing it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataInfo:
    """A data set before anything is loaded. ``shape`` is (channels, height, width); ``files``: path and bytes of each.

    A data set without files is built in. ``num_families`` counts its coarse classes, 0 where it has none.
    """

    title: str
    shape: tuple[int, int, int]
    num_classes: int
    num_families: int
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
    "digits": DataInfo("1,797 handwritten digits, grey 8x8; built in", (1, 8, 8), 10, 0, (), "scikit-learn"),
    "shapes": DataInfo(
        "11,000 drawn shapes, colour 32x32, in 4 families; built in", (3, 32, 32), 20, 4, (), "drawn here"
    ),
    "cifar10": DataInfo("60,000 photographs, colour 32x32", (3, 32, 32), 10, 0, _CIFAR10, _CIFAR_PAGE),
    "cifar100": DataInfo(
        "60,000 photographs, colour 32x32, in 20 families", (3, 32, 32), 100, 20, _CIFAR100, _CIFAR_PAGE
    ),
    "mnist": DataInfo(
        "70,000 handwritten digits, grey 28x28",
        (1, 28, 28),
        10,
        0,
        _idx("mnist", 60_000, 10_000),
        "https://github.com/cvdfoundation/mnist",
    ),
    "fashion-mnist": DataInfo(
        "70,000 pieces of clothing, grey 28x28",
        (1, 28, 28),
        10,
        0,
        _idx("fashion-mnist", 60_000, 10_000),
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
}
NAMES: tuple[str, ...] = tuple(DATASETS)
