"""Figures of the lesson on trade-off curves, as data: misleading ones on purpose, and the honest ones beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from app import sentences
from app.components.figure_parts import (
    BLUE,
    DYING,
    GHOST,
    INK,
    LEAF,
    METHOD_LOOKS,
    ORANGE,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    figure,
    rule,
    titled_axis,
)

LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}
LOOKS = {"dense": (WOOD, "square"), "SSS": (LEAF, "triangle-up"), "from scratch": (SOFT, "x")}


def seeds(runs: Mapping[str, Sequence[float]], chosen: Sequence[int], words: str, honest: bool) -> Spec:
    """Test accuracy (percent) of two networks: the chosen seeds as points, the same seed joined; honest: mean and deviation of all."""
    names = list(runs)
    data: list[dict[str, Any]] = []
    for seed in chosen:
        data.append({
            "type": "scatter", "mode": "lines", "x": names, "y": [round(runs[name][seed], 3) for name in names], "line": {"color": GHOST, "width": 1.4},
            "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
    for name in names:
        colour, symbol = LOOKS[name]
        data.append({
            "type": "scatter", "mode": "markers+text" if len(chosen) == 1 else "markers", "name": name, "x": [name] * len(chosen), "y": [round(runs[name][seed], 3) for seed in chosen],
            "text": [f"{runs[name][seed]:.1f} %" for seed in chosen], "textposition": "bottom center", "textfont": {"size": 14, "color": INK}, "cliponaxis": False,
            "customdata": list(chosen), "marker": {"symbol": symbol, "size": 13, "color": colour}, "hovertemplate": f"{name}, seed %{{customdata}}: %{{y:.2f}} %<extra></extra>",
        })  # fmt: skip
        if honest:
            middle, spread = statistics.fmean(runs[name]), statistics.stdev(runs[name])
            data.append({
                "type": "scatter", "mode": "markers", "x": [names.index(name) + (0.18 if name == names[-1] else -0.18)], "y": [round(middle, 3)], "xaxis": "x2", "showlegend": False,
                "error_y": {"type": "data", "array": [round(spread, 3)], "color": INK, "thickness": 1.6, "width": 7}, "marker": {"symbol": "line-ew-open", "size": 20, "color": INK, "line": {"width": 2.4}},
                "hovertemplate": f"{name}: mean %{{y:.2f}} ± {spread:.2f} over {len(runs[name])} seeds<extra></extra>",
            })  # fmt: skip
    values = [value for name in names for value in runs[name]]
    low, high = min(values) - 0.35, max(values) + 0.25
    layout = base_layout(
        showlegend=False, dragmode=False, xaxis=titled_axis("", type="category", range=[-0.6, 1.6], showgrid=False, fixedrange=True),
        xaxis2={"overlaying": "x", "range": [-0.6, 1.6], "visible": False, "fixedrange": True},
        yaxis=titled_axis("test accuracy, %", range=[round(low, 2), round(high, 2)], fixedrange=True), margin={"l": 56, "r": 14, "t": 10, "b": 30},
    )  # fmt: skip
    return figure(data, layout, words)


def cut_axis(means: Mapping[str, float], spreads: Mapping[str, float], begins: float, words: str, honest: bool) -> Spec:
    """Two bars on an axis that begins where one says; honest: with the deviation over seeds."""
    names = list(means)
    bar: dict[str, Any] = {
        "type": "bar", "x": names, "y": [round(means[name], 3) for name in names], "width": 0.5, "marker": {"color": [LOOKS[name][0] for name in names]},
        "hovertemplate": "%{x}: %{y:.2f} %<extra></extra>",
    }  # fmt: skip
    if honest:
        bar["error_y"] = {
            "type": "data",
            "array": [round(spreads[name], 3) for name in names],
            "color": INK,
            "thickness": 1.6,
            "width": 8,
        }
    top = max(means.values())
    end = max(means[name] + (spreads[name] if honest else 0) for name in names)
    layout = base_layout(
        dragmode=False, xaxis=titled_axis("", type="category", showgrid=False, fixedrange=True),
        yaxis=titled_axis("test accuracy, %", range=[begins, round(end + 0.04 * (top - begins), 3)], fixedrange=True), margin={"l": 56, "r": 14, "t": 10, "b": 30},
    )  # fmt: skip
    return figure([bar], layout, words)


def joined(rows: Sequence[Mapping[str, Any]], words: str, honest: bool) -> Spec:
    """Accuracy of methods after one compression: joined by a line, as a slide may have it; honest: each below its own baseline, unjoined."""
    names = [row["name"] for row in rows]
    if not honest:
        data: list[dict[str, Any]] = [{
            "type": "scatter", "mode": "lines+markers+text", "x": names, "y": [row["accuracy"] for row in rows], "text": [f"{row['accuracy']:.1f}" for row in rows], "textposition": "top center",
            "textfont": {"size": 12.5, "color": INK}, "line": {"color": BLUE, "width": 3}, "marker": {"size": 10, "color": BLUE}, "cliponaxis": False,
            "hovertemplate": "%{x}: %{y:.1f} %<extra></extra>",
        }]  # fmt: skip
        title, span = "test accuracy, %", [90.6, 94.1]
    else:
        data = []
        for name, mine, colour, symbol in (
            ("quoted from another paper", False, ORANGE, "pentagon"),
            ("trained by the authors", True, METHOD_LOOKS["nested"][0], "star"),
        ):
            own = [row for row in rows if (row["baseline"] == rows[-1]["baseline"]) == mine]
            data.append({
                "type": "scatter", "mode": "markers+text", "name": name, "x": [row["name"] for row in own], "y": [round(row["accuracy"] - row["baseline"], 2) for row in own],
                "text": [sentences.points((row["accuracy"] - row["baseline"]) / 100).removesuffix(" pp") for row in own], "textposition": "top center", "textfont": {"size": 12.5, "color": INK},
                "customdata": [[row["accuracy"], row["baseline"]] for row in own], "cliponaxis": False, "marker": {"size": 12, "color": colour, "symbol": symbol},
                "hovertemplate": "%{x}: %{customdata[0]:.1f} %, its own baseline %{customdata[1]:.1f} %<extra></extra>",
            })  # fmt: skip
        title, span = "points below its own baseline", [-2.6, 0.6]
    layout = base_layout(
        showlegend=honest, legend=LEGEND, dragmode=False,
        xaxis=titled_axis("", type="category", categoryorder="array", categoryarray=names, range=[-0.5, len(names) - 0.5], showgrid=False, fixedrange=True, tickfont={"size": 11, "color": SOFT}),
        yaxis=titled_axis(title, range=span, fixedrange=True), margin={"l": 54, "r": 14, "t": 34 if honest else 14, "b": 46},
    )  # fmt: skip
    return figure(data, layout, words)


def promises(rows: Sequence[Mapping[str, Any]], words: str, honest: bool) -> Spec:
    """Times as fast as the whole network, as MACs promise it and, honest, as clocks say. `rows`: {name, promised, clocks: {how: (ratio, low, high)}}."""
    names = [row["name"] for row in rows]
    data: list[dict[str, Any]] = [{
        "type": "scatter", "mode": "markers", "name": "promised by MACs", "y": names, "x": [round(row["promised"], 3) for row in rows], "cliponaxis": False,
        "marker": {"symbol": "diamond-open", "size": 12, "color": DYING, "line": {"width": 2, "color": DYING}}, "hovertemplate": "%{y}: %{x:.1f} × by MACs<extra></extra>",
    }]  # fmt: skip
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["clocks"])) if honest else []
    looks = ((LEAF, "circle"), (BLUE, "square"), (WOOD, "triangle-up"), (ORANGE, "star"))
    for kind, (colour, symbol) in zip(kinds, looks, strict=False):
        own = [row for row in rows if kind in row["clocks"]]
        data.append({
            "type": "scatter", "mode": "markers", "name": kind, "y": [row["name"] for row in own], "x": [round(row["clocks"][kind][0], 3) for row in own], "cliponaxis": False,
            "error_x": {
                "type": "data", "symmetric": False, "array": [round(row["clocks"][kind][2] - row["clocks"][kind][0], 3) for row in own],
                "arrayminus": [round(row["clocks"][kind][0] - row["clocks"][kind][1], 3) for row in own], "color": colour, "thickness": 1.4, "width": 4,
            },
            "marker": {"symbol": symbol, "size": 11, "color": colour}, "hovertemplate": f"%{{y}}: %{{x:.2f}} ×, {kind}<extra></extra>",
        })  # fmt: skip
    layout = base_layout(
        showlegend=True, legend=LEGEND, dragmode=False, shapes=[rule(x0=1, x1=1, y0=0, y1=1, yref="paper", color=GHOST, width=1.4, dash="dot")],
        xaxis=titled_axis("times as fast as the whole network", type="log", range=[-0.1, 1.72], tickvals=[1, 2, 3, 5, 10, 20, 40], fixedrange=True),
        yaxis=titled_axis("", type="category", autorange="reversed", automargin=True, fixedrange=True), margin={"l": 12, "r": 14, "t": 54 if honest else 34, "b": 42},
    )  # fmt: skip
    return figure(data, layout, words)


def scratch(rows: Sequence[Mapping[str, Any]], words: str, honest: bool) -> Spec:
    """Accuracy of pruned networks, and honest beside them the same shapes from fresh weights. `rows`: {name, points: {how: (middle, spread or None)}}."""
    names = [row["name"] for row in rows]
    kinds = list(dict.fromkeys(kind for row in rows for kind in row["points"]))
    looks = dict(zip(kinds, ((LEAF, "triangle-up"), (SOFT, "x"), (BLUE, "cross"), (WOOD, "square")), strict=False))
    data = []
    for kind in kinds if honest else kinds[:1]:
        own = [row for row in rows if kind in row["points"]]
        colour, symbol = looks[kind]
        data.append({
            "type": "scatter", "mode": "markers", "name": kind, "x": [row["name"] for row in own], "y": [round(row["points"][kind][0], 3) for row in own], "cliponaxis": False,
            "marker": {"symbol": symbol, "size": 12, "color": colour}, "hovertemplate": f"%{{x}}: %{{y:.2f}} %<extra>{kind}</extra>",
            "error_y": {"type": "data", "array": [round(row["points"][kind][1] or 0, 3) for row in own], "color": colour, "thickness": 1.4, "width": 5},
        })  # fmt: skip
    values = [
        value + sign * (spread or 0) for row in rows for value, spread in row["points"].values() for sign in (-1, 1)
    ]
    low, high = min(values), max(values)
    room = 0.15 * (high - low)
    layout = base_layout(
        showlegend=True, legend=LEGEND, dragmode=False, scattermode="group", scattergap=0.7,
        xaxis=titled_axis("", type="category", range=[-0.6, len(names) - 0.4], showgrid=False, fixedrange=True),
        yaxis=titled_axis("test accuracy, %", range=[round(low - room, 2), round(high + room, 2)], fixedrange=True), margin={"l": 54, "r": 14, "t": 34, "b": 30},
    )  # fmt: skip
    return figure(data, layout, words)
