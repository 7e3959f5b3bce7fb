"""Figures as data: pure functions from tables to Plotly specs ``{"data", "layout", "alt"}``.

One spec feeds the live component, finished views and export. Specs are written in the light palette. Fractions are 0-1
in tables and percent on screen. A long run is thinned, so that a figure stays under 50 kB.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import chart_words
from app.components.figure_parts import (
    CIVIDIS,
    GHOST,
    INK,
    LEAF,
    LINE,
    PAPER,
    PICKED,
    SOFT,
    STAGE_LOOKS,
    WOOD,
    Spec,
    base_layout,
    colour_scale,
    end_label,
    epoch_axis,
    figure,
    kept_places,
    plain_numbers,
    rule,
    spread_apart,
    thinned,
    titled_axis,
    with_markers,
)

MAX_CELLS = 4000
MAX_POINTS = 1130  # of a line of the figure of accuracy and loss
CROSSES, MAX_CROSSES = 24, 300  # along a row that is dead throughout, and in all


def accuracy_and_loss(epochs: pd.DataFrame, markers: Sequence[Mapping[str, Any]] = ()) -> Spec:
    """Accuracy above, loss below, one epoch axis. Columns: epoch, train_loss, train_accuracy, val_accuracy."""
    table = thinned(epochs, MAX_POINTS)
    data, notes = [], []
    for column, name, colour, dash, axis in (
        ("train_accuracy", "training", SOFT, "dot", "y"),
        ("val_accuracy", "validation", LEAF, "solid", "y"),
        ("train_loss", "training loss", WOOD, "solid", "y2"),
    ):
        if column not in table or table[column].notna().sum() == 0:
            continue
        scale, digits = (100, 2) if axis == "y" else (1, 4)
        unit = " %" if axis == "y" else ""
        data.append(
            {
                "type": "scatter", "mode": "lines+markers" if len(table) < 3 else "lines", "name": name, "yaxis": axis,
                "x": plain_numbers(table["epoch"], 0), "y": plain_numbers(table[column] * scale, digits),
                "line": {"color": colour, "width": 2.2, "dash": dash},
                "hovertemplate": f"{name} %{{y:.4g}}{unit}<extra></extra>",
            }
        )  # fmt: skip
        seen = table.dropna(subset=[column])
        value = float(seen[column].iloc[-1]) * scale
        label = f"{name}<br>{value:.1f} %" if axis == "y" else f"loss<br>{value:.3g}"
        notes.append(end_label(value, label, colour, axis))
        if axis == "y2":
            notes[-1]["yanchor"] = "bottom"
    if len(notes) > 1 and data[0]["yaxis"] == data[1]["yaxis"]:
        first, second = notes[0], notes[1]
        gap = 17 if first["y"] >= second["y"] else -17
        first["yshift"], second["yshift"] = gap, -gap
    layout = base_layout(
        xaxis=epoch_axis(int(table["epoch"].max()) if len(table) else 0, anchor="y2", rangemode="tozero"),
        yaxis=titled_axis("accuracy, %", domain=[0.45, 1], range=_late_range(table)),
        yaxis2=titled_axis("loss", domain=[0, 0.33], rangemode="tozero"),
        annotations=notes,
        hovermode="x unified",
        margin={"l": 52, "r": 78, "t": 36, "b": 40},
    )
    return figure(data, with_markers(layout, markers), chart_words.accuracy(epochs))


def survival_heatmap(
    survival: pd.DataFrame,
    stages: Sequence[tuple[str, int]] = (),
    markers: Sequence[Mapping[str, Any]] = (),
    names: Mapping[str, str] | None = None,
    *,
    max_cells: int = MAX_CELLS,
    picked: tuple[str | None, int | None] = (None, None),
) -> Spec:
    """Share alive, sites (rows, forward order) by epochs (columns). ``stages``: (name, number of rows) from the top;
    ``names``: short row names. Dead cells stand apart: ghost coloured and crossed, a bold x where the site died, a ring
    where it died and came back, each at its own epoch however few columns are drawn. ``picked``: a row and an epoch."""
    names = names or {}
    kept = kept_places(survival.shape[1], max_cells // max(1, len(survival)))
    every = kept[1] - kept[0] if len(kept) > 1 else 1
    table = survival.iloc[:, kept]
    sites, epochs = [str(site) for site in table.index], [int(epoch) for epoch in table.columns]
    values = table.to_numpy(dtype=float)
    alive = [[None if cell == 0 or math.isnan(cell) else round(float(cell), 2) for cell in row] for row in values]
    dead = [[1 if cell == 0 else None for cell in row] for row in values]
    died, passing = _deaths(survival)
    cells = {
        "type": "heatmap",
        "x": epochs,
        "y": sites,
        "xgap": int(len(epochs) <= 60 and len(sites) <= 30),
        "ygap": int(len(sites) <= 30),
    }
    data: list[dict[str, Any]] = [
        {
            **cells, "z": alive, "zmin": 0, "zmax": 1, "colorscale": colour_scale(CIVIDIS), "hoverongaps": False,
            "colorbar": {
                "title": {"text": "alive", "side": "top", "font": {"size": 11}}, "thickness": 9, "len": 0.9, "outlinewidth": 0,
                "tickvals": [0, 0.5, 1], "ticktext": ["0 %", "50 %", "100 %"], "x": 1.01, "xpad": 4,
            },
            "hovertemplate": "%{y}<br>epoch %{x}: %{z:.0%} alive<extra></extra>",
        }
    ]  # fmt: skip
    if died or passing:
        data.append(
            {
                **cells, "z": dead, "zmin": 0, "zmax": 1, "colorscale": [[0, LINE], [1, LINE]], "showscale": False,
                "hoverongaps": False, "hovertemplate": "%{y}<br>epoch %{x}: dead<extra></extra>",
            }
        )  # fmt: skip
    gap = max(1, math.ceil(survival.shape[1] / CROSSES), math.ceil(survival.shape[1] * len(died) / MAX_CROSSES))
    crossed = [
        (epoch, site) for since, site in died for epoch in range(since + gap, int(survival.columns[-1]) + 1, gap)
    ]
    for points, marker, words in (
        (crossed, {"symbol": "x-thin", "size": 4, "line": {"width": 1, "color": GHOST}}, ""),
        (passing[-MAX_CROSSES:], {"symbol": "circle-open", "size": 6, "line": {"width": 1.6}, "color": INK}, "died at epoch %{x} and came back"),
        (died, {"symbol": "x-thin", "size": 7, "line": {"width": 1.8, "color": INK}}, "died at epoch %{x}"),
    ):  # fmt: skip
        if points:
            hover = {"hovertemplate": f"%{{y}}<br>{words}<extra></extra>"} if words else {"hoverinfo": "skip"}
            data.append(
                {
                    "type": "scatter", "mode": "markers", "x": [epoch for epoch, _ in points], "y": [site for _, site in points],
                    "marker": marker, "showlegend": False, **hover,
                }
            )  # fmt: skip
    step = max(1, math.ceil(len(sites) / 24))
    shown = sites[::step]
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    row, short = 0, all(len(names.get(site, site)) <= 6 for site in shown)
    for name, count in stages:
        if row:
            shapes.append(rule(x0=0, x1=1, xref="paper", y0=row - 0.5, y1=row - 0.5, color=PAPER, width=4))
        if short and len(stages) <= 6:
            notes.append({"text": html.escape(name), "x": 0, "xref": "paper", "xshift": -46, "y": row + (count - 1) / 2, "textangle": -90,
                          "showarrow": False, "xanchor": "center", "font": {"size": 11.5, "color": SOFT}})  # fmt: skip
        row += count
    if picked[0] in sites:
        at = sites.index(picked[0])
        shapes.append(_frame(xref="paper", x0=0, x1=1, y0=at - 0.5, y1=at + 0.5))
    if picked[1] is not None:
        shapes.append(_frame(yref="paper", y0=0, y1=1, x0=picked[1] - every / 2, x1=picked[1] + every / 2))
    layout = base_layout(
        xaxis=epoch_axis(epochs[-1] if epochs else 0, showgrid=False, range=[epochs[0] - 0.5, epochs[-1] + 0.5] if epochs else None),
        yaxis=titled_axis("", showgrid=False, autorange="reversed", type="category", tickvals=shown,
                    ticktext=[names.get(site, site) for site in shown]),
        shapes=shapes, annotations=notes, margin={"l": 70, "r": 62, "t": 22, "b": 40},
    )  # fmt: skip
    if any(len(names.get(site, site)) > 9 for site in shown):
        layout["yaxis"]["automargin"] = True
    return figure(data, with_markers(layout, markers), chart_words.survival(survival, names))


def _frame(**where: Any) -> dict[str, Any]:
    """The outline of what is selected."""
    return {"type": "rect", "line": {"color": PICKED, "width": 1.8}, **where}


def _deaths(survival: pd.DataFrame) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """(epoch, site) of every death for good, and of every one after which the site came back."""
    good: list[tuple[int, str]] = []
    passing: list[tuple[int, str]] = []
    for site, row in zip(survival.index, survival.to_numpy() == 0, strict=True):
        starts = [i for i in range(len(row)) if row[i] and not (i and row[i - 1])] if row.any() else []
        if starts and row[-1]:
            good.append((int(survival.columns[starts.pop()]), str(site)))
        passing += [(int(survival.columns[start]), str(site)) for start in starts]
    return good, passing


def death_timeline(
    frame: pd.DataFrame,
    deaths: Sequence[Mapping[str, Any]] = (),
    markers: Sequence[Mapping[str, Any]] = (),
    *,
    apart: float = 7.5,
) -> Spec:
    """Share alive by stage (rows: epochs, columns: stages, 0-1) as steps; ``deaths``: {label, epoch, stage} of blocks; ``apart``: how many
    percent the stages' names stand apart at least."""
    table = thinned(frame, 400)
    epochs = [int(epoch) for epoch in table.index]
    data, ends = [], []
    looks = {str(stage): STAGE_LOOKS[i % len(STAGE_LOOKS)] for i, stage in enumerate(table.columns)}
    for stage, (colour, dash) in looks.items():
        column = next(table[name] for name in table.columns if str(name) == stage)
        data.append(
            {
                "type": "scatter", "mode": "lines", "name": stage, "x": epochs, "y": plain_numbers(column * 100, 1),
                "line": {"shape": "hv", "color": colour, "width": 2.2, "dash": dash},
                "hovertemplate": f"{html.escape(stage)}: %{{y:.0f}} % alive<extra></extra>",
            }
        )  # fmt: skip
        if len(column):
            ends.append((float(column.iloc[-1]) * 100, f"{stage} {column.iloc[-1]:.0%}".replace("%", " %"), colour))
    told = [
        death for death in deaths if str(death["stage"]) in looks and len(frame) and death["epoch"] <= frame.index[-1]
    ]
    told = [
        {"epoch": epoch, "stage": stage, "label": ", ".join(str(d["label"]) for d in told if (d["epoch"], d["stage"]) == (epoch, stage))}
        for epoch, stage in dict.fromkeys((death["epoch"], death["stage"]) for death in told)
    ]  # fmt: skip
    if told:
        heights = [100 * _value_at(frame, death["epoch"], str(death["stage"])) for death in told]
        data.append(
            {
                "type": "scatter", "mode": "markers+text", "x": [int(death["epoch"]) for death in told], "y": [round(h, 1) for h in heights],
                "text": [f"{death['label']} †" for death in told], "textposition": ["top right", "bottom left"] * (len(told) // 2) + ["top right"] * (len(told) % 2), "textfont": {"size": 11, "color": [looks[str(death["stage"])][0] for death in told]},
                "marker": {"symbol": "x", "size": 8, "color": [looks[str(death["stage"])][0] for death in told]},
                "hovertemplate": "%{text} at epoch %{x}<extra></extra>",
            }
        )  # fmt: skip
    layout = base_layout(
        xaxis=epoch_axis(epochs[-1] if epochs else 0, rangemode="tozero"),
        yaxis=titled_axis("alive, %", range=[0, 106], tickvals=[0, 25, 50, 75, 100]),
        annotations=[end_label(y, text, colour, "y") for y, text, colour in spread_apart(ends, apart)],
        hovermode="x unified",
        margin={"l": 52, "r": 96, "t": 14, "b": 40},
    )
    return figure(data, with_markers(layout, markers), chart_words.deaths(frame))


def _value_at(frame: pd.DataFrame, epoch: int, stage: str) -> float:
    column = next(frame[name] for name in frame.columns if str(name) == stage)
    known = column[column.index <= epoch]
    return float(known.iloc[-1]) if len(known) else 1.0


def _late_range(epochs: pd.DataFrame) -> list[float] | None:
    """The accuracy axis, in percent, fitted to what came after the first fifth; None while there is little to see."""
    late = epochs.iloc[len(epochs) // 5 :]
    values = (
        pd.concat(
            [late[name] for name in ("train_accuracy", "val_accuracy") if name in late] or [pd.Series(dtype=float)]
        ).dropna()
        * 100
    )
    if len(epochs) < 10 or values.empty:
        return None
    low, high = float(values.min()), float(values.max())
    room = max(0.5, 0.12 * (high - low))
    return [round(max(0.0, low - room), 1), round(min(100.5, high + room), 1)]
