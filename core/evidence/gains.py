"""What a table of NestedNet's shows, difference by difference: a level against a network of its own, consensus against the full level.

Each with the paper's difference between the same two, where it prints them. Points of accuracy: positive is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.evidence.counting import Difference, judged, recorded, signed, summary
from core.evidence.wanted import Table
from core.papers import Point, points


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


def beside_the_paper(found: Sequence[Gain]) -> list[str]:
    """Which of the paper's differences hold here: a sentence for those that do, that go the other way, that are not clear."""
    said: dict[str, list[str]] = {}
    for one in found:
        if one.paper is not None:
            said.setdefault(_how(one), []).append(_pair(one))
    return [f"{how}: {'; '.join(said[how])}." for how in (HOLDS, OTHERWISE, UNCLEAR, SINGLE) if how in said]


HOLDS, OTHERWISE = "As in the paper", "Other than in the paper"
UNCLEAR, SINGLE = "Not clear here, so neither", "Of one seed, so not judged"


def _how(one: Gain) -> str:
    mark = judged(one.ours)
    if mark is None:
        return SINGLE
    if mark == 0:
        return UNCLEAR
    return HOLDS if mark * (one.paper or 0) > 0 else OTHERWISE


def _pair(one: Gain) -> str:
    """`level 0 against level alone, +0.57 ± 0.10 points (there +0.30)`."""
    mean, deviation, _ = one.ours
    spread = "" if deviation is None else f" ± {100 * deviation:.2f}"
    return f"{one.label} against {one.against}, {signed(100 * mean)}{spread} points (there {signed(100 * (one.paper or 0))})"


def printed(place: str, point: str) -> Point:
    """NestedNet's point of that name in a table or figure of the paper."""
    return next(p for p in points() if (p.paper, p.place, p.point) == ("NestedNet", place, point))
