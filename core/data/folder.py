"""A folder of pictures as a data set: ``train/CLASS/*.jpg`` and so on, classes named by their folders, streamed.

Splits: ``train/``, ``val/`` and ``test/`` as they lie. Without ``val/``, a tenth of the training pictures (8 at least) is held
out, every class in proportion, with a fixed seed. Without ``test/``, the pictures of ``val/`` serve as test pictures too, or,
without ``val/`` either, another tenth of the training pictures. A class may hold folders of its own (``CLASS/images/``).

Side of the images: the one asked for; else 224, or, where half the pictures or more are smaller, the side that half of
them have, rounded down to a multiple of 4. Three colours always. Mean, standard deviation and that side come from at most
``SAMPLE`` training pictures, evenly spaced, each cut as for testing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from core.data.augment import default_of
from core.data.dataset import SPLIT_SEED, Dataset, Split, hold_out, mean_and_std
from core.data.images import Streamed, size_of
from core.data.listing import Pictures, class_folders, pictures
from core.data.names import SIDES, FolderName
from core.errors import BadInput, DamagedFile

SIDE = 224
SAMPLE = 512  # pictures, or fewer where they are large: SAMPLE_BYTES in all
SAMPLE_BYTES = 2**26
HELD_OUT = 10  # one training picture in so many, where there is no val/ or test/
LEAST = 8  # validation pictures: a proof looks at so many


def load(name: FolderName) -> Dataset:
    """The data set in a folder. Raises ``DamagedFile`` for a folder that is not as it should be, or a broken picture."""
    class_names = class_folders(name)
    found = {part: pictures(name.path / part, class_names, name) for part in ("train", "val", "test")}
    train, val, test, note = _split(found["train"], found["val"], found["test"], class_names, name)
    side = name.side or _side(train[0])
    splits = [_stream(part, side) for part in (train, val, test)]
    mean, std = mean_and_std(splits[0], torch.from_numpy(_sample(len(train[0]), 3 * side * side)))
    return Dataset(
        name=str(name),
        shape=(3, side, side),
        class_names=tuple(class_names),
        families=None,
        train=splits[0],
        val=splits[1],
        test=splits[2],
        mean=mean,
        std=tuple(max(value, 1 / 255) for value in std),  # of pictures of one colour: a division by it must go well
        augment=default_of(str(name)),
        splits_note=f"{len(train[0]):,} training, {len(val[0]):,} validation, {len(test[0]):,} test pictures: {note}.",
    )


def _split(
    train: Pictures | None, val: Pictures | None, test: Pictures | None, class_names: Sequence[str], name: FolderName
) -> tuple[Pictures, Pictures, Pictures, str]:
    """Training, validation and test pictures, and how they came about."""
    if train is None:
        raise AssertionError("train/ was listed before")
    note = "train/, val/ and test/ as they lie"
    if val is None:
        if len(train[1]) < 5 * LEAST:
            raise DamagedFile(
                f"{name.path / 'train'} must hold at least {5 * LEAST} pictures, so that some can be held out; got "
                f"{len(train[1])}; add some, or make a folder val/ beside it"
            )
        least = 2 if test is not None else 3  # one stays to train with
        few = np.bincount(train[1], minlength=len(class_names))
        if few.min() < least:
            raise DamagedFile(
                f"{name.path / 'train' / class_names[int(few.argmin())]} must hold at least {least} pictures, so that some "
                f"can be held out; got {few.min()}; add some, or make a folder val/ beside train/"
            )
        num_held = max(LEAST, round(len(train[1]) / HELD_OUT))
        train, val = _hold_out(train, num_held)
        note = "a tenth of train/ held out, every class in proportion, with a fixed seed; test/ as it lies"
        if test is None:
            train, test = _hold_out(train, num_held)
            note = "two tenths of train/ held out, every class in proportion, with a fixed seed"
    elif len(val[1]) < LEAST:
        raise DamagedFile(f"{name.path / 'val'} must hold at least {LEAST} pictures; got {len(val[1])}; add some")
    elif test is None:
        test = val
        note = "train/ and val/ as they lie; there is no test/, so test accuracy is that of the validation pictures"
    return train, val, test, note


def _hold_out(shown: Pictures, num_held: int) -> tuple[Pictures, Pictures]:
    paths, labels = shown
    kept, held = hold_out(labels, num_held, SPLIT_SEED)
    return (paths[kept], labels[kept]), (paths[held], labels[held])


def _sample(num: int, bytes_each: int) -> np.ndarray:
    """Indices of the pictures that are looked at for all, evenly spaced."""
    return np.linspace(0, num - 1, min(num, SAMPLE, max(16, SAMPLE_BYTES // bytes_each))).round().astype(np.int64)


def _side(paths: np.ndarray) -> int:
    """The side of the images where none is asked for."""
    shorter = sorted(min(size_of(paths[i])) for i in _sample(len(paths), 1))
    had = shorter[len(shorter) // 2]
    if had < SIDES[0]:
        raise BadInput(
            f"pictures must have at least {SIDES[0]} pixels on a side, or be given one, as in folder:PATH@32; got {had}"
        )
    return min(SIDE, had // 4 * 4)


def _stream(shown: Pictures, side: int) -> Split:
    paths, labels = shown
    return Split(Streamed(tuple(paths.tolist()), side), torch.from_numpy(labels))
