"""PowerPoint's own charts of a slide's figure, to edit: points of a trade-off with their bars, or horizontal bars. From the Plotly spec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lxml import etree
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import (
    XL_CHART_TYPE,
    XL_LABEL_POSITION,
    XL_LEGEND_POSITION,
    XL_MARKER_STYLE,
    XL_TICK_LABEL_POSITION,
)
from pptx.oxml.ns import qn
from pptx.util import Pt

from app.components.figure_parts import CLEAR, GHOST
from app.talk.slide import Slide

POINTS = 18  # 24 of the slide's 720 lines
MARKERS = {
    "circle": XL_MARKER_STYLE.CIRCLE, "square": XL_MARKER_STYLE.SQUARE, "diamond": XL_MARKER_STYLE.DIAMOND, "diamond-wide": XL_MARKER_STYLE.DIAMOND, "triangle-up": XL_MARKER_STYLE.TRIANGLE,
    "star": XL_MARKER_STYLE.STAR, "x": XL_MARKER_STYLE.X, "x-thin": XL_MARKER_STYLE.X, "cross": XL_MARKER_STYLE.PLUS, "triangle-down": XL_MARKER_STYLE.TRIANGLE,
}  # fmt: skip


def fits(slide: Slide) -> bool:
    """Whether PowerPoint can draw the figure as it is meant: on linear axes only."""
    if not slide.native or slide.figure is None:
        return False
    layout = slide.figure["layout"]
    return all(layout.get(axis, {}).get("type") in (None, "linear", "category") for axis in ("xaxis", "yaxis"))


def add(page: Any, slide: Slide, left: int, top: int, width: int, height: int) -> Any:
    """The chart on a PowerPoint slide: its frame."""
    draw = _points if slide.native == "points" else _bars
    return draw(page, slide.figure or {}, left, top, width, height)


def _points(page: Any, figure: Mapping[str, Any], *place: int) -> Any:
    """Points in their method's colour and marker; hollow ones stay hollow, thin paths stay lines, named points keep their names."""
    drawn = [trace for trace in figure["data"] if _is_points(trace) or _is_path(trace)]
    data = XyChartData()
    for number, trace in enumerate(drawn):
        series = data.add_series(trace.get("name") or f"path {number + 1}")
        for x, y in zip(trace["x"], trace["y"], strict=True):
            if x is not None and y is not None:
                series.add_data_point(x, y)
    frame = page.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, *place, data)
    chart = frame.chart
    names = _names(figure)
    for trace, series in zip(drawn, chart.plots[0].series, strict=True):
        _dress_points(series, trace, names)
    _axes(chart, figure["layout"])
    _legend(chart, [k for k, trace in enumerate(drawn) if not _is_points(trace)])
    return frame


def _is_points(trace: Mapping[str, Any]) -> bool:
    return "markers" in trace.get("mode", "") and bool(trace.get("name"))


def _is_path(trace: Mapping[str, Any]) -> bool:
    return trace.get("mode") == "lines" and not trace.get("fill") and trace.get("legendgroup") != "frontier"


def _names(figure: Mapping[str, Any]) -> dict[tuple[float, float], str]:
    """What stands beside which point: annotations, and texts of the points themselves."""
    found = {
        (round(a["x"], 2), round(a["y"], 2)): a["text"]
        for a in figure["layout"].get("annotations", [])
        if a.get("xref") != "paper" and isinstance(a["x"], int | float)
    }
    for trace in figure["data"]:
        if "text" in trace.get("mode", ""):
            found |= {
                (round(x, 2), round(y, 2)): text
                for x, y, text in zip(trace["x"], trace["y"], trace["text"], strict=True)
            }
    return found


def _dress_points(series: Any, trace: Mapping[str, Any], names: Mapping[tuple[float, float], str]) -> None:
    if not _is_points(trace):
        series.marker.style = XL_MARKER_STYLE.NONE
        series.format.line.color.rgb, series.format.line.width = _rgb(trace["line"]["color"]), Pt(1.25)
        series.smooth = False
        return
    marker, symbol = trace["marker"], str(trace["marker"].get("symbol", "circle"))
    colour = marker["color"] if isinstance(marker["color"], str) else marker["color"][0]
    series.format.line.fill.background()
    series.marker.style, series.marker.size = MARKERS.get(symbol.removesuffix("-open"), XL_MARKER_STYLE.CIRCLE), 13
    if symbol.endswith("-open"):
        series.marker.format.fill.background()
    else:
        series.marker.format.fill.solid()
        series.marker.format.fill.fore_color.rgb = _rgb(colour)
    series.marker.format.line.color.rgb, series.marker.format.line.width = _rgb(colour), Pt(2)
    points = [(x, y) for x, y in zip(trace["x"], trace["y"], strict=True) if x is not None and y is not None]
    for number, (x, y) in enumerate(points):
        if name := names.get((round(x, 2), round(y, 2))):
            label = series.points[number].data_label
            label.has_text_frame, label.position = (
                True,
                XL_LABEL_POSITION.RIGHT if number % 2 == 0 else XL_LABEL_POSITION.BELOW,
            )
            label.text_frame.text = name
            label.text_frame.paragraphs[0].runs[0].font.size = Pt(POINTS)
    for axis, direction in (("error_x", "x"), ("error_y", "y")):
        if any(trace.get(axis, {}).get("array", [])):
            _whiskers(series, direction, trace[axis], colour)


def _whiskers(series: Any, direction: str, error: Mapping[str, Any], colour: str) -> None:
    """Error bars, for which python-pptx has no words of its own (ECMA-376, 21.2.2.55)."""
    bars = etree.SubElement(series._element, qn("c:errBars"))
    for name, value in (("errDir", direction), ("errBarType", "both"), ("errValType", "cust"), ("noEndCap", "0")):
        etree.SubElement(bars, qn(f"c:{name}"), val=value)
    for name, values in (("plus", error["array"]), ("minus", error["arrayminus"])):
        numbers = etree.SubElement(etree.SubElement(bars, qn(f"c:{name}")), qn("c:numLit"))
        etree.SubElement(numbers, qn("c:ptCount"), val=str(len(values)))
        for k, value in enumerate(values):
            etree.SubElement(etree.SubElement(numbers, qn("c:pt"), idx=str(k)), qn("c:v")).text = str(value)
    line = etree.SubElement(etree.SubElement(bars, qn("c:spPr")), qn("a:ln"), w="15875")
    etree.SubElement(etree.SubElement(line, qn("a:solidFill")), qn("a:srgbClr"), val=str(_rgb(colour)))
    after = next(child for child in series._element if child.tag in (qn("c:xVal"), qn("c:cat"), qn("c:yVal")))
    after.addprevious(bars)


def _bars(page: Any, figure: Mapping[str, Any], *place: int) -> Any:
    """Horizontal bars, the first on top; an outline stays an outline."""
    drawn = [trace for trace in figure["data"] if trace["type"] == "bar"]
    data = CategoryChartData()
    data.categories = drawn[0]["y"]
    for trace in drawn:
        data.add_series(trace["name"], trace["x"])
    frame = page.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *place, data)
    chart = frame.chart
    chart.plots[0].gap_width, chart.plots[0].overlap = 40, 0
    for trace, series in zip(drawn, chart.plots[0].series, strict=True):
        colour = trace["marker"]["color"]
        if colour == CLEAR:
            series.format.fill.background()
            series.format.line.color.rgb, series.format.line.width = _rgb(trace["marker"]["line"]["color"]), Pt(2)
        else:
            series.format.fill.solid()
            series.format.fill.fore_color.rgb = _rgb(colour)
    _axes(chart, {"xaxis": {}, "yaxis": figure["layout"]["xaxis"]})
    chart.category_axis.reverse_order = True
    chart.value_axis.tick_label_position = XL_TICK_LABEL_POSITION.HIGH
    _legend(chart, [])
    return frame


def _axes(chart: Any, layout: Mapping[str, Any]) -> None:
    """Titles, ranges and soft lines of both axes."""
    chart.font.size, chart.font.name = Pt(POINTS), "Arial"
    for axis, about in ((chart.category_axis, layout["xaxis"]), (chart.value_axis, layout["yaxis"])):
        axis.has_major_gridlines = axis is chart.value_axis
        if axis.has_major_gridlines:
            axis.major_gridlines.format.line.color.rgb = RGBColor(0xDF, 0xE4, 0xDE)
        axis.format.line.color.rgb = _rgb(GHOST)
        if title := about.get("title", {}).get("text"):
            axis.has_title = True
            axis.axis_title.text_frame.text = title
            run = axis.axis_title.text_frame.paragraphs[0].runs[0]
            run.font.size, run.font.bold = Pt(POINTS), False
        if about.get("range") and isinstance(about["range"][0], int | float):
            axis.minimum_scale, axis.maximum_scale, axis.major_unit = _even(*about["range"])
        axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "General", False


def _even(low: float, high: float) -> tuple[float, float, float]:
    """Ends at whole steps, and the step: PowerPoint counts its ticks from the lower end."""
    rough = (high - low) / 6
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    return round(math.floor(low / step) * step, 6), round(math.ceil(high / step) * step, 6), step


def _legend(chart: Any, hidden: list[int]) -> None:
    """A legend below, without the entries of mere lines."""
    chart.has_title = False
    chart.has_legend = True
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.TOP, False
    chart.legend.font.size = Pt(POINTS)
    for number in reversed(hidden):
        entry = etree.Element(qn("c:legendEntry"))
        etree.SubElement(entry, qn("c:idx"), val=str(number))
        etree.SubElement(entry, qn("c:delete"), val="1")
        chart.legend._element.insert(1, entry)


def _rgb(colour: str) -> RGBColor:
    return RGBColor.from_string(colour.lstrip("#").upper())
