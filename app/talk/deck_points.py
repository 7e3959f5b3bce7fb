"""Points with their bars as PowerPoint's own chart, from the Plotly spec; each name beside its point, none over another."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_MARKER_STYLE
from pptx.enum.dml import MSO_LINE
from pptx.util import Pt

from app.labels import Box
from app.talk.deck_parts import LETTER, LINE, POINTS, PX, Axis, axes, even, lay, legend, rgb, rows_of
from app.talk.deck_spreads import PointsWithSpreads, lengths_of, spread_bars

MARKERS = {
    "circle": XL_MARKER_STYLE.CIRCLE, "square": XL_MARKER_STYLE.SQUARE, "diamond": XL_MARKER_STYLE.DIAMOND, "diamond-wide": XL_MARKER_STYLE.DIAMOND, "triangle-up": XL_MARKER_STYLE.TRIANGLE,
    "star": XL_MARKER_STYLE.STAR, "x": XL_MARKER_STYLE.X, "x-thin": XL_MARKER_STYLE.X, "cross": XL_MARKER_STYLE.PLUS, "triangle-down": XL_MARKER_STYLE.TRIANGLE,
}  # fmt: skip
MARK = 13  # points of a marker's side
LEFT, RIGHT, BELOW = 112.0, 28.0, 78.0  # pixels beside and below the plot, for the axes' texts
PLACES = (XL_LABEL_POSITION.RIGHT, XL_LABEL_POSITION.ABOVE, XL_LABEL_POSITION.BELOW, XL_LABEL_POSITION.LEFT)
Point = tuple[float, float]


def points(page: Any, figure: Mapping[str, Any], *place: int) -> Any:
    """Points in their method's colour and marker; hollow ones stay hollow, thin paths and level rules stay lines, named points keep names."""
    layout = figure["layout"]
    dots = [trace for trace in figure["data"] if _is_points(trace)]
    lines = [trace for trace in figure["data"] if _is_path(trace)]
    across, up = (_ends(layout.get(f"{axis}axis", {}), axis, dots, layout) for axis in "xy")
    rules = [
        _rule(shape, across, up, dots, layout)
        for shape in layout.get("shapes", [])
        if shape.get("y0") == shape.get("y1")
    ]
    lines = rules + lines
    data = PointsWithSpreads()
    for number, trace in enumerate([*lines, *dots]):
        series = data.add_series(trace.get("name") or f"path {number + 1}")
        for x, y in _known(trace):
            series.add_data_point(x, y)
        data.spreads.append(trace)
    frame = page.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, *place, data)
    chart, drawn = frame.chart, list(frame.chart.plots[0].series)
    for trace, series in zip(lines, drawn[: len(lines)], strict=True):
        _dress_line(series, trace)
    axes(chart, layout, (across, up))
    width, height = place[2] / PX, place[3] / PX
    above = _legend(chart, len(lines), [trace["name"] for trace in dots], width, height)
    wide, tall = width - LEFT - RIGHT, height - above - 10 - BELOW
    lay(chart._chartSpace.chart.plotArea, LEFT / width, (above + 10) / height, wide / width, tall / height, inner=True)

    def spots(trace: Mapping[str, Any]) -> list[Point]:
        return [
            ((x - across.low) / (across.high - across.low) * wide, (up.high - y) / (up.high - up.low) * tall)
            for x, y in _known(trace)
        ]

    for rule, series in zip(rules, drawn, strict=False):
        _name(series.points[1], rule["said"], XL_LABEL_POSITION.ABOVE)
    names = [list(_names(trace, layout.get("annotations", []))) for trace in dots]
    kept_off = [box for line in lines for box in _along(spots(line), line)]
    kept_off += [box for trace in dots for box in _barred(trace, spots)]
    sides = _sides([*map(spots, dots)], names, wide, tall, kept_off)
    for k, (trace, series) in enumerate(zip(dots, drawn[len(lines) :], strict=True)):
        _dress_points(series, trace)
        spread_bars(series, data, len(lines) + k)
        for number, name in enumerate(names[k]):
            if (k, number) in sides:
                _name(series.points[number], name, sides[k, number])
    return frame


def _known(trace: Mapping[str, Any]) -> list[Point]:
    return [(x, y) for x, y in zip(trace["x"], trace["y"], strict=True) if x is not None and y is not None]


def _is_points(trace: Mapping[str, Any]) -> bool:
    return "markers" in trace.get("mode", "") and bool(trace.get("name"))


def _is_path(trace: Mapping[str, Any]) -> bool:
    return trace.get("mode") == "lines" and not trace.get("fill") and trace.get("legendgroup") != "frontier"


def _rule(
    shape: Mapping[str, Any], across: Axis, up: Axis, dots: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]
) -> dict[str, Any]:
    """A level line over the whole plot, as a path; `said` above its middle point, off all dots: the note at the plot's edge that is nearest."""
    y, wide = shape["y0"], across.high - across.low
    notes = [note for note in layout.get("annotations", []) if note.get("xref") == "paper"]
    said = min(notes, key=lambda note: abs(note["y"] - y))["text"] if notes else ""
    near = [x for trace in dots for x, up_there in _known(trace) if abs(up_there - y) < 0.15 * (up.high - up.low)]
    spots = [across.low + share * wide for share in (0.9, 0.1, 0.7, 0.3, 0.5)]
    middle = next((spot for spot in spots if all(abs(spot - x) > 0.15 * wide for x in near)), spots[0])
    line = {"color": shape["line"]["color"], "dash": "dot"}
    return {
        "x": [across.low, middle, across.high],
        "y": [y] * 3,
        "line": line,
        "said": html.unescape(said.replace("<br>", " ")),
    }


def _along(spots: Sequence[Point], line: Mapping[str, Any]) -> list[Box]:
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


def _barred(trace: Mapping[str, Any], spots: Callable[[Mapping[str, Any]], list[Point]]) -> list[Box]:
    """What the bars of a trace's points cover."""
    found = []
    for axis in ("x", "y"):
        less, more = (lengths_of(trace, axis, side) for side in ("minus", "plus"))
        known = _known(trace)
        for sign, lengths in ((-1, less), (1, more)):
            ends = [
                (x + sign * long, y) if axis == "x" else (x, y + sign * long)
                for (x, y), long in zip(known, lengths, strict=False)
            ]
            far = spots({"x": [x for x, _ in ends], "y": [y for _, y in ends]})
            found += [
                Box(min(a, c) - 2, min(b, d) - 2, max(a, c) + 2, max(b, d) + 2)
                for (a, b), (c, d) in zip(spots(trace), far, strict=False)
            ]
    return found


def _legend(chart: Any, lines: int, names: Sequence[str], width: float, height: float) -> float:
    """A legend above where several things are drawn: its height."""
    if len(names) < 2:
        chart.has_title = chart.has_legend = False
        return 0.0
    legend(chart, range(lines))
    above = LINE * rows_of(names, 0.96 * width)
    lay(chart.legend._element, 0.02, 0.0, 0.96, above / height)
    return above


def _ends(about: Mapping[str, Any], axis: str, dots: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> Axis:
    """The axis as the figure has it; where that leaves it open, around all points, bars and level lines."""
    if about.get("range") and isinstance(about["range"][0], int | float):
        return even(*about["range"])
    values = [value for trace in dots for value in trace[axis] if value is not None]
    for trace in dots:
        error = trace.get(f"error_{axis}")
        for value, more, less in zip(trace[axis], error["array"], error["arrayminus"], strict=True) if error else ():
            values += [value + (more or 0), value - (less or 0)]
    values += [shape["y0"] for shape in layout.get("shapes", []) if axis == "y" and shape.get("y0") == shape.get("y1")]
    room = 0.12 * ((max(values) - min(values)) or abs(max(values)) or 1.0)
    return even(min(values) - room, max(values) + room)


def _names(trace: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
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


def _sides(
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


def _name(point: Any, name: str, side: Any) -> None:
    """A name beside a point, in one line."""
    label = point.data_label
    label.has_text_frame, label.position = True, side
    label.text_frame.text, label.text_frame.word_wrap = name, False
    label.text_frame.paragraphs[0].runs[0].font.size = Pt(POINTS)


def _dress_line(series: Any, trace: Mapping[str, Any]) -> None:
    series.marker.style = XL_MARKER_STYLE.NONE
    series.format.line.color.rgb, series.format.line.width = rgb(trace["line"]["color"]), Pt(1.25)
    if trace["line"].get("dash") == "dot":
        series.format.line.dash_style = MSO_LINE.ROUND_DOT
    series.smooth = False


def _dress_points(series: Any, trace: Mapping[str, Any]) -> None:
    marker, symbol = trace["marker"], str(trace["marker"].get("symbol", "circle"))
    colours = marker["color"] if isinstance(marker["color"], list) else [marker["color"]] * len(_known(trace))
    series.format.line.fill.background()
    _dress_marker(series.marker, symbol, colours[0])
    for number, colour in enumerate(colours[1:], 1):
        if colour != colours[0]:
            _dress_marker(series.points[number].marker, symbol, colour)


def _dress_marker(marker: Any, symbol: str, colour: str) -> None:
    marker.style, marker.size = MARKERS.get(symbol.removesuffix("-open"), XL_MARKER_STYLE.CIRCLE), MARK
    if symbol.endswith("-open"):
        marker.format.fill.background()
    else:
        marker.format.fill.solid()
        marker.format.fill.fore_color.rgb = rgb(colour)
    marker.format.line.color.rgb, marker.format.line.width = rgb(colour), Pt(2)
