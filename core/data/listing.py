"""Which pictures lie in a folder of images, by class and part, and what is wrong with it. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from core.data.names import FolderName
from core.errors import DamagedFile

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))

Pictures = tuple[np.ndarray, np.ndarray]  # paths and labels, sorted by class and path


def class_folders(name: FolderName) -> list[str]:
    """The classes, by the folders in train/. ``DamagedFile`` where there are fewer than two."""
    class_names = _folders(name.path / "train", name)
    if len(class_names) < 2:
        raise DamagedFile(
            f"{name.path / 'train'} must hold a folder of pictures for each of two or more classes; got "
            f"{', '.join(class_names) or 'none'}; sort the pictures into train/CLASS/"
        )
    return class_names


def check(name: FolderName) -> int:
    """The number of classes, after a quick look: ``DamagedFile`` where a class of train/ holds no picture at all."""
    class_names = class_folders(name)
    for class_name in class_names:
        if next(_inside(name.path / "train" / class_name, name), None) is None:
            raise _empty(name.path / "train" / class_name)
    return len(class_names)


def _folders(folder: Path, name: FolderName) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        _refuse(error, name)


def pictures(folder: Path, class_names: Sequence[str], name: FolderName) -> Pictures | None:
    """The pictures of a part; None where the part is not there."""
    if not folder.exists():
        return None
    strange = set(_folders(folder, name)) - set(class_names)
    if strange:
        raise DamagedFile(
            f"every class in {folder} must also be in train/; got {min(strange)!r}, which is not; rename it, or take it away"
        )
    paths: list[str] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        inside = sorted(_inside(folder / class_name, name)) if (folder / class_name).is_dir() else []
        if folder.name == "train" and not inside:
            raise _empty(folder / class_name)
        paths += inside
        labels += [label] * len(inside)
    if not paths:
        raise DamagedFile(
            f"{folder} must hold pictures in folders named as in train/; got none; add some, or take it away"
        )
    return np.array(paths, dtype=object), np.array(labels, dtype=np.int64)


def _inside(folder: Path, name: FolderName) -> Iterator[str]:
    """All pictures below a folder; hidden files (``._a.jpg`` of macOS) are none."""
    return (
        os.path.join(where, file)
        for where, _, files in os.walk(folder, onerror=lambda error: _refuse(error, name))
        for file in files
        if os.path.splitext(file)[1].lower() in SUFFIXES and not file.startswith(".")
    )


def _refuse(error: OSError, name: FolderName) -> NoReturn:
    reason = "no such folder" if isinstance(error, FileNotFoundError) else error.strerror or type(error).__name__
    raise DamagedFile(
        f"{name} must be a folder with pictures in train/CLASS/; got {reason} for {error.filename}; check the path"
    ) from error


def _empty(folder: Path) -> DamagedFile:
    kinds = " ".join(sorted(SUFFIXES))
    return DamagedFile(f"{folder} must hold pictures ({kinds}); got none; add some, or take it away")
