"""Figures of the Structure page as data: deaths and returns in time, the units of a site as squares, filter shapes as taps."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from app import sentences
from app.collapse_words import report_sentence
from app.components.figure_parts import (
    CLEAR,
    DYING,
    GHOST,
    INK,
    LEAF,
    LINE,
    PICKED,
    SOFT,
    Spec,
    base_layout,
    epoch_axis,
    figure,
    plain_numbers,
    rule,
    thinned,
    titled_axis,
    with_markers,
)
from core.runs.collapses import Collapse, Report

MAX_ROWS = 16  # collapses drawn one under the other
STATES = ("alive", "dying", "dead")
ACROSS = ((24, 12), (96, 16), (400, 20), (10**9, 32))  # (units up to, squares in a row)


def collapse_rows(report: Report) -> int:
    """Rows that the timeline draws."""
    return min(len(report.collapses), MAX_ROWS)


def collapse_timeline(
    report: Report, epochs: pd.DataFrame, markers: Sequence[Mapping[str, Any]] = (), picked: str | None = None
) -> Spec:
    """When each site died and came back, in the order of the first deaths, under validation accuracy (`epochs`: epoch, val_accuracy)."""
    rows = report.collapses[:MAX_ROWS]
    names = [f"{row.order}. {html.escape(row.name)}" for row in rows]
    table = thinned(epochs.dropna(subset=["val_accuracy"]), 400)
    data: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "yaxis": "y2", "x": plain_numbers(table["epoch"], 0), "y": plain_numbers(table["val_accuracy"] * 100, 2),
            "line": {"color": SOFT, "width": 1.6}, "hovertemplate": "validation accuracy %{y:.1f} % after epoch %{x}<extra></extra>",
        }
    ]  # fmt: skip
    for living in (True, False):
        x: list[int | None] = []
        y: list[str | None] = []
        for row, name in zip(rows, names, strict=True):
            for start, end in _spans(row, report.epoch, living):
                x += [start, end, None]
                y += [name, name, None]
        look = {"color": LEAF, "width": 3} if living else {"color": GHOST, "width": 2, "dash": "dot"}
        data.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "line": look, "hoverinfo": "skip"})
    for word, symbol, colour in (("died", "x", INK), ("came back", "circle-open", LEAF)):
        points = [
            (epoch, name, row)
            for row, name in zip(rows, names, strict=True)
            for epoch in ((row.epoch, *row.again) if word == "died" else row.back)
        ]
        told = [
            str(epoch) if word == "died" and epoch in (row.epoch, row.since) else "" for epoch, _, row in points
        ]  # the first death, and the last
        data.append({
            "type": "scatter", "mode": "markers+text", "x": [p[0] for p in points], "y": [p[1] for p in points], "text": told, "textposition": "top center",
            "textfont": {"size": 11, "color": INK}, "customdata": [p[2].site for p in points], "cliponaxis": False,
            "marker": {"symbol": symbol, "size": 8, "color": colour, "line": {"width": 1.6, "color": colour}},
            "hovertemplate": f"%{{y}} {word} at epoch %{{x}}<extra></extra>",
        })  # fmt: skip
    shapes = [
        {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "y0": place - 0.5, "y1": place + 0.5, "line": {"width": 0}, "fillcolor": PICKED, "opacity": 0.12, "layer": "below"}
        for place, row in enumerate(rows) if row.site == picked
    ]  # fmt: skip
    top = 0.62 if len(rows) < 5 else 0.76
    notes = []
    if len(report.collapses) > len(rows):
        text = f"the first {len(rows)} of {len(report.collapses)}; all in the table"
        notes.append({"text": text, "xref": "paper", "yref": "paper", "x": 1, "y": top + 0.02, "showarrow": False, "xanchor": "right", "yanchor": "bottom",
                      "font": {"size": 11, "color": SOFT}})  # fmt: skip
    layout = base_layout(
        xaxis=epoch_axis(report.epoch, range=[-0.5, report.epoch + 0.5], showgrid=True),
        yaxis=titled_axis("", domain=[0, top - 0.04], type="category", categoryarray=names, categoryorder="array", range=[len(rows) - 0.4, -0.8],
                          automargin=True, showgrid=False, tickvals=names, fixedrange=True),
        yaxis2=titled_axis("val. acc., %", domain=[top + 0.08, 1], nticks=3, fixedrange=True),
        shapes=shapes, annotations=notes, margin={"l": 130, "r": 18, "t": 22, "b": 40},
    )  # fmt: skip
    return figure(data, with_markers(layout, markers), report_sentence(report))


def _spans(row: Collapse, last: int, living: bool) -> list[tuple[int, int]]:
    """(start, end) of the stretches of epochs in which a site lives, or is dead."""
    turns = sorted([row.epoch, *row.again, *row.back])
    edges = [0, *turns, last]
    spans = list(itertools.pairwise(edges))
    return [span for span in spans[0 if living else 1 :: 2] if span[0] < span[1]]


def unit_states(values: np.ndarray, alive: np.ndarray, epoch: int) -> list[str]:
    """`alive`, `dead`, or `dying`: alive, but under half of what it was a tenth of the epochs before (at least 3). (epochs, units) each."""
    back = max(0, epoch - max(3, epoch // 10))
    falling = (values[epoch] < 0.5 * values[back]) & (epoch > back)
    return [
        "dead" if not lives else "dying" if falls else "alive"
        for lives, falls in zip(alive[epoch], falling, strict=True)
    ]


def unit_order(by: str, norms: np.ndarray, deaths: Sequence[int | None]) -> list[int]:
    """The units in the order of their index, of their norm (largest first), or of their death (those alive last)."""
    if by == "norm":
        return [int(i) for i in np.argsort(-norms, kind="stable")]
    if by == "death":
        return sorted(range(len(norms)), key=lambda i: (deaths[i] is None, deaths[i] or 0))
    return list(range(len(norms)))


def across(units: int) -> int:
    """Squares in a row of the mosaic."""
    return next(columns for most, columns in ACROSS if units <= most)


def mosaic(
    norms: np.ndarray,
    states: Sequence[str],
    order: Sequence[int],
    *,
    noun: str = "filter",
    value: str = "norm",
    picked: int | None = None,
) -> Spec:
    """A square for every unit of a site, more solid the larger its norm; dead ones crossed, dying ones orange."""
    columns, largest = across(len(norms)), float(norms.max(initial=0.0)) or 1.0
    place = {unit: (rank % columns, rank // columns) for rank, unit in enumerate(order)}
    size = 290 // columns
    data: list[dict[str, Any]] = []
    for state in STATES:
        units = [unit for unit in order if states[unit] == state]
        if not units:
            continue
        solid = [round(0.16 + 0.84 * min(1.0, float(norms[unit]) / largest), 2) for unit in units]
        dead = state == "dead"
        marker: dict[str, Any] = {"size": size * 0.6 if dead else size, "symbol": "x-thin" if dead else "square"}
        marker |= {"line": {"width": 1.6, "color": GHOST}} if dead else {"color": DYING if state == "dying" else LEAF, "opacity": solid, "line": {"width": 0}}  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "name": state, "x": [place[u][0] for u in units], "y": [place[u][1] for u in units],
            "customdata": [[u, float(f"{norms[u]:.3g}")] for u in units], "marker": marker,
            "hovertemplate": f"{noun} %{{customdata[0]}}: {state}<br>{value} %{{customdata[1]}}<extra></extra>",
        })  # fmt: skip
    if picked is not None and picked in place:
        x, y = place[picked]
        data.append({
            "type": "scatter", "mode": "markers", "x": [x], "y": [y], "hoverinfo": "skip",
            "marker": {"symbol": "square-open", "size": size + 4, "color": PICKED, "line": {"width": 2.4, "color": PICKED}},
        })  # fmt: skip
    rows = math.ceil(len(norms) / columns)
    bare = {"visible": False, "fixedrange": True}
    layout = base_layout(
        xaxis={**bare, "range": [-0.7, columns - 0.3]}, yaxis={**bare, "range": [rows - 0.3, -0.7]}, dragmode=False,
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
    )  # fmt: skip
    return figure(data, layout, mosaic_sentence(states, noun))


def mosaic_height(units: int) -> int:
    """Pixels of a mosaic of so many units."""
    columns = across(units)
    return max(64, math.ceil(units / columns) * min(30, 400 // columns) + 12)


def mosaic_sentence(states: Sequence[str], noun: str) -> str:
    """`12 of 32 filters are alive, 2 of them falling fast; 20 are dead.`"""
    dead, dying = states.count("dead"), states.count("dying")
    living = len(states) - dead
    words = (
        f"{living} of {sentences.plural(len(states), noun)} alive"
        if dead
        else f"All {sentences.plural(living, noun)} alive"
    )
    words += f", {dying} falling fast (orange)" if dying else ""
    return f"{words}; {dead} dead (crossed)." if dead else f"{words}."


def tap_grid(values: np.ndarray, inputs: int, kernel: int, *, picked: int | None = None) -> Spec:
    """Filter shapes (Wen et al., 2016): of every input channel a kernel x kernel grid of taps, coloured where it lives. `values`: (taps,)."""
    taps = values.reshape(inputs, kernel, kernel)
    columns = min(inputs, max(1, 64 // (kernel + 1)))
    rows, step = math.ceil(inputs / columns), kernel + 1
    z = np.full((rows * step - 1, columns * step - 1), np.nan)
    unit = np.full(z.shape, -1)
    for channel in range(inputs):
        top, left = channel // columns * step, channel % columns * step
        z[top : top + kernel, left : left + kernel] = taps[channel]
        unit[top : top + kernel, left : left + kernel] = (
            np.arange(kernel * kernel).reshape(kernel, kernel) + channel * kernel * kernel
        )
    largest = float(values.max(initial=0.0)) or 1.0
    data: list[dict[str, Any]] = [
        {
            "type": "heatmap", "z": [[None if not math.isfinite(v) else round(float(v) / largest, 2) for v in row] for row in z],
            "customdata": unit.tolist(), "colorscale": [[0, LINE], [0.004, LINE], [0.005, "rgba(47,125,91,0.25)"], [1, LEAF]], "zmin": 0, "zmax": 1,
            "showscale": False, "hoverongaps": False, "xgap": 1, "ygap": 1,
            "hovertemplate": "tap %{customdata}: %{z:.0%} of the largest norm<extra></extra>",
        }
    ]  # fmt: skip
    dead = np.argwhere(z == 0)[:2000]
    data.append({
        "type": "scatter", "mode": "markers", "x": dead[:, 1].tolist(), "y": dead[:, 0].tolist(), "hoverinfo": "skip",
        "marker": {"symbol": "x-thin", "size": 5, "line": {"width": 1, "color": GHOST}},
    })  # fmt: skip
    shapes = []
    if picked is not None and 0 <= picked < len(values):
        y, x = (int(v) for v in np.argwhere(unit == picked)[0])
        shapes.append(
            {
                "type": "rect",
                "x0": x - 0.5,
                "x1": x + 0.5,
                "y0": y - 0.5,
                "y1": y + 0.5,
                "line": {"color": PICKED, "width": 2},
            }
        )
    bare = {"visible": False, "fixedrange": True}
    layout = base_layout(
        xaxis=bare, yaxis={**bare, "autorange": "reversed", "scaleanchor": "x"}, shapes=shapes, margin={"l": 2, "r": 2, "t": 2, "b": 2}, plot_bgcolor=CLEAR,
        dragmode=False,
    )  # fmt: skip
    living = int((values > 0).sum())
    alt = f"{living} of {sentences.plural(len(values), 'tap')} alive: {sentences.plural(inputs, 'input channel')}, {kernel} × {kernel} taps each; dead ones crossed."
    return figure(data, layout, alt)


def tap_rows(inputs: int, kernel: int) -> int:
    """Rows of cells in a tap grid."""
    columns = min(inputs, max(1, 64 // (kernel + 1)))
    return math.ceil(inputs / columns) * (kernel + 1)


def unit_history(raw: Sequence[float], effective: Sequence[float], epoch: int, noun: str) -> Spec:
    """One unit's value and effective norm over the epochs, on a linear axis, with the epoch looked at."""
    data: list[dict[str, Any]] = []
    for name, values, dash in ((noun, raw, "solid"), ("effective norm", effective, "dot")):
        if not len(values):
            continue
        table = thinned(pd.DataFrame({"epoch": range(len(values)), "value": values}), 300)
        data.append({
            "type": "scatter", "mode": "lines" if len(table) > 2 else "lines+markers", "name": name, "x": table["epoch"].tolist(),
            "y": [float(f"{v:.3g}") if math.isfinite(v) else None for v in table["value"]],
            "line": {"color": LEAF if dash == "solid" else SOFT, "width": 2, "dash": dash}, "hovertemplate": f"{name} %{{y:.3g}} after epoch %{{x}}<extra></extra>",
        })  # fmt: skip
    zero = np.flatnonzero(np.asarray(raw) == 0)
    if len(zero):
        data.append({
            "type": "scatter", "mode": "markers", "x": zero[:: max(1, len(zero) // 60)].tolist(), "y": [0] * len(zero[:: max(1, len(zero) // 60)]),
            "marker": {"symbol": "x", "size": 5, "color": DYING}, "hovertemplate": "exactly 0 after epoch %{x}<extra></extra>", "name": "exactly 0", "showlegend": False,
        })  # fmt: skip
    layout = base_layout(
        xaxis=epoch_axis(len(raw) - 1), yaxis=titled_axis("", rangemode="tozero"), showlegend=len(data) > 1,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False},
        shapes=[rule(x0=epoch, x1=epoch, y0=0, y1=1, yref="paper", color=PICKED, width=1.4)], margin={"l": 44, "r": 12, "t": 26, "b": 38},
    )  # fmt: skip
    return figure(data, layout, history_sentence(raw, epoch, noun))


def history_sentence(raw: Sequence[float], epoch: int, noun: str) -> str:
    """`The norm was 0.8 at the start and is 0.1 after epoch 40.`; where it reached exactly 0, since when."""
    values = np.asarray(raw, float)
    words = f"Its {noun} was {values[0]:.3g} at the start and is {values[epoch]:.3g} after epoch {epoch}"
    if values[-1] == 0:
        living = np.flatnonzero(values)
        since = int(living[-1]) + 1 if len(living) else 0
        words += f"; exactly 0 since epoch {since}"
    elif (values == 0).any():
        words += f"; it was exactly 0 for {sentences.plural(int((values == 0).sum()), 'epoch')} and came back"
    return f"{words}."
