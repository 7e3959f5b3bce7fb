"""Horizontal bars as PowerPoint's own chart, from the Plotly spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE, XL_TICK_LABEL_POSITION
from pptx.util import Pt

from app.components.figure_parts import CLEAR
from app.talk.deck_parts import axes, legend, rgb


def bars(page: Any, figure: Mapping[str, Any], *place: int) -> Any:
    """Horizontal bars, the first on top; an outline stays an outline, and marks become outlines."""
    drawn = [trace for trace in figure["data"] if trace["type"] == "bar"]
    marks = [trace for trace in figure["data"] if "markers" in trace.get("mode", "") and trace.get("name")]
    data = CategoryChartData()
    data.categories = drawn[0]["y"]
    for trace in drawn:
        data.add_series(trace["name"], trace["x"])
    for trace in marks:
        at = dict(zip(trace["y"], trace["x"], strict=True))
        data.add_series(trace["name"], [at.get(category) for category in drawn[0]["y"]])
    frame = page.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *place, data)
    chart = frame.chart
    chart.plots[0].gap_width, chart.plots[0].overlap = 40, 0
    for trace, series in zip(drawn, chart.plots[0].series, strict=False):
        colour = trace["marker"]["color"]
        if colour == CLEAR:
            series.format.fill.background()
            series.format.line.color.rgb, series.format.line.width = rgb(trace["marker"]["line"]["color"]), Pt(2)
        else:
            series.format.fill.solid()
            series.format.fill.fore_color.rgb = rgb(colour)
    for trace, series in zip(marks, [*chart.plots[0].series][len(drawn) :], strict=True):
        series.format.fill.background()
        series.format.line.color.rgb, series.format.line.width = rgb(trace["marker"]["line"]["color"]), Pt(1.5)
    axes(chart, {"xaxis": {}, "yaxis": figure["layout"]["xaxis"]})
    chart.category_axis.reverse_order = True
    chart.value_axis.tick_label_position = XL_TICK_LABEL_POSITION.HIGH
    legend(chart)
    return frame
