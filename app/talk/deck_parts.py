"""What PowerPoint's own charts share: axes, a legend above, where the plot lies, colours. Lengths in the slide's pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lxml import etree
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_LEGEND_POSITION
from pptx.oxml.ns import qn
from pptx.util import Pt

from app.components.figure_parts import GHOST

PX = 9525  # a slide's pixel in PowerPoint's own unit
POINTS = 18  # 24 of the slide's 720 lines
LETTER, LINE = 11.6, 30.0  # pixels of a letter and of a line of that size
KEY = 56.0  # pixels of a legend's mark with the room around it


class Axis(NamedTuple):
    """Ends and step of an axis."""

    low: float
    high: float
    step: float


def even(low: float, high: float) -> Axis:
    """An axis that begins at a whole step, from which PowerPoint counts its ticks, and ends where the figure does."""
    rough = (high - low) / 6
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 5, 10) if size * times >= rough)
    return Axis(round(math.floor(low / step) * step, 6), round(high, 6), step)


def axes(chart: Any, layout: Mapping[str, Any], ends: Sequence[Axis | None] = (None, None)) -> None:
    """Titles, ends and soft lines of both axes."""
    chart.font.size, chart.font.name = Pt(POINTS), "Arial"
    drawn = ((chart.category_axis, layout["xaxis"]), (chart.value_axis, layout["yaxis"]))
    for (axis, about), end in zip(drawn, ends, strict=True):
        axis.has_major_gridlines = axis is chart.value_axis
        if axis.has_major_gridlines:
            axis.major_gridlines.format.line.color.rgb = RGBColor(0xDF, 0xE4, 0xDE)
        axis.format.line.color.rgb = rgb(GHOST)
        if title := about.get("title", {}).get("text"):
            axis.has_title = True
            axis.axis_title.text_frame.text = title
            run = axis.axis_title.text_frame.paragraphs[0].runs[0]
            run.font.size, run.font.bold = Pt(POINTS), False
        if end:
            axis.minimum_scale, axis.maximum_scale, axis.major_unit = end
        axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "General", False


def legend(chart: Any, hidden: Sequence[int] = ()) -> None:
    """A legend above, without the entries of mere lines."""
    chart.has_title, chart.has_legend = False, True
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.TOP, False
    chart.legend.font.size = Pt(POINTS)
    for number in reversed(hidden):
        entry = etree.Element(qn("c:legendEntry"))
        etree.SubElement(entry, qn("c:idx"), val=str(number))
        etree.SubElement(entry, qn("c:delete"), val="1")
        chart.legend._element.insert(1, entry)


def rows_of(names: Sequence[str], width: float) -> int:
    """In how many rows the entries of a legend stand side by side."""
    row, used = 1, 0.0
    for name in names:
        wide = KEY + LETTER * len(name)
        row, used = (row + 1, wide) if used + wide > width and used else (row, used + wide)
    return row


def lay(part: Any, x: float, y: float, width: float, height: float, *, inner: bool = False) -> None:
    """Where a plot area or a legend lies, as shares of the chart (ECMA-376, 21.2.2.95); `inner`: the plot without its axes' texts."""
    for old in part.findall(qn("c:layout")):
        part.remove(old)
    layout = etree.Element(qn("c:layout"))
    manual = etree.SubElement(layout, qn("c:manualLayout"))
    if inner:
        etree.SubElement(manual, qn("c:layoutTarget"), val="inner")
    for name in ("xMode", "yMode"):
        etree.SubElement(manual, qn(f"c:{name}"), val="edge")
    for name, value in zip("xywh", (x, y, width, height), strict=True):
        etree.SubElement(manual, qn(f"c:{name}"), val=f"{value:.5f}")
    before = [child for child in part if child.tag in (qn("c:legendPos"), qn("c:legendEntry"))]
    part.insert(part.index(before[-1]) + 1 if before else 0, layout)


def rgb(colour: str) -> RGBColor:
    """A Plotly colour, #rrggbb."""
    return RGBColor.from_string(colour.lstrip("#").upper())
