"""Twenty shapes as functions of position, in four families of five.

Each takes x, y (N, P), the coordinates of P pixels in the frame of N shapes (the shape fills about the unit circle, y
points down), and random numbers u (N, 4, 1) in [0, 1) that vary its form. Outlines give a signed distance in that
frame, negative inside, about right near the edge; textures give a height between -1 and 1, ink where it is positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Field = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _polygon(corners: int) -> Field:
    def field(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        sides = [2 * math.pi * i / corners for i in range(corners)]
        return np.max([x * math.cos(a) + y * math.sin(a) for a in sides], axis=0) - math.cos(math.pi / corners)

    return field


def _star(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    wedge = math.pi / 5
    angle = np.abs((np.arctan2(x, -y) + wedge) % (2 * wedge) - wedge)
    radius = np.hypot(x, y)
    along, across = radius * np.cos(angle), radius * np.sin(angle)
    inner = 0.42 + 0.1 * u[:, 0]
    dx, dy = 1 - inner * math.cos(wedge), inner * math.sin(wedge)
    return ((along - 1) * dy + across * dx) / np.hypot(dx, dy)


def _cross(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    arm = 0.25 + 0.12 * u[:, 0]
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - arm, y - 0.95), np.maximum(y - arm, x - 0.95))


def _disc(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.9


def _ring(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.72) - (0.14 + 0.1 * u[:, 0])


def _ellipse(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    squeeze = 1.7 + 0.7 * u[:, 0]
    return (np.hypot(x, y * squeeze) - 1) / squeeze


def _crescent(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(x, y) - 0.95, 0.72 - np.hypot(x - 0.4 - 0.15 * u[:, 0], y))


def _flower(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    petals = np.floor(5 + 2 * u[:, 0])
    return 0.8 * (np.hypot(x, y) - 0.72 - 0.22 * np.cos(petals * np.arctan2(y, x)))


def _strokes(*lines: tuple[float, float, float, float]) -> Field:
    """A letter of straight lines, each from (x0, y0) to (x1, y1), drawn with a round pen."""

    def field(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        pen = 0.13 + 0.08 * u[:, 0]
        return np.min([_distance_to(line, x, y) for line in lines], axis=0) - pen

    return field


def _distance_to(line: tuple[float, float, float, float], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = line
    dx, dy = x1 - x0, y1 - y0
    t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - x0 - t * dx, y - y0 - t * dy)


def _stripes(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.sin(_pitch(u) * x + 6.3 * u[:, 1])


def _checks(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.sin(_pitch(u) * x + 6.3 * u[:, 1]) * np.sin(_pitch(u) * y + 6.3 * u[:, 2]) * 2


def _dots(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.sin(_pitch(u) * x + 6.3 * u[:, 1]) + np.sin(_pitch(u) * y + 6.3 * u[:, 2]) - 0.7


def _ripples(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.sin(_pitch(u) * np.hypot(x, y) + 6.3 * u[:, 1])


def _waves(x: np.ndarray, y: np.ndarray, u: np.ndarray) -> np.ndarray:
    bend = (1.0 + 0.5 * u[:, 3]) * np.sin(4 * y + 6.3 * u[:, 2])
    return np.sin(0.8 * _pitch(u) * x + bend + 6.3 * u[:, 1])


def _pitch(u: np.ndarray) -> np.ndarray:
    return 7 + 4 * u[:, 0]


FAMILIES: dict[str, dict[str, Field]] = {
    "polygons": {
        "triangle": _polygon(3),
        "square": _polygon(4),
        "pentagon": _polygon(5),
        "star": _star,
        "cross": _cross,
    },
    "round things": {
        "disc": _disc,
        "ring": _ring,
        "ellipse": _ellipse,
        "crescent": _crescent,
        "flower": _flower,
    },
    "letters": {
        "T": _strokes((-0.7, -0.8, 0.7, -0.8), (0, -0.8, 0, 0.85)),
        "H": _strokes((-0.6, -0.8, -0.6, 0.8), (0.6, -0.8, 0.6, 0.8), (-0.6, 0, 0.6, 0)),
        "Y": _strokes((-0.65, -0.8, 0, 0), (0.65, -0.8, 0, 0), (0, 0, 0, 0.85)),
        "Z": _strokes((-0.65, -0.75, 0.65, -0.75), (0.65, -0.75, -0.65, 0.75), (-0.65, 0.75, 0.65, 0.75)),
        "F": _strokes((-0.5, -0.8, -0.5, 0.85), (-0.5, -0.8, 0.6, -0.8), (-0.5, 0, 0.4, 0)),
    },
    "textures": {
        "stripes": _stripes,
        "checks": _checks,
        "dots": _dots,
        "ripples": _ripples,
        "waves": _waves,
    },
}
