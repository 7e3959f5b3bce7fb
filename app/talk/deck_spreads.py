"""Error bars of PowerPoint's own charts, for which python-pptx has no words: their lengths stand in the chart's sheet, beside its points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree
from pptx.chart.data import XyChartData
from pptx.chart.xlsx import XyWorkbookWriter
from pptx.oxml.ns import qn

from app.talk.deck_parts import rgb

COLUMNS = {("x", "plus"): 2, ("x", "minus"): 3, ("y", "plus"): 4, ("y", "minus"): 5}  # behind x and y
KEYS = {"plus": "array", "minus": "arrayminus"}


class PointsWithSpreads(XyChartData):
    """Points whose sheet also holds the lengths of their bars; `spreads`: of every series its Plotly trace, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.spreads: list[Mapping[str, Any]] = []
        self.writer = _Writer(self)

    @property
    def _workbook_writer(self) -> XyWorkbookWriter:
        return self.writer


class _Writer(XyWorkbookWriter):
    def _populate_worksheet(self, workbook: Any, worksheet: Any) -> None:
        super()._populate_worksheet(workbook, worksheet)
        for series, trace in zip(self._chart_data, self._chart_data.spreads, strict=True):
            top = self.series_table_row_offset(series)
            for (axis, side), column in COLUMNS.items():
                if lengths := lengths_of(trace, axis, side):
                    worksheet.write(top, column, f"{axis} {'more' if side == 'plus' else 'less'}")
                    worksheet.write_column(top + 1, column, lengths)


def lengths_of(trace: Mapping[str, Any], axis: str, side: str) -> list[float]:
    """The lengths of the bars of a trace's points on one side; empty where it has none."""
    error = trace.get(f"error_{axis}", {})
    lengths = [float(value or 0.0) for value in error.get(KEYS[side], [])]
    known = [x is not None and y is not None for x, y in zip(trace["x"], trace["y"], strict=True)]
    lengths = [value for value, is_known in zip(lengths, known, strict=False) if is_known]
    return lengths if any(float(value or 0.0) for key in KEYS.values() for value in error.get(key, [])) else []


def spread_bars(series: Any, data: PointsWithSpreads, number: int) -> None:
    """The bars of series `number` (ECMA-376, 21.2.2.55), in its colour."""
    trace = data.spreads[number]
    top = data.writer.series_table_row_offset(data[number]) + 2
    after = next(child for child in series._element if child.tag in (qn("c:xVal"), qn("c:yVal")))
    for axis in ("x", "y"):
        if not lengths_of(trace, axis, "plus"):
            continue
        bars = etree.Element(qn("c:errBars"))
        for name, value in (("errDir", axis), ("errBarType", "both"), ("errValType", "cust"), ("noEndCap", "0")):
            etree.SubElement(bars, qn(f"c:{name}"), val=value)
        for side in KEYS:
            _numbers(etree.SubElement(bars, qn(f"c:{side}")), lengths_of(trace, axis, side), COLUMNS[axis, side], top)
        line = etree.SubElement(etree.SubElement(bars, qn("c:spPr")), qn("a:ln"), w="15875")
        colour = trace["marker"]["color"]
        colour = colour if isinstance(colour, str) else colour[0]
        etree.SubElement(etree.SubElement(line, qn("a:solidFill")), qn("a:srgbClr"), val=str(rgb(colour)))
        after.addprevious(bars)


def _numbers(parent: Any, values: list[float], column: int, top: int) -> None:
    """A reference to the sheet's cells, with what stands there."""
    letter = "ABCDEF"[column]
    reference = etree.SubElement(parent, qn("c:numRef"))
    etree.SubElement(reference, qn("c:f")).text = f"Sheet1!${letter}${top}:${letter}${top + len(values) - 1}"
    cache = etree.SubElement(reference, qn("c:numCache"))
    etree.SubElement(cache, qn("c:formatCode")).text = "General"
    etree.SubElement(cache, qn("c:ptCount"), val=str(len(values)))
    for k, value in enumerate(values):
        etree.SubElement(etree.SubElement(cache, qn("c:pt"), idx=str(k)), qn("c:v")).text = str(value)
