"""Figures of speed and of trade-offs, as data; see `charts`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import sentences
from app.components.figure_parts import (
    CLEAR,
    DYING,
    GHOST,
    LEAF,
    LEAF_PALE,
    METHOD_LOOKS,
    METHOD_NAMES,
    SOFT,
    Spec,
    base_layout,
    end_label,
    figure,
    is_finite,
    plain_numbers,
    rule,
    thinned,
    titled_axis,
    with_markers,
)


def speed_curve(frame: pd.DataFrame, markers: Sequence[Mapping[str, Any]] = ()) -> Spec:
    """Times faster than dense while training: measured with quartiles, promised by MACs.
    Columns: epoch, measured, low, high, promised."""
    table = thinned(frame, 400)
    x, data, notes = plain_numbers(table["epoch"], 0), [], []
    if {"low", "high"} <= set(table.columns):
        edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0, "color": LEAF}, "hoverinfo": "skip"}
        data.append({**edge, "y": plain_numbers(table["low"], 3)})
        data.append({**edge, "y": plain_numbers(table["high"], 3), "fill": "tonexty", "fillcolor": LEAF_PALE})
    ends = []
    for column, colour, dash in (("promised", SOFT, "dash"), ("measured", LEAF, "solid")):
        seen = table.dropna(subset=[column])
        data.append(
            {
                "type": "scatter", "mode": "lines+markers" if column == "measured" else "lines", "name": column, "x": x,
                "y": plain_numbers(table[column], 3), "line": {"color": colour, "width": 2.2, "dash": dash}, "marker": {"size": 5},
                "hovertemplate": f"{column} %{{y:.2f}} ×<extra></extra>",
            }
        )  # fmt: skip
        if len(seen):
            value = float(seen[column].iloc[-1])
            ends.append((value, f"{column}<br>{value:.1f} ×", colour))
    if len(table):
        notes = [end_label(y, text, colour, "y") for y, text, colour in ends]
    if len(notes) == 2:
        up = 15 if notes[0]["y"] >= notes[1]["y"] else -15
        notes[0]["yshift"], notes[1]["yshift"] = up, -up
    layout = base_layout(
        xaxis=titled_axis("epoch", rangemode="tozero"),
        yaxis=titled_axis("times as fast as dense", ticksuffix=" ×", rangemode="tozero"),
        shapes=[rule(xref="paper", x0=0, x1=1, y0=1, y1=1, color=GHOST, width=1.4, dash="dot")],
        annotations=notes,
        hovermode="x unified",
        margin={"l": 58, "r": 84, "t": 24, "b": 40},
    )
    newest = table.dropna(subset=["measured"]).tail(1).to_dict("records")
    return figure(data, with_markers(layout, markers), sentences.speed(newest[0] if newest else None))


def speed_layers(frame: pd.DataFrame, at_most: int = 24) -> Spec:
    """Milliseconds per layer, those that lose most of the promised time on top: outline dense, bar compact, diamond what
    the MACs promised. Columns: path, dense_ms, compact_ms, promised (dense over compact MACs), measured (a ratio)."""
    table = frame.reset_index(drop=True)
    table = (
        table.assign(lost=sentences.lost_ms(table))
        .sort_values("lost", ascending=False, na_position="last")
        .head(at_most)
    )
    paths = [str(path) for path in table["path"]]
    promised = (
        (table["dense_ms"] / table["promised"].where(table["promised"] > 0))
        .where(table["compact_ms"] > 0)
        .astype(float)
    )
    bar = {"type": "bar", "orientation": "h", "y": paths}
    data = [
        {**bar, "name": "dense", "x": plain_numbers(table["dense_ms"], 4), "marker": {"color": CLEAR, "line": {"color": GHOST, "width": 1.5}},
         "width": 0.78, "hovertemplate": "%{y}<br>dense %{x:.3g} ms<extra></extra>"},
        {**bar, "name": "compact", "x": plain_numbers(table["compact_ms"], 4), "marker": {"color": LEAF}, "width": 0.5,
         "hovertemplate": "%{y}<br>compact %{x:.3g} ms<extra></extra>"},
        {"type": "scatter", "mode": "markers", "name": "promised by MACs", "y": paths, "x": plain_numbers(promised, 4),
         "cliponaxis": False, "marker": {"symbol": "diamond-open", "size": 9, "color": DYING, "line": {"width": 2, "color": DYING}},
         "hovertemplate": "%{y}<br>promised %{x:.3g} ms<extra></extra>"},
    ]  # fmt: skip
    widest = pd.concat([table["dense_ms"], table["compact_ms"]]).max() if len(table) else 1
    notes = []
    for path, row in zip(paths, table.to_dict("records"), strict=True):
        text = (
            "gone" if row["compact_ms"] == 0 else sentences.times(row["measured"]) if is_finite(row["measured"]) else ""
        )
        notes.append({"x": max(row["dense_ms"], row["compact_ms"]), "y": path, "text": text, "showarrow": False, "xanchor": "left",
                      "xshift": 8, "font": {"size": 12, "color": SOFT}})  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("milliseconds", range=[0, float(widest) * 1.13], rangemode="tozero"),
        yaxis=titled_axis("", autorange="reversed", type="category", automargin=True, showgrid=False),
        barmode="overlay", showlegend=True, annotations=notes,
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "traceorder": "normal"},
        margin={"l": 70, "r": 16, "t": 34, "b": 40},
    )  # fmt: skip
    return figure(data, layout, sentences.layers(table))


def tradeoff(frame: pd.DataFrame, *, log: bool = False) -> Spec:
    """Accuracy against MACs. Columns: label, method, macs (share of dense, 0-1), accuracy (0-1); optional low and high
    (of accuracy), macs_low, macs_high, n, source (``ours`` or ``paper``), citation, path and strength. Papers' points are
    hollow diamonds. A thin line joins the points of one path in the order of their strengths; nothing else is joined."""
    data = _paths(frame)
    table = frame.assign(source=frame.get("source", "ours"))
    table["method"] = table["method"].astype(str).str.lower()
    for (source, method), group in table.groupby(["source", "method"], sort=False):
        colour, symbol = METHOD_LOOKS.get(str(method), (SOFT, "hexagon"))
        paper = source == "paper"
        rows = group.to_dict("records")
        extra = [_point_note(row) for row in rows]
        trace = {
            "type": "scatter", "mode": "markers+text" if len(table) <= 14 else "markers", "name": f"{METHOD_NAMES.get(str(method), str(method))}{' (paper)' if paper else ''}",
            "x": plain_numbers(group["macs"] * 100, 2), "y": plain_numbers(group["accuracy"] * 100, 2), "customdata": extra,
            "text": [str(row["label"]).removeprefix("strength ") for row in rows], "textposition": [_label_side(row, table) for row in rows], "textfont": {"size": 11, "color": SOFT},
            "cliponaxis": False,
            "marker": {"symbol": "diamond-open" if paper else symbol, "size": 10, "color": colour, "line": {"width": 2, "color": colour}},
            "hovertemplate": "%{text}<br>%{y:.2f} % at %{x:.0f} % of the MACs%{customdata}<extra></extra>",
        }  # fmt: skip
        for axis, middle, low, high in (
            ("error_y", "accuracy", "low", "high"),
            ("error_x", "macs", "macs_low", "macs_high"),
        ):
            if {low, high} <= set(group.columns) and group[low].notna().any():
                trace[axis] = {
                    "type": "data", "symmetric": False, "array": plain_numbers((group[high] - group[middle]) * 100, 3),
                    "arrayminus": plain_numbers((group[middle] - group[low]) * 100, 3), "color": colour, "thickness": 1.4, "width": 4,
                }  # fmt: skip
        data.append(trace)
    layout = base_layout(
        xaxis=titled_axis("MACs, % of dense", type="log" if log else "linear"),
        yaxis=titled_axis("test accuracy, %"),
        showlegend=len(table.groupby(["source", "method"])) > 1,
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        margin={"l": 56, "r": 40, "t": 34, "b": 42},
    )
    return figure(data, layout, sentences.tradeoff(table))


def _paths(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The thin lines: settings of one family and one method that differ in their strengths."""
    if "path" not in frame:
        return []
    lines = []
    for (_, method), group in frame.dropna(subset=["path"]).groupby(["path", "method"], sort=False):
        ordered = group.sort_values("strength")
        colour, _ = METHOD_LOOKS.get(str(method), (SOFT, "hexagon"))
        lines.append(
            {
                "type": "scatter", "mode": "lines", "x": plain_numbers(ordered["macs"] * 100, 2), "y": plain_numbers(ordered["accuracy"] * 100, 2),
                "line": {"color": colour, "width": 1}, "opacity": 0.6, "hoverinfo": "skip", "showlegend": False,
            }
        )  # fmt: skip
    return lines


def _label_side(row: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Names stand below their point, papers' above it, on the other side where the next point is close; they turn inwards
    at the right edge."""
    wide, tall = (float(table[axis].max() - table[axis].min()) or 1.0 for axis in ("macs", "accuracy"))
    ahead = (table["macs"] - row["macs"]) / wide
    beside = (table["accuracy"] - row["accuracy"]).abs() / tall < 0.04
    crowded = bool((beside & (ahead > 0) & (ahead < 0.1)).any())
    above = (row["source"] == "paper") != crowded
    return f"{'top' if above else 'bottom'} {'left' if row['macs'] > 0.9 * table['macs'].max() else 'right'}"


def _point_note(row: Mapping[str, Any]) -> str:
    parts = [
        f"strength {row['strength']:.3g}" if is_finite(row.get("strength")) else "",
        f"n = {int(row['n'])}" if is_finite(row.get("n")) else "",
        html.escape(str(row.get("citation") or "")).replace("nan", ""),
    ]
    text = ", ".join(part for part in parts if part)
    return f"<br>{text}" if text else ""
