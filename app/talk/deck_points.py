"""Points with their bars as PowerPoint's own chart, from the Plotly spec; each name beside its point, none over another."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_MARKER_STYLE
from pptx.enum.dml import MSO_LINE
from pptx.util import Pt

from app.talk.deck_names import LEFT, RIGHT, Point, along, barred, known, names_of, put_name, sides
from app.talk.deck_parts import LINE, PX, Axis, axes, even, lay, legend, rgb, rows_of
from app.talk.deck_spreads import PointsWithSpreads, spread_bars

MARKERS = {
    "circle": XL_MARKER_STYLE.CIRCLE, "square": XL_MARKER_STYLE.SQUARE, "diamond": XL_MARKER_STYLE.DIAMOND, "diamond-wide": XL_MARKER_STYLE.DIAMOND, "triangle-up": XL_MARKER_STYLE.TRIANGLE,
    "star": XL_MARKER_STYLE.STAR, "x": XL_MARKER_STYLE.X, "x-thin": XL_MARKER_STYLE.X, "cross": XL_MARKER_STYLE.PLUS, "triangle-down": XL_MARKER_STYLE.TRIANGLE,
}  # fmt: skip
MARK = 13  # points of a marker's side
BELOW = 78.0  # pixels below the plot, for the axis' texts


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
        for x, y in known(trace):
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
            for x, y in known(trace)
        ]

    for rule, series in zip(rules, drawn, strict=False):
        put_name(series.points[1], rule["said"], XL_LABEL_POSITION.ABOVE)
    names = [list(names_of(trace, layout.get("annotations", []))) for trace in dots]
    kept_off = [box for line in lines for box in along(spots(line), line)]
    kept_off += [box for trace in dots for box in barred(trace, spots)]
    chosen = sides([*map(spots, dots)], names, wide, tall, kept_off)
    for k, (trace, series) in enumerate(zip(dots, drawn[len(lines) :], strict=True)):
        _dress_points(series, trace)
        spread_bars(series, data, len(lines) + k)
        for number, name in enumerate(names[k]):
            if (k, number) in chosen:
                put_name(series.points[number], name, chosen[k, number])
    return frame


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
    near = [x for trace in dots for x, up_there in known(trace) if abs(up_there - y) < 0.15 * (up.high - up.low)]
    spots = [across.low + share * wide for share in (0.9, 0.1, 0.7, 0.3, 0.5)]
    middle = next((spot for spot in spots if all(abs(spot - x) > 0.15 * wide for x in near)), spots[0])
    line = {"color": shape["line"]["color"], "dash": "dot"}
    return {
        "x": [across.low, middle, across.high],
        "y": [y] * 3,
        "line": line,
        "said": html.unescape(said.replace("<br>", " ")),
    }


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


def _dress_line(series: Any, trace: Mapping[str, Any]) -> None:
    series.marker.style = XL_MARKER_STYLE.NONE
    series.format.line.color.rgb, series.format.line.width = rgb(trace["line"]["color"]), Pt(1.25)
    if trace["line"].get("dash") == "dot":
        series.format.line.dash_style = MSO_LINE.ROUND_DOT
    series.smooth = False


def _dress_points(series: Any, trace: Mapping[str, Any]) -> None:
    marker, symbol = trace["marker"], str(trace["marker"].get("symbol", "circle"))
    colours = marker["color"] if isinstance(marker["color"], list) else [marker["color"]] * len(known(trace))
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
