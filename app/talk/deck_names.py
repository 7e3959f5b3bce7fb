"""Names beside the points of PowerPoint's own chart: each next to its own, none over another, a point, or, where it can, a line."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pptx.enum.chart import XL_LABEL_POSITION
from pptx.util import Pt

from app.labels import Box
from app.talk.deck_parts import LETTER, LINE, POINTS
from app.talk.deck_spreads import lengths_of

LEFT, RIGHT = 112.0, 28.0  # pixels beside the plot: the axis' texts, and what a name may reach into
PLACES = (XL_LABEL_POSITION.RIGHT, XL_LABEL_POSITION.ABOVE, XL_LABEL_POSITION.BELOW, XL_LABEL_POSITION.LEFT)
Point = tuple[float, float]


def known(trace: Mapping[str, Any]) -> list[Point]:
    """The places of a trace's points."""
    return [(x, y) for x, y in zip(trace["x"], trace["y"], strict=True) if x is not None and y is not None]


def names_of(trace: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of every point, the name that the figure gives it: its own text, or the annotation at its place with its label; else nothing."""
    told = trace.get("text") if "text" in trace.get("mode", "") else None
    about = trace.get("customdata") or [None] * len(trace["x"])
    for number, (x, y) in enumerate(zip(trace["x"], trace["y"], strict=True)):
        if x is None or y is None:
            continue
        label = about[number][1] if isinstance(about[number], list) and len(about[number]) > 1 else None
        here = [
            note["text"]
            for note in annotations
            if note.get("xref") != "paper" and isinstance(note["x"], int | float)
            and abs(note["x"] - x) < 0.02 and abs(note["y"] - y) < 0.02
        ]  # fmt: skip
        fitting = [
            text for text in here if label is None or str(label).removeprefix("strength ").startswith(text.rstrip("…"))
        ]
        yield html.unescape(str(told[number]) if told else fitting[0] if fitting else "")


def sides(
    spots: Sequence[Sequence[Point]], names: Sequence[Sequence[str]], wide: float, tall: float, lines: Sequence[Box]
) -> dict[tuple[int, int], Any]:
    """On which side of its point each name stands, by (trace, point): the first that is free, of lines too where there is such a one;
    a name without a free side is left out."""
    taken = [Box(x - 12, y - 12, x + 12, y + 12) for one in spots for x, y in one]
    found = {}
    for trace, here in enumerate(spots):
        for number, (x, y) in enumerate(here):
            name, place = names[trace][number], (trace, number)
            if not name:
                continue
            long, half = LETTER * len(name), LINE / 2
            boxes = (
                Box(x + 13, y - half, x + 13 + long, y + half), Box(x - long / 2, y - 13 - LINE, x + long / 2, y - 13),
                Box(x - long / 2, y + 13, x + long / 2, y + 13 + LINE), Box(x - 13 - long, y - half, x - 13, y + half),
            )  # fmt: skip
            inside = [
                b.left >= -LEFT / 2 and b.top >= 0 and b.right <= wide + RIGHT and b.bottom <= tall for b in boxes
            ]
            free = [k for k, box in enumerate(boxes) if inside[k] and not any(box.meets(other) for other in taken)]
            clear = [k for k in free if not any(boxes[k].meets(line) for line in lines)]
            if free:
                chosen = (clear or free)[0]
                found[place] = PLACES[chosen]
                taken.append(boxes[chosen])
    return found


def along(spots: Sequence[Point], line: Mapping[str, Any]) -> list[Box]:
    """What a line covers, and what is said above it, for names to keep off."""
    found = []
    for (x0, y0), (x1, y1) in itertools.pairwise(spots):
        steps = max(1, round(max(abs(x1 - x0), abs(y1 - y0)) / 8))
        middles = [(x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps) for k in range(steps + 1)]
        found += [Box(x - 2, y - 2, x + 2, y + 2) for x, y in middles]
    if said := line.get("said"):
        (x, y), half = spots[1], LETTER * len(said) / 2
        found.append(Box(x - half, y - LINE - 6, x + half, y))
    return found


def barred(trace: Mapping[str, Any], spots: Callable[[Mapping[str, Any]], list[Point]]) -> list[Box]:
    """What the bars of a trace's points cover."""
    found = []
    for axis in ("x", "y"):
        less, more = (lengths_of(trace, axis, side) for side in ("minus", "plus"))
        here = known(trace)
        for sign, lengths in ((-1, less), (1, more)):
            ends = [
                (x + sign * long, y) if axis == "x" else (x, y + sign * long)
                for (x, y), long in zip(here, lengths, strict=False)
            ]
            far = spots({"x": [x for x, _ in ends], "y": [y for _, y in ends]})
            found += [
                Box(min(a, c) - 2, min(b, d) - 2, max(a, c) + 2, max(b, d) + 2)
                for (a, b), (c, d) in zip(spots(trace), far, strict=False)
            ]
    return found


def put_name(point: Any, name: str, side: Any) -> None:
    """A name beside a point, in one line."""
    label = point.data_label
    label.has_text_frame, label.position = True, side
    label.text_frame.text, label.text_frame.word_wrap = name, False
    label.text_frame.paragraphs[0].runs[0].font.size = Pt(POINTS)
