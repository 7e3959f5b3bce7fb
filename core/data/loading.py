"""From a name to a data set: read or drawn, split once for all, with its statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.data import cifar, digits, folder, idx, shapes
from core.data.dataset import Dataset
from core.data.names import CHOICES, folder_named
from core.errors import one_of

_LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": lambda data_dir: digits.load(),
    "shapes": lambda data_dir: shapes.load(),
    "shapes-coarse": lambda data_dir: shapes.load(by_coarse=True),
    "cifar10": cifar.load_10,
    "cifar100": cifar.load_100,
    "cifar100-coarse": lambda data_dir: cifar.load_100(data_dir, by_coarse=True),
    "mnist": lambda data_dir: idx.load("mnist", data_dir),
    "fashion-mnist": lambda data_dir: idx.load("fashion-mnist", data_dir),
}


def load(name: str, data_dir: Path | None) -> Dataset:
    """See ``core.data.load``."""
    if (images := folder_named(name)) is not None:
        return folder.load(images)
    if name not in _LOADERS:
        raise one_of("data set", name, CHOICES)
    return _LOADERS[name](data_dir)
