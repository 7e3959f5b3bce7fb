"""The figure of runs compared, as data; see `charts`."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd

from app import sentences
from app.components.figure_parts import (
    STAGE_LOOKS,
    Spec,
    base_layout,
    end_label,
    epoch_axis,
    figure,
    plain_numbers,
    spread_apart,
    thinned,
    titled_axis,
)

MAX_RUNS = len(STAGE_LOOKS)


def curves(tables: Mapping[str, pd.DataFrame]) -> Spec:
    """Validation accuracy above, MACs left below, on one epoch axis: a line each run, by its label, at most six.

    Columns: epoch, val_accuracy (0-1), macs_left (0-1).
    """
    shown = dict(list(tables.items())[:MAX_RUNS])
    data, last = [], 0
    ends: dict[str, list[tuple[float, str, str]]] = {"y": [], "y2": []}
    for (label, whole), (colour, dash) in zip(shown.items(), STAGE_LOOKS, strict=False):
        table = thinned(whole, 600)
        last = max(last, int(table["epoch"].max()) if len(table) else 0)
        for column, axis, what in (("val_accuracy", "y", "validation accuracy"), ("macs_left", "y2", "MACs left")):
            seen = table.dropna(subset=[column])
            if seen.empty:
                continue
            data.append(
                {"type": "scatter", "mode": "lines", "name": label, "legendgroup": label, "showlegend": axis == "y", "yaxis": axis, "x": plain_numbers(seen["epoch"], 0),
                 "y": plain_numbers(seen[column] * 100, 2), "line": {"color": colour, "width": 2.2, "dash": dash},
                 "hovertemplate": f"{html.escape(label)}<br>{what} %{{y:.1f}} %<extra></extra>"}
            )  # fmt: skip
            value = 100 * float(seen[column].iloc[-1])
            ends[axis].append((value, f"{value:.1f} %", colour))
    notes = [end_label(y, text, colour, axis) for axis, each in ends.items() for y, text, colour in spread_apart(each, 6.0)]  # fmt: skip
    layout = base_layout(
        xaxis=epoch_axis(last, anchor="y2", rangemode="tozero"),
        yaxis=titled_axis("validation accuracy, %", domain=[0.52, 1]),
        yaxis2=titled_axis("MACs left, %", domain=[0, 0.42], rangemode="tozero"),
        annotations=notes, showlegend=True, margin={"l": 56, "r": 70, "t": 36, "b": 40},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )  # fmt: skip
    return figure(data, layout, _sentence(shown, len(tables)))


def _sentence(tables: Mapping[str, pd.DataFrame], total: int) -> str:
    """Which run is the most accurate now, and which is the smallest."""
    last = {label: table.dropna(subset=["val_accuracy"]).iloc[-1] for label, table in tables.items() if table["val_accuracy"].notna().any()}  # fmt: skip
    if not last:
        return "No epoch of these runs is recorded yet."
    best = max(last, key=lambda label: last[label]["val_accuracy"])
    small = min(last, key=lambda label: last[label]["macs_left"])
    said = f"{best} is the most accurate, {sentences.percent(last[best]['val_accuracy'], 1)} on the validation images with {sentences.percent(last[best]['macs_left'])} of its MACs left"
    if small != best:
        said += f"; {small} is the smallest, {sentences.percent(last[small]['macs_left'])} at {sentences.percent(last[small]['val_accuracy'], 1)}"
    more = f" Shown: the first {len(tables)} of {total}." if total > len(tables) else ""
    return f"{said}.{more}"
