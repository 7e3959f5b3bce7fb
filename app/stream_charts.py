"""Factors or norms of many units over epochs, on a log axis that leaves zero out: exact zeros have a strip of their own."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import chart_words, sentences
from app.components.figure_parts import (
    DYING,
    GHOST,
    LEAF,
    PICKED,
    SOFT,
    Spec,
    along,
    base_layout,
    end_label,
    epoch_axis,
    figure,
    round_ticks,
    rule,
    spread_apart,
    thinned,
    titled_axis,
    with_markers,
)

MAX_LINES = 48
MAX_POINTS = 3400


def log_ticks(drawn: Any) -> dict[str, Any]:
    """Ticks of a log axis over values above 0: decades; where there may be too few of them, also 2 and 5; over less still, round values of a plain scale."""
    low, high = (float(drawn.min()), float(drawn.max())) if drawn.size else (1.0, 1.0)
    if high == low or high > 30 * low:
        return {"dtick": 1, "nticks": 6}
    if high > 5 * low:
        return round_ticks(low, high)
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(m for m in (1, 2, 5, 10) if m * unit >= rough)
    return {"tickvals": [float(f"{step * k:.6g}") for k in range(math.ceil(low / step), math.floor(high / step) + 1)]}


def together(marks: Sequence[tuple[int, str]], rows: int) -> list[str]:
    """Labels of marks in order of their row, of `rows`: marks too near one another for a label each have one, at the last of them."""
    texts, group = [], []
    for i, (row, name) in enumerate(marks):
        group.append(name)
        last = i + 1 == len(marks) or marks[i + 1][0] - row > 0.3 * rows
        texts.append(sentences.listing(group) if last else "")
        group = [] if last else group
    return texts


def factor_streams(
    frame: pd.DataFrame,
    site: str | None = None,
    markers: Sequence[Mapping[str, Any]] = (),
    names: Mapping[str, str] | None = None,
    noun: str = "factor",
    *,
    picked: int | None = None,
    threshold: float | None = None,
    epoch: int | None = None,
) -> Spec:
    """Factors or norms over epochs (rows: epochs, columns: units) on a log axis. A log axis cannot show zero, so the
    number of units that are exactly zero has a strip of its own below it. ``picked``: a unit drawn strong; ``threshold``:
    where the method cuts; ``epoch``: the one looked at."""
    names = names or {}
    values = frame.abs()
    total = values.shape[1]
    table = values
    if total > MAX_LINES and len(values):
        order = values.iloc[-1].sort_values(kind="stable").index
        drawn_units = {order[round(i * (total - 1) / (MAX_LINES - 1))] for i in range(MAX_LINES)}
        table = values[[unit for unit in values.columns if unit in drawn_units or unit == picked]]
    table = thinned(table, max(20, MAX_POINTS // max(1, table.shape[1])))
    epochs = [int(epoch) for epoch in table.index]
    few, notes = table.shape[1] <= 12, []
    data: list[dict[str, Any]] = []
    ends: list[tuple[float, str, str]] = []
    for unit in table.columns:
        name, column = names.get(str(unit), str(unit)), table[unit]
        dead = bool(len(column) and column.iloc[-1] == 0)
        strong = picked is not None and unit == picked
        colour = PICKED if strong else DYING if dead else LEAF
        data.append(
            {
                "type": "scatter", "mode": "lines" if len(epochs) > 1 else "markers", "name": name, **along(epochs), "customdata": [str(unit)],
                "y": [None if value == 0 or not math.isfinite(value) else float(f"{value:.3g}") for value in column],
                "line": {"color": colour, "width": 3.4 if strong else 2 if few else 1, "dash": "dash" if dead else "solid"},
                "opacity": 1 if few or strong else 0.6, "hovertemplate": f"{html.escape(name)}: %{{y:.3g}}<extra></extra>",
            }
        )  # fmt: skip
        if few and not dead and len(column) and math.isfinite(column.iloc[-1]):
            ends.append((math.log10(column.iloc[-1]), name, colour))
    zeros = (thinned(values, 300) == 0).sum(axis=1)
    data.append(
        {
            "type": "scatter", "mode": "lines", "name": "exactly 0", "yaxis": "y2", "x": [int(e) for e in zeros.index],
            "y": [int(count) for count in zeros], "fill": "tozeroy", "fillcolor": "rgba(200,112,26,0.22)",
            "line": {"color": DYING, "width": 1.6, "shape": "hv"},
            "hovertemplate": f"%{{y}} of {total} exactly 0 at epoch %{{x}}<extra></extra>",
        }
    )  # fmt: skip
    born = [
        (chart_words.zero_since(values[unit]), unit) for unit in values if len(values) and values[unit].iloc[-1] == 0
    ]
    born = sorted(born, key=lambda pair: pair[0])[:200]
    data.append(
        {
            "type": "scatter", "mode": "markers+text" if few else "markers", "yaxis": "y2",
            "x": [int(values.index[row]) for row, _ in born], "y": list(range(1, len(born) + 1)),
            "text": together([(row, names.get(str(unit), str(unit))) for row, unit in born], len(values)) if few else None,
            "textposition": "top left", "textfont": {"size": 11}, "cliponaxis": False, "marker": {"symbol": "x", "size": 6, "color": DYING},
            "hovertext": [names.get(str(unit), str(unit)) for _, unit in born], "customdata": [str(unit) for _, unit in born],
            "hovertemplate": "%{hovertext} exactly 0 from epoch %{x} on<extra></extra>",
        }
    )  # fmt: skip
    drawn = table.to_numpy(dtype=float)
    drawn = drawn[(drawn > 0) & (drawn < math.inf)]
    if len(values):
        decades = math.log10(drawn.max() / drawn.min()) if drawn.size else 1.0
        notes += [end_label(y, name, colour, "y") for y, name, colour in spread_apart(ends, 0.085 * max(decades, 0.1))]
        notes.append(end_label(int(zeros.iloc[-1]), f"{int(zeros.iloc[-1])} of {total}", DYING, "y2"))
    if total > table.shape[1]:
        text = f"{table.shape[1]} of {total} {noun}s drawn, evenly by size"
        notes.append({"text": text, "xref": "paper", "yref": "paper", "x": 1, "y": 1.02, "showarrow": False, "xanchor": "right",
                      "yanchor": "bottom", "font": {"size": 11, "color": SOFT}})  # fmt: skip
    layout = base_layout(
        xaxis=epoch_axis(epochs[-1] if epochs else 0, anchor="y2", rangemode="tozero"),
        yaxis=titled_axis(
            f"{noun}, log scale", domain=[0.34, 1], type="log", exponentformat="power", **log_ticks(drawn)
        ),
        yaxis2=titled_axis(
            "exactly 0", domain=[0, 0.22], range=[0, max(total, 1)], tickvals=[0, total], fixedrange=True
        ),
        annotations=notes,
        margin={"l": 58, "r": 62, "t": 30, "b": 40},
        shapes=[rule(xref="paper", yref="paper", x0=0, x1=1, y0=0.28, y1=0.28, color=GHOST, width=1, dash="dot")],
    )
    if epoch is not None:
        layout["shapes"].append(rule(x0=epoch, x1=epoch, yref="paper", y0=0, y1=1, color=PICKED, width=1.4))
    if threshold:
        layout["shapes"].append(
            rule(xref="paper", x0=0, x1=1, y0=threshold, y1=threshold, color=DYING, width=1.4, dash="dash")
        )
        notes.append({"x": 0, "xref": "paper", "y": math.log10(threshold), "yref": "y", "text": f"cut at {threshold:g}", "showarrow": False, "xanchor": "left",
                      "yanchor": "bottom", "font": {"size": 11, "color": DYING}})  # fmt: skip
    return figure(data, with_markers(layout, markers), chart_words.factors(frame, site, noun))
