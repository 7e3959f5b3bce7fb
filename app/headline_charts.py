"""Figures of SSL's headline, as data: zeros as CSR against rows and columns removed, layer by layer; see `charts`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import sentences
from app.components.figure_parts import (
    BLUE,
    INK,
    ORANGE,
    SOFT,
    Spec,
    base_layout,
    end_label,
    figure,
    plain_numbers,
    rule,
    titled_axis,
)
from core import table4

LOOKS = {"l1": (ORANGE, "l1, as CSR"), "ssl": (BLUE, "SSL, removed")}
PALE = {"l1": "rgba(230,159,0,0.22)", "ssl": "rgba(0,114,178,0.2)"}
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
SIDE = {"l1": -0.2, "ssl": 0.2}
AXIS = {
    "type": "log", "tickvals": TICKS, "ticktext": [f"{tick:g} ×" for tick in TICKS], "showgrid": True,
}  # fmt: skip


def equal_error(recorded: pd.DataFrame, here: pd.DataFrame) -> Spec:
    """Bars from the line of 1 x: the recorded speed of each layer, l1 beside SSL; dots: this machine; hollow diamonds: the
    paper's. Columns: layer, method, measured, low, high, promised, published."""
    bars, marks, names = [], [], set()
    for method, (colour, name) in LOOKS.items():
        rows, now = recorded[recorded["method"] == method], here[here["method"] == method]
        bars.append({
            "type": "bar", "name": name, "x": _places(rows, SIDE[method]), "y": plain_numbers(rows["measured"] - 1, 3), "base": 1,
            "width": 0.36, "marker": {"color": colour}, "customdata": _told(rows), "hovertemplate": "%{customdata}<extra></extra>",
            "error_y": _whiskers(rows),
        })  # fmt: skip
        marks.append(_points("the paper", rows, rows["published"], SIDE[method] - 0.1, "diamond-open", INK))
        if len(now):
            marks.append(_points("here", now, now["measured"], SIDE[method] + 0.1, "circle", colour))
            marks[-1]["error_y"] = _whiskers(now)
    data = bars + marks
    for trace in data:
        trace["showlegend"] = trace["name"] not in names
        names.add(trace["name"])
    layout = base_layout(
        xaxis=titled_axis("", tickvals=[*range(len(table4.LAYERS))], ticktext=[*table4.LAYERS], range=[-0.5, 4.5], showgrid=False),
        yaxis=titled_axis("times as fast as dense", **AXIS, range=_reach([recorded, here], ["low", "high", "published"])),
        shapes=[rule(INK, 1.4, xref="paper", x0=0, x1=1, y0=1, y1=1)], showlegend=True, hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 11.5}},
        margin={"l": 54, "r": 10, "t": 30, "b": 28},
    )  # fmt: skip
    return figure(data, layout, equal_error_sentence(recorded))


def equal_sparsity(recorded: pd.DataFrame, here: pd.DataFrame, layer: str) -> Spec:
    """Speed of one layer's product over sparsity, zeros as CSR against columns removed, with quartiles; dots: this machine.
    Columns: sparsity (0-1), method, measured, low, high, promised."""
    data: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for method, (colour, name) in LOOKS.items():
        rows, now = (table[table["method"] == method].sort_values("sparsity") for table in (recorded, here))
        x = plain_numbers(rows["sparsity"] * 100, 1)
        edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0, "color": colour}, "hoverinfo": "skip"}
        data.append({**edge, "y": plain_numbers(rows["low"], 3)})
        data.append({**edge, "y": plain_numbers(rows["high"], 3), "fill": "tonexty", "fillcolor": PALE[method]})
        data.append({
            "type": "scatter", "mode": "lines+markers", "name": name, "x": x, "y": plain_numbers(rows["measured"], 3),
            "line": {"color": colour, "width": 2.2}, "marker": {"size": 5}, "hovertemplate": f"{name} %{{y:.2f}} ×<extra></extra>",
        })  # fmt: skip
        if len(now):
            data.append({
                "type": "scatter", "mode": "markers", "name": f"{name}, this machine", "x": plain_numbers(now["sparsity"] * 100, 1),
                "y": plain_numbers(now["measured"], 3), "error_y": _whiskers(now),
                "marker": {"size": 9, "color": colour, "line": {"width": 1.6, "color": INK}},
                "hovertemplate": "this machine %{y:.2f} ×<extra></extra>",
            })  # fmt: skip
        if len(rows):
            label = "as CSR" if method == "l1" else "removed"
            ends.append(end_label(_log(rows["measured"].iloc[-1]), label, colour, "y"))
    promise = recorded[recorded["method"] == "ssl"].sort_values("sparsity")
    data.append({
        "type": "scatter", "mode": "lines", "name": "promised by MACs", "x": plain_numbers(promise["sparsity"] * 100, 1),
        "y": plain_numbers(promise["promised"], 3), "line": {"color": SOFT, "width": 1.6, "dash": "dash"},
        "hovertemplate": "promised by MACs %{y:.1f} ×<extra></extra>",
    })  # fmt: skip
    if len(promise):
        ends.append(end_label(_log(promise["promised"].iloc[-1]), "promised", SOFT, "y"))
    reach = _reach([recorded, here], ["low", "high", "promised"])
    layout = base_layout(
        xaxis=titled_axis(f"sparsity of {layer}, %", showgrid=False),
        yaxis=titled_axis("times as fast as dense", **AXIS, range=reach),
        shapes=[rule(INK, 1.4, xref="paper", x0=0, x1=1, y0=1, y1=1)], annotations=_apart(ends, reach), hovermode="x unified",
        margin={"l": 54, "r": 70, "t": 30, "b": 40},
    )  # fmt: skip
    return figure(data, layout, equal_sparsity_sentence(recorded, layer))


def equal_error_sentence(table: pd.DataFrame) -> str:
    """``At equal error, removed rows and columns run 5.2 × as fast as dense on average, scattered zeros 2.6 ×. ...``"""
    if table.empty:
        return "Nothing is recorded for this choice."
    mean, paper = (table.groupby("method")[column].mean() for column in ("measured", "published"))
    slow = table[(table["method"] == "l1") & (table["measured"] < 1)]["layer"]
    said = (
        f"At equal error, removed rows and columns run {sentences.times(mean['ssl'])} as fast as dense on average, scattered "
        f"zeros {sentences.times(mean['l1'])}; the paper says {sentences.times(paper['ssl'])} and {sentences.times(paper['l1'])}."
    )
    return said + (f" As CSR, {sentences.listing(list(slow), 5)} got slower than dense." if len(slow) else "")


def equal_sparsity_sentence(table: pd.DataFrame, layer: str) -> str:
    """``As CSR, conv2 needs 93 % of zeros to beat dense; ...``"""
    by = {method: table[table["method"] == method].sort_values("sparsity") for method in LOOKS}
    if any(rows.empty for rows in by.values()):
        return "Nothing is recorded for this layer."
    faster = by["l1"][by["l1"]["measured"] > 1]
    first, last = by["ssl"].iloc[0], by["ssl"].iloc[-1]
    start = (
        f"Scattered zeros as CSR make {layer} faster than dense from {sentences.percent(faster['sparsity'].iloc[0])} on"
        if len(faster)
        else f"Scattered zeros as CSR never make {layer} faster than dense"
    )
    return (
        f"{start}; columns removed make it {sentences.times(first['measured'])} as fast at {sentences.percent(first['sparsity'])} "
        f"and {sentences.times(last['measured'])} at {sentences.percent(last['sparsity'])}, where CSR reaches "
        f"{sentences.times(by['l1']['measured'].iloc[-1])}."
    )


def table_of(document: Mapping[str, Any], **wanted: Any) -> pd.DataFrame:
    """The measured rows of a document as a table, with the paper's speed-up where there is one."""
    rows = [
        row | {"published": table4.published(row["row"], row["layer"]) if row["row"] else None}
        for row in table4.chosen(document, **wanted)
    ]
    return pd.DataFrame(
        rows, columns=["layer", "method", "row", "sparsity", "measured", "low", "high", "promised", "published", "dense_ms", "compact_ms", "n", "threads", "batch"]
    )  # fmt: skip


def _places(rows: pd.DataFrame, aside: float) -> list[float]:
    return [table4.LAYERS.index(layer) + aside for layer in rows["layer"]]


def _told(rows: pd.DataFrame) -> list[str]:
    return [
        f"{r['layer']}, row {r['row']}: {r['measured']:.2f} × ({r['low']:.2f}–{r['high']:.2f}), promised {r['promised']:.2f} ×"
        for r in rows.to_dict("records")
    ]


def _points(name: str, rows: pd.DataFrame, values: pd.Series, aside: float, symbol: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": _places(rows, aside), "y": plain_numbers(values, 3),
        "marker": {"symbol": symbol, "size": 9, "color": colour, "line": {"width": 1.7, "color": INK}},
        "hovertemplate": f"{name} %{{y:.2f}} ×<extra></extra>",
    }  # fmt: skip


def _whiskers(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "array": plain_numbers(rows["high"] - rows["measured"], 3),
        "arrayminus": plain_numbers(rows["measured"] - rows["low"], 3), "color": INK, "thickness": 1.2, "width": 3,
    }  # fmt: skip


def _reach(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> list[float]:
    """A logarithmic axis that holds every value and 1 x, with a little room."""
    values = [float(v) for table in tables for column in columns for v in table[column].dropna()]
    return [round(_log(min([1.0, *values])) - 0.08, 3), round(_log(max([1.0, *values])) + 0.08, 3)]


def _log(value: float) -> float:
    return math.log10(value)


def _apart(ends: list[dict[str, Any]], reach: list[float]) -> list[dict[str, Any]]:
    """Labels of lines that end close to each other, pushed apart upwards."""
    gap = 0.07 * (reach[1] - reach[0])
    ends = sorted(ends, key=lambda end: end["y"])
    for below, above in itertools.pairwise(ends):
        above["y"] = max(above["y"], below["y"] + gap)
    return ends
