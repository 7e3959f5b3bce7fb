"""Figures of the Attribution page, as data; see `charts`. What died is a hollow cross, what lives a filled dot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from app.components.figure_parts import (
    DYING,
    GHOST,
    LEAF,
    PICKED,
    SOFT,
    Spec,
    base_layout,
    figure,
    plain_numbers,
    round_ticks,
    rule,
    titled_axis,
)

ALIVE = {"symbol": "circle", "size": 8, "color": LEAF, "opacity": 0.72}
DEAD = {"symbol": "x-thin", "size": 8, "color": DYING, "line": {"width": 1.8, "color": DYING}}


def by_layer(frame: pd.DataFrame, selected: str, alt: str, measure: str) -> Spec:
    """Every unit by its place in its layer's order, least on the left: a row a layer, in the order of the network.

    Columns: site, label, unit, share (0 least, 1 most), value, death (epoch; infinite where alive).
    """
    labels = list(dict.fromkeys(frame["label"]))
    data = []
    for name, look, part in (("alive", ALIVE, frame[~_lost(frame)]), ("died", DEAD, frame[_lost(frame)])):
        data.append({
            "type": "scatter", "mode": "markers", "name": name, "x": plain_numbers(part["share"] * 100, 1), "y": list(part["label"]), "marker": look,
            "customdata": [[row.site, int(row.unit), _fate(row.death), f"{row.value:.3g}"] for row in part.itertuples()], "cliponaxis": False,
            "hovertemplate": f"unit %{{customdata[1]}} of %{{y}}<br>%{{customdata[2]}}<br>{measure} %{{customdata[3]}}<extra></extra>",
        })  # fmt: skip
    chosen = frame.loc[frame["site"] == selected, "label"]
    shapes = []
    if len(chosen):
        at = labels.index(chosen.iloc[0])
        shapes = [{
            "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": at - 0.46, "y1": at + 0.46,
            "line": {"color": PICKED, "width": 1.4}, "layer": "below",
        }]  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis(f"place in the layer's order by {measure}, % (right: most)", range=[-3, 103]),
        yaxis=titled_axis("", type="category", categoryorder="array", categoryarray=labels, autorange="reversed", automargin=True),
        shapes=shapes, showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}, margin={"l": 70, "r": 16, "t": 30, "b": 42},
    )  # fmt: skip
    return figure(data, layout, alt)


def one_layer(frame: pd.DataFrame, unit: int | None, alt: str, measure: str, last: int) -> Spec:
    """The units of a layer: measure against the epoch of death; those that live stand above the last epoch, side by side.

    Columns as `by_layer`; `last`: the newest epoch. A measure of 0 stands at the left edge of the log axis.
    """
    least = frame.loc[frame["value"] > 0, "value"].min() if (frame["value"] > 0).any() else 1.0
    x = np.maximum(frame["value"], least / 2)
    lost = _lost(frame)
    band = max(1.0, 0.16 * last)
    order = x.rank(method="first") % 4  # four lines, so that neighbours stay apart
    y = np.where(lost, frame["death"].where(lost, 0), last + band * (0.35 + 0.2 * order))
    data: list[dict[str, Any]] = []
    for name, look, here in (("alive", ALIVE, ~lost), ("died", DEAD, lost)):
        part = frame[here]
        data.append({
            "type": "scatter", "mode": "markers", "name": name, "x": [float(f"{v:.4g}") for v in x[here]], "y": plain_numbers(pd.Series(y[here]), 2),
            "customdata": [[row.site, int(row.unit), _fate(row.death), f"{row.value:.3g}"] for row in part.itertuples()], "marker": look, "cliponaxis": False,
            "hovertemplate": f"unit %{{customdata[1]}}, %{{customdata[2]}}<br>{measure} %{{customdata[3]}}<extra></extra>",
        })  # fmt: skip
    place = frame.index[frame["unit"] == unit].tolist() if unit is not None else []
    if place:
        at = frame.index.get_loc(place[0])
        ring = {"symbol": "circle-open", "size": 17, "color": PICKED, "line": {"width": 2, "color": PICKED}}
        data.append({"type": "scatter", "mode": "markers", "x": [float(x.iloc[at])], "y": [float(y[at])], "marker": ring, "hoverinfo": "skip", "showlegend": False})  # fmt: skip
    ticks = _ticks(last)
    layout = base_layout(
        xaxis=titled_axis(f"{measure}, log axis", type="log", **_log_ticks(x)),
        yaxis=titled_axis("died after epoch", range=[-0.04 * last, last + 1.25 * band], tickvals=[*ticks, last + 0.65 * band], ticktext=[*map(str, ticks), "alive"]),
        shapes=[rule(GHOST, 1.2, "dot", xref="paper", x0=0, x1=1, y0=last + 0.12 * band, y1=last + 0.12 * band)],
        margin={"l": 58, "r": 16, "t": 12, "b": 42},
    )  # fmt: skip
    return figure(data, layout, alt)


def _log_ticks(x: pd.Series) -> dict[str, Any]:
    """Written out over the positive values drawn; Plotly's own where there are none."""
    positive = x[x > 0]
    return round_ticks(float(positive.min()) / 1.1, float(positive.max()) * 1.1) if len(positive) else {}


def against_norm(frame: pd.DataFrame, unit: int | None, alt: str, measure: str) -> Spec:
    """The units of a layer where none died: measure against the effective norm at that time. Columns also: norm."""
    look = [PICKED if number == unit else LEAF for number in frame["unit"]]
    data = [{
        "type": "scatter", "mode": "markers", "x": [float(f"{v:.4g}") for v in frame["value"]], "y": [float(f"{v:.4g}") for v in frame["norm"]],
        "marker": ALIVE | {"color": look}, "customdata": [[row.site, int(row.unit)] for row in frame.itertuples()],
        "hovertemplate": f"unit %{{customdata[1]}}<br>{measure} %{{x:.3g}}<br>norm %{{y:.3g}}<extra></extra>",
    }]  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis(measure, rangemode="tozero"), yaxis=titled_axis("effective norm", rangemode="tozero"),
        margin={"l": 58, "r": 16, "t": 12, "b": 42}, font={"color": SOFT, "size": 12.5},
    )  # fmt: skip
    return figure(data, layout, alt)


def _lost(frame: pd.DataFrame) -> pd.Series:
    return np.isfinite(frame["death"])


def _fate(death: float) -> str:
    return f"died after epoch {death:.0f}" if np.isfinite(death) else "alive at the end"


def _ticks(last: int) -> Sequence[int]:
    step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000) if last / s <= 6 or s == 1000)
    return list(range(0, last + 1, step))
