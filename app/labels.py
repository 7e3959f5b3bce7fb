"""Names beside points: each next to its own, none over another name, a point or the edge. Greedy, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HEIGHT, LETTER, LONGEST = 15.0, 6.1, 34  # pixels of a line, of a letter at 11 px; letters
NEAR, FAR = 12.0, (26.0, 44.0)  # pixels from the point; farther off a thin line leads back to it


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
            box = _free(
                points[index], len(text) * LETTER, distance, wide, tall, [*marks, *(label.box for label in done)]
            )
            if box is not None:
                done.append(Label(index, text, box, distance > NEAR))
                break
    return done


def _free(
    point: tuple[float, float], long: float, away: float, wide: float, tall: float, taken: Sequence[Box]
) -> Box | None:
    """The first free place around a point: right, below, above, left, then the corners."""
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
        if inside and not any(box.meets(other) for other in taken):
            return box
    return None
