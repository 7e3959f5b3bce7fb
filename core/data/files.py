"""Official data files: where they lie, whether they are there, and whether they are what their name says. No torch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from core.data.names import CHOICES, DATASETS, folder_named
from core.errors import BadInput, DamagedFile, one_of

DATA_VARIABLE = "ESPALIER_DATA"


def folder(data_dir: Path | None) -> Path | None:
    """The folder of data sets: the one given, else what the environment variable says, else None."""
    told = os.environ.get(DATA_VARIABLE)
    return Path(data_dir) if data_dir is not None else Path(told) if told else None


def missing(name: str, data_dir: Path | None = None) -> tuple[str, ...]:
    """The files of data set ``name`` that are not there, relative to the folder of data sets; () if it can be loaded.

    A folder of images brings its own files: it is looked at when it is loaded.
    """
    if folder_named(name) is not None:
        return ()
    if name not in DATASETS:
        raise one_of("data set", name, CHOICES)
    base = folder(data_dir)
    return tuple(path for path, _ in DATASETS[name].files if base is None or not (base / path).is_file())


def read(name: str, data_dir: Path | None) -> list[np.ndarray]:
    """The bytes of every file of data set ``name``, in the order of its description, their sizes checked."""
    info, base = DATASETS[name], folder(data_dir)
    if base is None:
        raise BadInput(f"data set {name} must have a folder that holds {info.files[0][0]}; got none; {remedy(name)}")
    return [_read_one(base / path, size, name) for path, size in info.files]


def read_idx(name: str, data_dir: Path | None) -> list[np.ndarray]:
    """The arrays of the four idx files of data set ``name``: training images, labels, test images, labels.

    idx: bytes 0 0 8 d, then d big-endian 32-bit sizes, then the bytes themselves.
    """
    base = folder(data_dir)
    arrays = []
    for (path, size), data in zip(DATASETS[name].files, read(name, data_dir), strict=True):
        side = (28, 28) if "images" in path else ()
        num_items = (size - 8 - 4 * len(side)) // int(np.prod(side, dtype=int))
        wanted = np.array([0x0800 + 1 + len(side), num_items, *side], dtype=">u4").tobytes()
        if data[: len(wanted)].tobytes() != wanted:
            raise DamagedFile(
                f"{Path(base or '') / path} must begin with the idx header {wanted.hex(' ', 4)}; "
                f"got {data[: len(wanted)].tobytes().hex(' ', 4)}; {remedy(name)}"
            )
        arrays.append(data[len(wanted) :].reshape(num_items, *side))
    return arrays


def check_labels(labels: np.ndarray, num_classes: int, what: str, name: str) -> None:
    """Raise unless every label is below ``num_classes``."""
    worst = int(labels.max())
    if worst >= num_classes:
        raise DamagedFile(f"{what} of data set {name} must be 0 to {num_classes - 1}; got {worst}; {remedy(name)}")


def _read_one(path: Path, size: int, name: str) -> np.ndarray:
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or type(error).__name__
        raise DamagedFile(f"{path} must be a file of {size:,} bytes; got {reason}; {remedy(name)}") from error
    if data.size != size:
        raise DamagedFile(f"{path} must have {size:,} bytes; got {data.size:,}; {remedy(name)}")
    return data


def remedy(name: str) -> str:
    """What to do where the files of data set ``name`` are not as they should be."""
    info = DATASETS[name]
    form = "the binary version" if "cifar" in name else "the four files, unpacked"
    place = info.files[0][0].split("/")[0]
    return (
        f"get {form} from {info.source}, put it into a folder named {place}, "
        f"and name the folder above it with --data or the variable {DATA_VARIABLE}; `python -m core data {name}` does it for you"
    )
