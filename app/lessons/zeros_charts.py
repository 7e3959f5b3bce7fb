"""Figures of lesson 1, as data: a table of weights with its zeros, and how fast what is left runs; see `app.charts`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app import sentences
from app.components.figure_parts import (
    BLUE,
    GHOST,
    INK,
    LEAF,
    LINE,
    ORANGE,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    figure,
    rule,
    titled_axis,
)

WAYS = {"dense": "zeros left in place", "csr": "zeros skipped (CSR)", "removed": "columns removed"}
COLOURS = {"dense": WOOD, "csr": ORANGE, "removed": BLUE}
TICKS = [0.2, 0.5, 1, 2, 5, 10, 20]
TABLE_ROWS, TABLE_COLUMNS = 20, 60
Rows = Mapping[str, Mapping[str, Any]]


def table_of_weights(sparsity: float, columns: bool, macs: float, promised: bool) -> Spec:
    """A piece of the layer's table, zeros pale, scattered or as whole columns; `macs`: of the whole layer, dense; `promised`: say what it promises."""
    draw, shape = np.random.default_rng(0), (TABLE_ROWS, TABLE_COLUMNS)
    order = draw.permutation(TABLE_COLUMNS if columns else shape[0] * shape[1])
    zero = order < round(sparsity * len(order))
    cells = np.broadcast_to(zero, shape) if columns else zero.reshape(shape)
    layout = base_layout(
        xaxis={"visible": False, "fixedrange": True}, yaxis={"visible": False, "autorange": "reversed", "fixedrange": True, "scaleanchor": "x"},
        margin={"l": 0, "r": 0, "t": 4, "b": 4}, dragmode=False,
    )  # fmt: skip
    data = [{
        "type": "heatmap", "z": (~cells).astype(int).tolist(), "zmin": 0, "zmax": 1, "xgap": 1.5, "ygap": 1.5, "showscale": False,
        "colorscale": [[0, LINE], [1, LEAF]], "hoverinfo": "skip",
    }]  # fmt: skip
    left = 1 - float(cells.mean())
    alt = (
        f"{sentences.percent(1 - left)} of the weights are zero (pale), {'as whole columns' if columns else 'scattered'}: {sentences.amount(left * macs)} of "
        f"{sentences.amount(macs)} MACs are left{f', so the arithmetic promises {sentences.times(1 / left)}' if promised else ''}."
    )
    return figure(data, layout, alt)


def promise(chosen: float) -> Spec:
    """The promised speed over the share of zeros; a dot where the slider stands."""
    x = [round(0.01 * k, 2) for k in range(0, 98)]
    line = {"type": "scatter", "mode": "lines", "x": [100 * s for s in x], "y": [round(1 / (1 - s), 3) for s in x], "line": {"color": SOFT, "width": 2, "dash": "dash"},
            "hovertemplate": "%{x:.0f} % zeros: %{y:.1f} ×<extra></extra>"}  # fmt: skip
    here = {
        "type": "scatter",
        "mode": "markers",
        "x": [100 * chosen],
        "y": [round(1 / (1 - chosen), 3)],
        "marker": {"size": 10, "color": LEAF},
        "hoverinfo": "skip",
    }
    layout = base_layout(
        xaxis=titled_axis("zeros, %", showgrid=False), yaxis=titled_axis("times as fast", rangemode="tozero"),
        margin={"l": 48, "r": 10, "t": 8, "b": 38}, dragmode=False,
    )  # fmt: skip
    return figure(
        [line, here],
        layout,
        f"The promise is one over what is left: {sentences.times(1 / (1 - chosen))} at {sentences.percent(chosen)}.",
    )


def speeds(rows: Rows, here: Rows, ways: Sequence[str], hidden: str | None, sparsity: float, what: str) -> Spec:
    """A bar a way from the line of 1 ×, with quartiles; a dot where this machine measured; a dash for the promise.

    `hidden`: the way that is still to be guessed.
    """
    data, notes = [], []
    for at, way in enumerate(ways):
        row = rows[way]
        if way == hidden:
            notes.append(
                {
                    "x": 0,
                    "y": at,
                    "text": "<b>?</b>",
                    "showarrow": False,
                    "font": {"size": 22, "color": INK},
                    "xanchor": "left",
                    "xshift": 8,
                }
            )
        else:
            data.append({
                "type": "bar", "orientation": "h", "base": 1, "x": [row["measured"] - 1], "y": [at], "width": 0.5, "marker": {"color": COLOURS[way]},
                "error_x": _whiskers(row), "customdata": [_hover(row)], "hovertemplate": f"{WAYS[way]}: %{{customdata}}<extra></extra>",
            })  # fmt: skip
            side = max(row["high"], 1.0)
            notes.append(
                {
                    "x": math.log10(side),
                    "y": at,
                    "text": f"<b>{row['measured']:.2f} ×</b>",
                    "showarrow": False,
                    "xanchor": "left",
                    "xshift": 7,
                    "font": {"size": 13.5, "color": INK},
                }
            )
            if way in here:
                data.append({
                    "type": "scatter", "mode": "markers", "name": "this machine", "x": [here[way]["measured"]], "y": [at - 0.36], "error_x": _whiskers(here[way]),
                    "marker": {"size": 10, "color": COLOURS[way], "line": {"width": 1.6, "color": INK}},
                    "customdata": [_hover(here[way])], "hovertemplate": "this machine: %{customdata}<extra></extra>",
                })  # fmt: skip
    promised = rows[ways[0]]["promised"]
    shapes = [
        rule(INK, 1.5, x0=1, x1=1, yref="paper", y0=0, y1=1),
        rule(SOFT, 1.6, "dash", x0=promised, x1=promised, yref="paper", y0=0, y1=1),
    ]
    notes += [
        {
            "x": 0,
            "y": 1,
            "yref": "paper",
            "text": "as fast as dense",
            "showarrow": False,
            "yanchor": "bottom",
            "font": {"size": 11.5, "color": INK},
        },
        {
            "x": math.log10(promised),
            "y": 1,
            "yref": "paper",
            "text": f"promised {sentences.times(promised)}",
            "showarrow": False,
            "yanchor": "bottom",
            "font": {"size": 11.5, "color": SOFT},
        },
    ]
    layout = base_layout(
        xaxis=titled_axis("times as fast as dense, log scale", type="log", tickvals=TICKS, ticktext=[f"{t:g} ×" for t in TICKS], range=[math.log10(0.12), math.log10(48)], showgrid=True, fixedrange=True),
        yaxis=titled_axis("", tickvals=list(range(len(ways))), ticktext=[WAYS[way] for way in ways], range=[len(ways) - 0.4, -0.6], showgrid=False, fixedrange=True),
        shapes=shapes, annotations=notes, margin={"l": 138, "r": 8, "t": 26, "b": 40}, dragmode=False, hovermode="closest",
    )  # fmt: skip
    return figure(data, layout, _speeds_sentence(rows, ways, hidden, sparsity, what))


def _speeds_sentence(rows: Rows, ways: Sequence[str], hidden: str | None, sparsity: float, what: str) -> str:
    told = [f"{WAYS[way]} {rows[way]['measured']:.2f} ×" for way in ways if way != hidden]
    promised = sentences.times(rows[ways[0]]["promised"])
    start = f"At {sentences.percent(sparsity)} zeros the MACs promise {promised}"
    if not told:
        return f"{start}; what the clock says of {what} is for you to guess."
    return f"{start}; measured, {what}: {', '.join(told)} as fast as dense."


def over_sparsity(document: Mapping[str, Rows], ways: Sequence[str], here: Sequence[Mapping[str, Any]]) -> Spec:
    """Speed of each way over the share of zeros, with quartiles; dots where this machine measured."""
    shares = [float(s) for s in document]
    data: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for way in ways:
        rows = [document[f"{s:g}"][way] for s in shares]
        data.append({
            "type": "scatter", "mode": "lines+markers", "name": WAYS[way], "x": [100 * s for s in shares], "y": [r["measured"] for r in rows],
            "line": {"color": COLOURS[way], "width": 2.2}, "marker": {"size": 6},
            "error_y": {"type": "data", "symmetric": False, "array": [round(r["high"] - r["measured"], 3) for r in rows],
                        "arrayminus": [round(r["measured"] - r["low"], 3) for r in rows], "thickness": 1.2, "width": 2, "color": COLOURS[way]},
            "hovertemplate": f"{WAYS[way]}, %{{x:.0f}} % zeros: %{{y:.2f}} ×<extra></extra>",
        })  # fmt: skip
        if len(ways) > 1:  # lines rise: above the highest there is room at the left, below the lowest at the right
            lowest = way != ways[-1]
            notes.append({
                "text": WAYS[way], "x": 100 * shares[-1 if lowest else 0], "y": math.log10(rows[0 if lowest else -1]["measured"]),
                "xanchor": "right" if lowest else "left", "showarrow": False, "font": {"size": 11.5, "color": INK},
            })  # fmt: skip
        mine = [a for a in here if way in a["rows"]]
        if mine:
            data.append({
                "type": "scatter", "mode": "markers", "name": f"{WAYS[way]}, this machine", "x": [100 * a["sparsity"] for a in mine], "y": [a["rows"][way]["measured"] for a in mine],
                "marker": {"size": 10, "color": COLOURS[way], "line": {"width": 1.6, "color": INK}}, "hovertemplate": "this machine %{y:.2f} ×<extra></extra>",
            })  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("zeros, %", showgrid=False), yaxis=titled_axis("times as fast", type="log", tickvals=TICKS, ticktext=[f"{t:g} ×" for t in TICKS], showgrid=True),
        shapes=[rule(GHOST, 1.5, xref="paper", x0=0, x1=1, y0=1, y1=1)], annotations=notes, margin={"l": 52, "r": 8, "t": 8, "b": 38}, dragmode=False,
    )  # fmt: skip
    return figure(data, layout, over_sparsity_sentence(document, ways))


def over_sparsity_sentence(document: Mapping[str, Rows], ways: Sequence[str]) -> str:
    """From where on each way beats dense."""
    told = []
    for way in ways:
        start = first_faster(document, way)
        told.append(
            f"{WAYS[way]} beats dense from {sentences.percent(start)} zeros on"
            if start
            else f"{WAYS[way]} never beats dense here"
        )
    words = "; ".join(told)
    return f"{words[0].upper()}{words[1:]} (line: 1 ×)."


def first_faster(document: Mapping[str, Rows], way: str) -> float | None:
    """The smallest recorded share of zeros from which on a way is faster than dense; None where it never is."""
    faster = None
    for s in reversed(list(document)):
        if document[s][way]["measured"] <= 1:
            break
        faster = float(s)
    return faster


def _hover(row: Mapping[str, Any]) -> str:
    return f"{row['measured']:.2f} × ({row['low']:.2f}–{row['high']:.2f}), n = {row['n']} pairs"


def _whiskers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "data", "symmetric": False, "array": [round(row["high"] - row["measured"], 3)], "arrayminus": [round(row["measured"] - row["low"], 3)],
            "color": INK, "thickness": 1.3, "width": 4}  # fmt: skip
