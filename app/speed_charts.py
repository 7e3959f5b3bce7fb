"""Figures of speed and of trade-offs, as data; see `charts`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import chart_words, sentences
from app.components.figure_parts import (
    CLEAR,
    DYING,
    GHOST,
    LEAF,
    LEAF_PALE,
    PAPER,
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
    return figure(data, with_markers(layout, markers), chart_words.speed(newest[0] if newest else None))


def speed_layers(frame: pd.DataFrame, at_most: int = 24) -> Spec:
    """Milliseconds per layer, those that lose most of the promised time on top: outline dense, bar compact, diamond what
    the MACs promised. Columns: path, dense_ms, compact_ms, promised (dense over compact MACs), measured (a ratio); optional reason
    and numbers, why it loses."""
    table = frame.reset_index(drop=True)
    table = (
        table.assign(lost=chart_words.lost_ms(table))
        .sort_values("lost", ascending=False, na_position="last")
        .head(at_most)
    )
    paths = [str(path) for path in table["path"]]
    promised = (
        (table["dense_ms"] / table["promised"].where(table["promised"] > 0))
        .where(table["compact_ms"] > 0)
        .astype(float)
    )
    why = [_why(row) for row in table.to_dict("records")]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": paths,
        "customdata": [f"<br>{reason}" if reason else "" for reason in why],
    }
    data = [
        {**bar, "name": "dense", "x": plain_numbers(table["dense_ms"], 4), "marker": {"color": CLEAR, "line": {"color": GHOST, "width": 1.5}},
         "width": 0.78, "hovertemplate": "%{y}<br>dense %{x:.3g} ms<extra></extra>"},
        {**bar, "name": "compact", "x": plain_numbers(table["compact_ms"], 4), "marker": {"color": LEAF}, "width": 0.5,
         "hovertemplate": "%{y}<br>compact %{x:.3g} ms%{customdata}<extra></extra>"},
        {"type": "scatter", "mode": "markers", "name": "promised by MACs", "y": paths, "x": plain_numbers(promised, 4),
         "cliponaxis": False, "marker": {"symbol": "diamond", "size": 9, "color": PAPER, "line": {"width": 2, "color": DYING}},
         "hovertemplate": "%{y}<br>promised %{x:.3g} ms<extra></extra>"},
    ]  # fmt: skip
    widest = pd.concat([table["dense_ms"], table["compact_ms"]]).max() if len(table) else 1
    notes = []
    for path, row in zip(paths, table.to_dict("records"), strict=True):
        text = (
            "gone" if row["compact_ms"] == 0 else sentences.times(row["measured"]) if is_finite(row["measured"]) else ""
        )
        if row.get("reason") and row["compact_ms"]:
            text = f"{text} · {row['reason']}" if text else str(row["reason"])
        notes.append({"x": max(row["dense_ms"], row["compact_ms"]), "y": path, "text": text, "showarrow": False, "xanchor": "left",
                      "xshift": 8, "font": {"size": 12, "color": SOFT}})  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("milliseconds", range=[0, float(widest) * (1.3 if any(why) else 1.13)], rangemode="tozero"),
        yaxis=titled_axis("", autorange="reversed", type="category", automargin=True, showgrid=False),
        barmode="overlay", showlegend=True, annotations=notes,
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "traceorder": "normal"},
        margin={"l": 70, "r": 16, "t": 34, "b": 40},
    )  # fmt: skip
    return figure(data, layout, chart_words.layers(table))


def _why(row: Mapping[str, Any]) -> str:
    """`memory-bound: 4.1 operations a byte`; nothing where no reason is told."""
    return ": ".join(html.escape(str(row[key])) for key in ("reason", "numbers") if row.get(key))
