"""Figures of lesson 2, as data: a plane of two weights with a loss and a penalty's ball, and bars of two groups; see `app.charts`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import sentences
from app.components.figure_parts import (
    BLUE,
    DYING,
    GHOST,
    INK,
    LINE,
    ORANGE,
    PICKED,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    figure,
    rule,
    titled_axis,
)

NAMES = {"l1": "L1", "group": "group lasso", "ridge": "ridge (L2, squared)"}
COLOURS = {"l1": ORANGE, "group": BLUE, "ridge": WOOD}
DASHES = {"l1": "solid", "group": "dash", "ridge": "dot"}
PALE = {"l1": "rgba(230,159,0,0.16)", "group": "rgba(0,114,178,0.14)", "ridge": "rgba(107,91,74,0.14)"}
REACH = 2.35
HIDDEN = (0.8, 0.0)  # a place on the ball that is shown before the minimum is
Pair = Sequence[float]


def plane(centre: Pair, minimum: Pair, penalty: str, strength: float, shape: Sequence[Pair], hidden: bool) -> Spec:
    """Rings of the loss around its centre, the penalty's ball through the minimum, and the minimum. `hidden`: still to be guessed, the ball at a size of its own.

    The cells between take clicks: they carry their own place as x and y.
    """
    rings = [_ring(centre, shape, size) for size in (0.35, 0.7, 1.05, 1.4, 1.75)]
    data: list[dict[str, Any]] = [_clicks()]
    data += [
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": y,
            "line": {"color": GHOST, "width": 1.2},
            "hoverinfo": "skip",
        }
        for x, y in rings
    ]
    data.append(_mark([centre], "cross-thin", 11, INK, f"the loss alone: ({centre[0]:g}, {centre[1]:g})"))
    notes = [_note(centre, "loss alone", INK)]
    x, y = _ball(penalty, HIDDEN if hidden else minimum)
    data.insert(
        1,
        {
            "type": "scatter",
            "mode": "lines",
            "x": x,
            "y": y,
            "fill": "toself",
            "fillcolor": PALE[penalty],
            "line": {"color": COLOURS[penalty], "width": 2, "dash": DASHES[penalty]},
            "hoverinfo": "skip",
        },
    )
    if not hidden:
        data.append(_mark([minimum], "circle", 12, PICKED, f"with the penalty: ({minimum[0]:.2f}, {minimum[1]:.2f})"))
        if math.dist(minimum, centre) > 0.3:
            notes.append(_note(minimum, "with penalty", PICKED, below=True))
    axis = {
        "range": [-REACH, REACH],
        "zeroline": True,
        "zerolinecolor": SOFT,
        "zerolinewidth": 1.4,
        "showgrid": False,
        "tickvals": [-2, -1, 0, 1, 2],
        "fixedrange": True,
    }
    layout = base_layout(
        xaxis=titled_axis("first weight") | axis, yaxis=titled_axis("second weight") | axis | {"range": [-1.15, REACH], "scaleanchor": "x", "constrain": "domain"},
        annotations=notes, margin={"l": 46, "r": 8, "t": 6, "b": 40}, dragmode=False, hovermode="closest",
    )  # fmt: skip
    return figure(data, layout, plane_sentence(centre, minimum, penalty, strength, hidden))


def plane_sentence(centre: Pair, minimum: Pair, penalty: str, strength: float, hidden: bool) -> str:
    """Where the loss alone ends, and where it ends with the penalty."""
    alone = f"The loss alone is smallest at ({_say(centre[0])}, {_say(centre[1])})"
    if hidden:
        return f"{alone}; where it ends with {NAMES[penalty]} of strength {strength:g} is for you to guess."
    zeros = sum(value == 0 for value in minimum)
    found = ("no weight is zero", "one weight is exactly zero", "both weights are exactly zero")[zeros]
    return (
        f"{alone}, with {NAMES[penalty]} of strength {strength:g} at ({_say(minimum[0])}, {_say(minimum[1])}): {found}."
    )


def paths(strengths: Sequence[float], minima: Mapping[str, Sequence[Pair]], centre: Pair) -> Spec:
    """Both weights over the strength, under L1 and under the group lasso."""
    data = []
    for penalty, rows in minima.items():
        for at, name in enumerate(("first", "second")):
            data.append({
                "type": "scatter", "mode": "lines+markers", "name": f"{NAMES[penalty]}, {name} weight", "x": list(strengths), "y": [row[at] for row in rows],
                "line": {"color": COLOURS[penalty], "width": 2.2, "dash": DASHES[penalty]}, "marker": {"size": 7, "symbol": ("circle", "square")[at]},
                "hovertemplate": f"{NAMES[penalty]}, {name} weight, strength %{{x}}: %{{y:.2f}}<extra></extra>",
            })  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("strength of the penalty", showgrid=False), yaxis=titled_axis("weight at the minimum", rangemode="tozero"),
        shapes=[rule(SOFT, 1.2, xref="paper", x0=0, x1=1, y0=0, y1=0)], showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}},
        margin={"l": 48, "r": 8, "t": 44, "b": 40}, dragmode=False,
    )  # fmt: skip
    return figure(data, layout, _paths_sentence(strengths, minima, centre))


def _paths_sentence(strengths: Sequence[float], minima: Mapping[str, Sequence[Pair]], centre: Pair) -> str:
    told = []
    for penalty, rows in minima.items():
        ends = [next((s for s, row in zip(strengths, rows, strict=True) if row[at] == 0), None) for at in (0, 1)]
        first, second = (f"at {end:g}" if end is not None else "not up to 1.5" for end in ends)
        together = (
            f"both weights are zero {first}, together"
            if ends[0] == ends[1]
            else f"the second weight is zero {second}, the first {first}"
        )
        told.append(f"under {NAMES[penalty]} {together}")
    return f"From ({_say(centre[0])}, {_say(centre[1])}), of the strengths computed: {'; '.join(told)}."


def bars(centre: Sequence[Pair], minimum: Sequence[Pair], penalty: str, strength: float) -> Spec:
    """Two groups of three weights: outlines are the loss alone, bars what the penalty leaves; a dead weight is crossed."""
    x = [0, 1, 2, 3.7, 4.7, 5.7]
    alone, left = [v for g in centre for v in g], [v for g in minimum for v in g]
    dead = [at for at, value in zip(x, left, strict=True) if value == 0]
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": x,
            "y": alone,
            "width": 0.8,
            "marker": {"color": "rgba(0,0,0,0)", "line": {"color": GHOST, "width": 1.5}},
            "hovertemplate": "loss alone %{y:.2f}<extra></extra>",
        },
        {
            "type": "bar",
            "x": x,
            "y": left,
            "width": 0.62,
            "marker": {"color": COLOURS[penalty]},
            "hovertemplate": "with the penalty %{y:.2f}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": dead,
            "y": [0] * len(dead),
            "marker": {"symbol": "x", "size": 11, "color": DYING},
            "hovertemplate": "exactly zero<extra></extra>",
        },
    ]
    norms = [math.hypot(*g) for g in centre]
    notes = [
        {
            "x": at,
            "y": 1.3,
            "text": f"<b>group {name}</b><br>norm {norm:.2f}",
            "showarrow": False,
            "font": {"size": 12, "color": INK},
        }
        for at, name, norm in zip((1, 4.7), "AB", norms, strict=True)
    ]
    layout = base_layout(
        xaxis=titled_axis("", tickvals=x, ticktext=[f"weight {k}" for k in range(1, 7)], showgrid=False, fixedrange=True), yaxis=titled_axis("weight", range=[-0.6, 1.5], fixedrange=True),
        barmode="overlay", annotations=notes, shapes=[rule(SOFT, 1.2, xref="paper", x0=0, x1=1, y0=0, y1=0), rule(LINE, 1.2, "dash", x0=2.85, x1=2.85, yref="paper", y0=0, y1=1)],
        margin={"l": 46, "r": 8, "t": 8, "b": 30}, dragmode=False,
    )  # fmt: skip
    return figure(data, layout, _bars_sentence(minimum, penalty, strength))


def _bars_sentence(minimum: Sequence[Pair], penalty: str, strength: float) -> str:
    told = [
        f"{sum(v == 0 for v in g)} of {len(g)} weights of group {name}" for g, name in zip(minimum, "AB", strict=True)
    ]
    start = f"Under {NAMES[penalty]} of strength {strength:g}"
    return f"{start}, {told[0]} and {told[1]} are exactly zero."


def _clicks() -> dict[str, Any]:
    x, y = [k / 4 for k in range(-8, 9)], [k / 4 for k in range(9)]
    return {"type": "heatmap", "x": x, "y": y, "z": [[0] * len(x) for _ in y], "colorscale": [[0, "rgba(0,0,0,0)"], [1, "rgba(0,0,0,0)"]], "showscale": False, "hovertemplate": "click: put the loss at (%{x}, %{y})<extra></extra>"}  # fmt: skip


def _ring(centre: Pair, shape: Sequence[Pair], size: float) -> tuple[list[float], list[float]]:
    """Where 1/2 (w - c)' H (w - c) = size^2 / 2."""
    turned = np.linalg.cholesky(np.linalg.inv(np.array(shape, float)))
    angle = np.linspace(0, 2 * np.pi, 61)
    points = size * turned @ np.array([np.cos(angle), np.sin(angle)])
    return (np.round(centre[0] + points[0], 3).tolist(), np.round(centre[1] + points[1], 3).tolist())


def _ball(penalty: str, through: Pair) -> tuple[list[float], list[float]]:
    """The set of weights of no larger penalty than those of `through`."""
    if penalty == "l1":
        r = abs(through[0]) + abs(through[1])
        return [r, 0, -r, 0, r], [0, r, 0, -r, 0]
    angle, r = np.linspace(0, 2 * np.pi, 61), math.hypot(*through)
    return np.round(r * np.cos(angle), 3).tolist(), np.round(r * np.sin(angle), 3).tolist()


def _mark(points: Sequence[Pair], symbol: str, size: int, colour: str, words: str) -> dict[str, Any]:
    return {"type": "scatter", "mode": "markers", "x": [p[0] for p in points], "y": [p[1] for p in points],
            "marker": {"symbol": symbol, "size": size, "color": colour, "line": {"width": 2.2, "color": colour}}, "hovertemplate": f"{words}<extra></extra>"}  # fmt: skip


def _note(at: Pair, text: str, colour: str, below: bool = False) -> dict[str, Any]:
    return {
        "x": at[0],
        "y": at[1],
        "text": text,
        "showarrow": False,
        "font": {"size": 12, "color": colour},
        "yshift": -13 if below else 15,
        "xshift": 9 if below else 0,
        "xanchor": "left" if below else "center",
    }


def _say(value: float) -> str:
    return f"{round(value, 2):g}".replace("-", sentences.MINUS)
