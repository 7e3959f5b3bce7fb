"""Figures of speed under other conditions, as data: over batches, over threads, and ONNX Runtime beside PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from app import sentences
from app.components.figure_parts import (
    GHOST,
    LEAF,
    LEAF_PALE,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    figure,
    rule,
    titled_axis,
)

AXES = {"batch": "images a batch", "threads": "threads"}
Sweep = Mapping[str, Any]


def sweep(told: Sweep) -> Spec:
    """Times as fast as dense over batch or threads (both double from tick to tick): median, band of quartiles, the promise dashed."""
    kind, rows = str(told["kind"]), told["rows"]
    x = [row[kind] for row in rows]
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0, "color": LEAF}, "hoverinfo": "skip"}
    data: list[dict[str, Any]] = [
        {**edge, "y": [round(row["low"], 3) for row in rows]},
        {**edge, "y": [round(row["high"], 3) for row in rows], "fill": "tonexty", "fillcolor": LEAF_PALE},
        {
            "type": "scatter", "mode": "lines+markers+text", "name": "measured", "x": x, "y": [round(row["measured"], 3) for row in rows],
            "line": {"color": LEAF, "width": 2.2}, "marker": {"size": 7}, "text": [sentences.times(row["measured"]) for row in rows],
            "textposition": ["top right", *["top center"] * (len(rows) - 2), "top left"][: len(rows)], "textfont": {"size": 12, "color": LEAF}, "cliponaxis": False,
            "customdata": [[round(row["low"], 2), round(row["high"], 2), row["n"], round(row["dense_ms"], 3), round(row["compact_ms"], 3)] for row in rows],
            "hovertemplate": f"%{{x}} {AXES[kind]}: %{{y:.2f}} × (%{{customdata[0]}}–%{{customdata[1]}}, n = %{{customdata[2]}})<br>"
            "dense %{customdata[3]} ms, compact %{customdata[4]} ms<extra></extra>",
        },
    ]  # fmt: skip
    promised = float(told["promised"])
    top = max(promised, *(row["measured"] for row in rows), *(min(row["high"], 1.5 * row["measured"]) for row in rows))
    ends = [math.log2(x[0]) - 0.35, math.log2(x[-1]) + 0.35]
    layout = base_layout(
        xaxis=titled_axis(AXES[kind], type="log", tickvals=x, ticktext=[str(v) for v in x], range=[v * math.log10(2) for v in ends]),
        yaxis=titled_axis("times as fast as dense", ticksuffix=" ×", range=[0, round(top * 1.14, 3)]),
        shapes=[
            rule(xref="paper", x0=0, x1=1, y0=1, y1=1, color=GHOST, width=1.2, dash="dot"),
            rule(xref="paper", x0=0, x1=1, y0=promised, y1=promised, color=SOFT, width=1.8, dash="dash"),
        ],
        annotations=[{"text": f"promised by MACs {sentences.times(promised)}", "xref": "paper", "x": 1, "y": promised, "showarrow": False, "xanchor": "right",
                      "yanchor": "bottom", "font": {"size": 11, "color": SOFT}}],
        margin={"l": 52, "r": 12, "t": 18, "b": 42},
    )  # fmt: skip
    return figure(data, layout, sweep_sentence(told))


def sweep_sentence(told: Sweep) -> str:
    """The two ends of a sweep with their quartiles, beside the promise."""
    kind, rows = told["kind"], told["rows"]
    first, last = rows[0], rows[-1]
    at = (
        (lambda row: f"at batch {row['batch']}")
        if kind == "batch"
        else (lambda row: f"on {sentences.plural(row['threads'], 'thread')}")
    )
    ends = [first] if first is last else [first, last]
    said = ", ".join(
        f"{sentences.times(row['measured'])} ({row['low']:.1f}–{row['high']:.1f}) {at(row)}" for row in ends
    )
    apart = len(ends) == 2 and (first["high"] < last["low"] or last["high"] < first["low"])
    told_apart = "" if len(ends) == 1 or apart else "; the quartiles overlap, so these may be the same"
    return f"As fast as dense: {said}{told_apart}. MACs promise {sentences.times(told['promised'])}."


def engines(told: Sweep) -> Spec:
    """Milliseconds a batch of dense and compact in both engines: four bars with quartiles."""
    data = []
    for network, colour in (("dense", WOOD), ("compact", LEAF)):
        rows = [row for row in told["rows"] if row["network"] == network]
        data.append({
            "type": "bar", "name": network, "x": [row["engine"] for row in rows], "y": [round(row["ms"], 4) for row in rows],
            "marker": {"color": colour}, "text": [sentences.milliseconds(row["ms"]) for row in rows], "textposition": "inside", "insidetextanchor": "start",
            "textangle": 0, "textfont": {"size": 12, "color": "#ffffff"},
            "error_y": {
                "type": "data", "symmetric": False, "array": [round(row["high"] - row["ms"], 4) for row in rows],
                "arrayminus": [round(row["ms"] - row["low"], 4) for row in rows], "color": SOFT, "thickness": 1.4, "width": 5,
            },
            "customdata": [[round(row["low"], 3), round(row["high"], 3)] for row in rows],
            "hovertemplate": f"{network} in %{{x}}: %{{y:.3g}} ms (%{{customdata[0]}}–%{{customdata[1]}})<extra></extra>",
        })  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("", type="category"), yaxis=titled_axis("milliseconds a batch", rangemode="tozero"), barmode="group", bargap=0.3, bargroupgap=0.08,
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}, margin={"l": 52, "r": 12, "t": 34, "b": 34},
    )  # fmt: skip
    return figure(data, layout, engines_sentence(told))


def engines_sentence(told: Sweep) -> str:
    """What the cut buys in each engine, and in which the compact network is faster."""
    buys = " and ".join(
        f"{sentences.times(one['measured'])} ({one['low']:.1f}–{one['high']:.1f}) in {engine}"
        for engine, one in told["times_as_fast"].items()
    )
    compact = sorted((row for row in told["rows"] if row["network"] == "compact"), key=lambda row: row["ms"])
    fast, slow = compact[0], compact[-1]
    where = f"the compact network takes {sentences.milliseconds(fast['ms'])} in {fast['engine']}, {sentences.milliseconds(slow['ms'])} in {slow['engine']}"
    alike = "; their quartiles overlap" if fast["high"] >= slow["low"] else ""
    return f"The cut makes it {buys} as fast as dense; {where}{alike}."
