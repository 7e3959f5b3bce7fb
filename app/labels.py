"""Names beside points: each nearest to its own, none over another name, a point or the edge. Greedy, in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

HEIGHT, LETTER, LONGEST = 15.0, 6.1, 34  # pixels of a line, of a letter at 11 px; letters
NEAR, FAR = 12.0, (26.0, 44.0)  # pixels from the point; farther off a thin line leads back to it
CLEAR = 5.0  # pixels that such a line stays off other points


class Box(NamedTuple):
    """A rectangle: left, top, right, bottom, in pixels from the top left of the plot."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def gap(self, point: tuple[float, float]) -> float:
        """How far a point is from the rectangle; 0 inside."""
        x, y = point
        return math.hypot(max(self.left - x, 0.0, x - self.right), max(self.top - y, 0.0, y - self.bottom))


class Label(NamedTuple):
    """Where the name of point `point` stands: its box, and whether a thin line leads to it."""

    point: int
    text: str
    box: Box
    leads: bool


def placed(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    wide: float,
    tall: float,
    order: Sequence[int],
    taken: Sequence[Box] = (),
) -> list[Label]:
    """The names that find a place, those first in `order` first. `points`: pixels from the top left of a plot `wide` x `tall`; `taken`:
    what else no name may cover."""
    marks = [*taken, *(Box(x - 7, y - 7, x + 7, y + 7) for x, y in points)]
    done: list[Label] = []
    for index in order:
        text = names[index] if len(names[index]) <= LONGEST else f"{names[index][: LONGEST - 1]}…"
        for distance in (NEAR, *FAR):
            others = [spot for spot in points if spot != points[index]]
            covered = [*marks, *(label.box for label in done)]
            box = _free(points[index], len(text) * LETTER, distance, wide, tall, covered, others)
            if box is not None:
                done.append(Label(index, text, box, distance > NEAR))
                break
    return done


def _free(
    point: tuple[float, float],
    long: float,
    away: float,
    wide: float,
    tall: float,
    taken: Sequence[Box],
    others: Sequence[tuple[float, float]],
) -> Box | None:
    """The first free place around a point: right, below, above, left, then the corners.

    Of a place near by no other point may be nearer; farther off the line back to the point may not pass another one.
    """
    x, y = point
    middle, half = y - HEIGHT / 2, x - long / 2
    slant = away * 0.6
    corners = (
        (x + away, middle), (half, y + away - 3), (half, y - away + 3 - HEIGHT), (x - away - long, middle),
        (x + slant, y + slant), (x + slant, y - slant - HEIGHT), (x - slant - long, y + slant), (x - slant - long, y - slant - HEIGHT),
    )  # fmt: skip
    for left, top in corners:
        box = Box(left, top, left + long, top + HEIGHT)
        inside = box.left >= 0 and box.top >= 0 and box.right <= wide and box.bottom <= tall
        if not inside or any(box.meets(other) for other in taken):
            continue
        own, middle_of = box.gap(point), ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
        if all(box.gap(other) >= own if away == NEAR else _off(other, point, middle_of) > CLEAR for other in others):
            return box
    return None


def _off(spot: tuple[float, float], start: tuple[float, float], end: tuple[float, float]) -> float:
    """How far a point is from the line between two others."""
    (x, y), (x0, y0), (x1, y1) = spot, start, end
    along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
    part = min(1.0, max(0.0, along))
    return math.hypot(x0 + part * (x1 - x0) - x, y0 + part * (y1 - y0) - y)
