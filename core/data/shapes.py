"""Shapes: 32x32 colour pictures of twenty things in four families, drawn by NumPy from a fixed seed.

Every picture differs in place, size, turn, colours, shading and noise; outlines may be cut by a bar of a third colour.
Nothing is read, so the set is there on any machine, and its families make a class hierarchy.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from core.data.augment import default_of
from core.data.dataset import Dataset, Families, mean_and_std, split_of
from core.data.drawing import FAMILIES, Field

SEED = 20160812
SIDE = 32
PER_CLASS = (400, 50, 100)  # training, validation, test
NOISE = (0.01, 0.06)  # standard deviation, least and most, where white is 1
LEAST_CONTRAST = 0.6  # distance of the two colours in the RGB cube, before shading and noise


def load(*, by_coarse: bool = False) -> Dataset:
    """8,000 / 1,000 / 2,000 pictures, every class equally often; ``by_coarse`` makes the families the classes to learn."""
    fields = [(family == "textures", field) for family, group in FAMILIES.items() for field in group.values()]
    random = np.random.default_rng(SEED)
    drawn = np.stack([draw(field, texture, sum(PER_CLASS), random) for texture, field in fields])  # (20, 550, H, W, C)
    ends = np.cumsum((0, *PER_CLASS))
    splits = []
    for start, end in pairwise(ends):
        pixels = drawn[:, start:end].swapaxes(0, 1).reshape(-1, SIDE, SIDE, 3)  # the classes take turns
        splits.append(split_of(pixels, np.tile(np.arange(len(fields)), end - start)))
    mean, std = mean_and_std(splits[0])
    dataset = Dataset(
        name="shapes",
        shape=(3, SIDE, SIDE),
        class_names=tuple(name for group in FAMILIES.values() for name in group),
        families=Families(tuple(FAMILIES), tuple(i for i, group in enumerate(FAMILIES.values()) for _ in group)),
        train=splits[0],
        val=splits[1],
        test=splits[2],
        mean=mean,
        std=std,
        augment=default_of("shapes"),
        splits_note="8,000 training, 1,000 validation, 2,000 test pictures, every class equally often, drawn from a fixed seed.",
    )
    assert dataset.families is not None
    return dataset.with_classes(dataset.families, "shapes-coarse") if by_coarse else dataset


def draw(field: Field, texture: bool, num: int, random: np.random.Generator) -> np.ndarray:
    """``num`` pictures of one class, (num, SIDE, SIDE, 3), uint8."""
    ink = _ink(field, texture, num, random)
    paper, colour, third = _colours(num, random)
    picture = paper + ink[..., None] * (colour - paper)  # (N, P, 3)
    if not texture:
        bar = _bar(num, random)[..., None]
        picture += bar * (third - picture)
    picture *= _shading(num, random)[..., None]
    least, most = NOISE
    spread = least + (most - least) * random.random((num, 1, 1), dtype=np.float32)
    picture += spread * random.standard_normal(picture.shape, dtype=np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(num, SIDE, SIDE, 3)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixel centres, (1, P), from -1 to 1."""
    line = ((np.arange(SIDE) + 0.5) * (2 / SIDE) - 1).astype(np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    return x.reshape(1, -1), y.reshape(1, -1)


def _ink(field: Field, texture: bool, num: int, random: np.random.Generator) -> np.ndarray:
    """How much of every pixel the shape covers, (N, P), 0..1, edges smooth over a pixel."""
    u = random.random((num, 4, 1), dtype=np.float32)
    size, turn, left, top = np.moveaxis(random.random((num, 4, 1), dtype=np.float32), 1, 0)
    size = 0.5 + 0.35 * size
    turn = (2 * np.pi * turn if texture else np.pi / 2 * (turn - 0.5)).astype(np.float32)
    room = np.maximum(0.95 - size, 0) if not texture else np.float32(0.6)
    x, y = _grid()
    x, y = x - (2 * left - 1) * room, y - (2 * top - 1) * room
    if not texture:
        x, y = x / size, y / size
    cos, sin = np.cos(turn), np.sin(turn)
    value = field(cos * x + sin * y, cos * y - sin * x, u)
    if texture:
        return np.clip(0.5 + 1.2 * value, 0, 1)
    return np.clip(0.5 - value * size * (SIDE / 2), 0, 1)


def _colours(num: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three colours a picture, each (N, 1, 3); the first two at least ``LEAST_CONTRAST`` apart."""
    trio = random.random((3, num, 1, 3), dtype=np.float32)
    apart = trio[1] - trio[0]
    distance = np.linalg.norm(apart, axis=-1, keepdims=True) + 1e-6
    trio[1] = np.clip(trio[0] + apart * np.maximum(1, LEAST_CONTRAST / distance), 0, 1)
    return trio[0], trio[1], trio[2]


def _bar(num: int, random: np.random.Generator) -> np.ndarray:
    """A thin straight bar across three pictures of ten, (N, P), 0..1."""
    turn, shift, width, there = np.moveaxis(random.random((num, 4, 1), dtype=np.float32), 1, 0)
    x, y = _grid()
    across = np.cos(np.pi * turn) * x + np.sin(np.pi * turn) * y - (1.2 * shift - 0.6)
    bar = np.clip(0.5 - (np.abs(across) - 0.03 - 0.05 * width) * (SIDE / 2), 0, 1)
    return bar * (there < 0.3)


def _shading(num: int, random: np.random.Generator) -> np.ndarray:
    """A brightness that falls off to one side, (N, P), about 0.6..1.2."""
    turn, depth = np.moveaxis(random.random((num, 2, 1), dtype=np.float32), 1, 0)
    x, y = _grid()
    slope = np.cos(2 * np.pi * turn) * x + np.sin(2 * np.pi * turn) * y
    return 0.9 + 0.22 * depth * slope
