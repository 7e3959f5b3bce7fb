"""Figures of the lesson on nested networks, as data: grids of weights by level, two levels beside one another, answers, accuracy, consensus."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from app import sentences
from app.components.figure_parts import (
    BLUE,
    CLEAR,
    GHOST,
    INK,
    LEAF,
    LINE,
    PAPER,
    SOFT,
    VERMILION,
    WOOD,
    Spec,
    base_layout,
    figure,
    level_colours,
    rule,
    titled_axis,
)

LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}
NAMES = ("core", "middle", "full")


def layer_name(path: str) -> str:
    """`1.2 conv1` of `stage1.1.conv1`."""
    stage, _, rest = path.removeprefix("stage").partition(".")
    place, _, layer = rest.partition(".")
    return f"{stage}.{int(place) + 1} {layer}" if place.isdigit() else path


def weight_grid(grid: Sequence[Sequence[int]], level: int, levels: int, share: float | None) -> Spec:
    """A layer's weights, outputs by inputs, each coloured by the first level that has it; what the shown level lacks is blank."""
    colours = level_colours(levels)
    cells = [[value if value <= level else -1 for value in row] for row in grid]
    scale = []
    for k, colour in enumerate((PAPER, *colours)):
        scale += [[k / (levels + 1), colour], [(k + 1) / (levels + 1), colour]]
    has = [[value <= level for value in row] for row in grid]
    outs, ins = sum(any(row) for row in has), sum(any(column) for column in zip(*has, strict=True))
    data = [{
        "type": "heatmap", "z": cells, "zmin": -1.5, "zmax": levels - 0.5, "colorscale": scale, "showscale": False, "xgap": 1, "ygap": 1,
        "hovertemplate": "output %{y}, input %{x}<extra></extra>",
    }]  # fmt: skip
    data += [
        {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": f"first in level {k} ({NAMES[k]})", "showlegend": True, "hoverinfo": "skip",
         "marker": {"symbol": "square", "size": 11, "color": colour}} for k, colour in enumerate(colours)
    ]  # fmt: skip
    edge = {
        "type": "rect",
        "x0": -0.5,
        "x1": len(grid[0]) - 0.5,
        "y0": -0.5,
        "y1": len(grid) - 0.5,
        "line": {"color": GHOST, "width": 1},
        "fillcolor": CLEAR,
    }
    layout = base_layout(
        showlegend=True, legend=LEGEND, dragmode=False, shapes=[edge],
        xaxis=titled_axis("input channel", range=[-0.6, len(grid[0]) - 0.4], showgrid=False, fixedrange=True, constrain="domain"),
        yaxis=titled_axis("output channel", range=[len(grid) - 0.4, -0.6], showgrid=False, scaleanchor="x", fixedrange=True, constrain="domain"),
        margin={"l": 52, "r": 12, "t": 34, "b": 42},
    )  # fmt: skip
    words = f"Level {level} ({NAMES[level]}) has {outs} of this layer's {len(grid)} outputs and {ins} of its {len(grid[0])} inputs"
    words += "." if share is None else f"; over all layers it has {sentences.percent(share, 1)} of the parameters."
    return figure(data, layout, words)


def two_levels(
    bands: Sequence[Mapping[str, Any]], pair: tuple[int, int], names: Sequence[str], holds: Mapping[str, bool] | None
) -> Spec:
    """Of every layer the channels that two levels keep, side by side; `holds`: who lies in whom, once that is told."""
    rows = bands[:-1]
    data = []
    for k, colour in zip(pair, (BLUE, VERMILION), strict=True):
        data.append({
            "type": "bar", "name": names[k], "x": [layer_name(row["layer"]) for row in rows],
            "y": [round(100 * row["units"]["kept"][k] / row["units"]["total"], 1) for row in rows], "marker": {"color": colour},
            "hovertemplate": f"%{{x}}: %{{y:.0f}} % of the channels<extra>{html.escape(names[k])}</extra>",
        })  # fmt: skip
    layout = base_layout(
        barmode="group", bargap=0.25, showlegend=True, legend=LEGEND, dragmode=False,
        xaxis=titled_axis("", type="category", tickangle=-55, showgrid=False, fixedrange=True, automargin=True),
        yaxis=titled_axis("channels kept, %", range=[0, 104], fixedrange=True), margin={"l": 52, "r": 12, "t": 34, "b": 60},
    )  # fmt: skip
    return figure(data, layout, pair_sentence(pair, names, holds))


def pair_sentence(pair: tuple[int, int], names: Sequence[str], holds: Mapping[str, bool] | None) -> str:
    """Who of two levels lies in the other."""
    if holds is None:
        return f"Every layer's channels in two levels: “{names[pair[0]]}” and “{names[pair[1]]}”."
    first, last = sorted(pair)
    if holds[f"{first} in {last}"]:
        return f"Every weight of “{names[first]}” is one of “{names[last]}”: the subset rule holds, checked on the weights."
    return f"“{names[first].capitalize()}” has blocks that “{names[last]}” lacks, and lacks channels that it has: neither lies in the other."


def answer_bars(levels: Sequence[Sequence[float]], level: int, share: float, label: int | None) -> Spec:
    """Probabilities of the ten digits by the chosen level as bars, by the full level as outlines."""
    digits = [str(k) for k in range(10)]
    colours = level_colours(len(levels))
    bar = {"type": "bar", "x": digits, "hovertemplate": "%{x}: %{y:.1f} %<extra>%{fullData.name}</extra>"}
    data = [
        {**bar, "name": f"level {level} ({NAMES[level]})", "y": [round(100 * p, 2) for p in levels[level]], "marker": {"color": colours[level]}, "width": 0.5},
        {**bar, "name": "full level", "y": [round(100 * p, 2) for p in levels[-1]], "marker": {"color": CLEAR, "line": {"color": SOFT, "width": 1.6}}, "width": 0.8},
    ]  # fmt: skip
    layout = base_layout(
        barmode="overlay", showlegend=True, legend=LEGEND, dragmode=False, xaxis=titled_axis("digit", type="category", showgrid=False, fixedrange=True),
        yaxis=titled_axis("probability, %", range=[0, 104], fixedrange=True), margin={"l": 50, "r": 8, "t": 34, "b": 40},
    )  # fmt: skip
    own, full = said(levels[level]), said(levels[-1])
    words = f"Level {level} ({NAMES[level]}, {sentences.percent(share)} of the parameters) says {own} with {sentences.percent(max(levels[level]))}"
    if level < len(levels) - 1:
        words += f"; the full level {'agrees' if own == full else f'says {full}'}"
    return figure(data, layout, words + ("." if label is None else f". It is a {label}."))


def said(probabilities: Sequence[float]) -> int:
    """The most probable class."""
    return max(range(len(probabilities)), key=probabilities.__getitem__)


def beside_alone(rows: Sequence[Mapping[str, Any]], words: str, revealed: bool) -> Spec:
    """Accuracy of every level inside and of the same network trained alone. `rows`: {name, left, inside, alone}, percent; smallest first."""
    names = [f"{row['name']}<br>{row['left']}" for row in rows]
    values = [row[key] for row in rows for key in ("inside", "alone")]
    low, high = min(values), max(values)
    room = 0.25 * (high - low)
    data: list[dict[str, Any]] = [{
        "type": "scatter", "mode": "markers", "name": "trained alone", "x": names, "y": [row["alone"] for row in rows], "cliponaxis": False,
        "marker": {"symbol": "diamond-open", "size": 13, "color": WOOD, "line": {"width": 2, "color": WOOD}}, "hovertemplate": "%{x}: %{y:.1f} %<extra>alone</extra>",
    }]  # fmt: skip
    notes = []
    if revealed:
        data.append({
            "type": "scatter", "mode": "markers", "name": "inside, trained together", "x": names, "y": [row["inside"] for row in rows], "cliponaxis": False,
            "marker": {"symbol": "star", "size": 12, "color": VERMILION}, "hovertemplate": "%{x}: %{y:.1f} %<extra>inside</extra>",
        })  # fmt: skip
        notes = [
            {"x": name, "y": max(row["inside"], row["alone"]), "text": sentences.points((row["inside"] - row["alone"]) / 100), "showarrow": False, "yanchor": "bottom", "yshift": 10,
             "font": {"size": 12, "color": INK}} for name, row in zip(names, rows, strict=True)
        ]  # fmt: skip
    layout = base_layout(
        showlegend=True, legend=LEGEND, annotations=notes, dragmode=False, xaxis=titled_axis("", type="category", range=[-0.6, len(rows) - 0.4], showgrid=False, fixedrange=True),
        yaxis=titled_axis("test accuracy, %", range=[low - room, high + room], fixedrange=True), margin={"l": 56, "r": 12, "t": 34, "b": 44},
    )  # fmt: skip
    return figure(data, layout, words)


def consensus_gain(rows: Sequence[Mapping[str, Any]], words: str) -> Spec:
    """What asking all levels adds to the full level, in points. `rows`: {name, average, learned}, None where there is none."""
    names = [row["name"] for row in rows]
    data = [
        {"type": "scatter", "mode": "markers", "name": name, "y": names, "x": [row[key] for row in rows], "cliponaxis": False,
         "marker": {"symbol": symbol, "size": 12, "color": colour}, "hovertemplate": f"%{{y}}: %{{x:+.2f}} points<extra>{name}</extra>"}
        for key, name, symbol, colour in (("average", "averaged (NestedNet-A)", "circle", LEAF), ("learned", "a learned layer (NestedNet-L)", "triangle-up", BLUE))
    ]  # fmt: skip
    layout = base_layout(
        showlegend=True, legend=LEGEND, dragmode=False, shapes=[rule(x0=0, x1=0, y0=0, y1=1, yref="paper", color=SOFT, width=1.4, dash="dot")],
        xaxis=titled_axis("points above the full level alone", range=_reach(rows), zeroline=False, fixedrange=True),
        yaxis=titled_axis("", type="category", autorange="reversed", automargin=True, showgrid=True, gridcolor=LINE, fixedrange=True), margin={"l": 12, "r": 16, "t": 34, "b": 42},
    )  # fmt: skip
    return figure(data, layout, words)


def _reach(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """From below the least to above the most that is gained, zero among them."""
    known = [row[key] for row in rows for key in ("average", "learned") if row[key] is not None]
    return [min(-0.5, *known) - 0.3, max(2.6, *known) + 0.4]
