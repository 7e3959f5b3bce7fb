"""What a table of NestedNet's shows, difference by difference: a level against a network of its own, consensus against the full level.

Each with the paper's difference between the same two, where it prints them. Points of accuracy: positive is better.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.evidence.counting import recorded, summary
from core.evidence.wanted import Table
from core.papers import Point, points

Difference = tuple[float, float | None, int]


@dataclass(frozen=True)
class Gain:
    """`label` better than `against` by `ours` (mean, sample standard deviation, pairs) of accuracy, 0-1; by `paper` in its own networks."""

    label: str
    against: str
    ours: Difference
    paper: float | None
    cited: str


def gains(table: Table) -> list[Gain]:
    """The differences that a table's rows give, in order."""
    found = []
    for line in summary(table, recorded(table)):
        if line["over_full"]:
            found.append(_gain(table, line["label"], FULL, line["over_full"]))
        if line["difference"] and not line["label"].startswith("consensus"):
            found.append(_gain(table, line["label"], line["role"], line["difference"]))
    return found


FULL = "full level"


def _gain(table: Table, label: str, against: str, ours: Difference) -> Gain:
    place, better, than = table.pairs.get((label, against), ("", "", ""))
    if not place:
        return Gain(label, against, ours, None, "")
    a, b = printed(place, better), printed(place, than)
    return Gain(
        label, against, ours, (b.error - a.error) / 100, f"{better} {a.error:g} %, {than} {b.error:g} %: {a.source}"
    )


def printed(place: str, point: str) -> Point:
    """NestedNet's point of that name in a table or figure of the paper."""
    return next(p for p in points() if (p.paper, p.place, p.point) == ("NestedNet", place, point))
