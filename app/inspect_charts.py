"""The figure of Inspect, as data; see `charts`."""

from __future__ import annotations

from typing import Any

import pandas as pd

from app import sentences
from app.components.figure_parts import (  # fmt: skip
    CLEAR,
    DYING,
    GHOST,
    INK,
    LEAF,
    PAPER,
    SOFT,
    Spec,
    base_layout,
    figure,
    plain_numbers,
    titled_axis,
)

AT_MOST = 40


def importance_ranges(table: pd.DataFrame, alt: str) -> Spec:
    """How unequal the filters of each layer are: l1 norms over the layer's mean; line least to most, bar the quartiles, dot the median.

    Columns: layer, least, low, median, high, most. Of more than 40 layers those with the least filters.
    """
    shown = table
    if len(table) > AT_MOST:
        shown = table.loc[table["least"].sort_values(kind="stable").index[:AT_MOST].sort_values()]
        alt += f" Shown: the {AT_MOST} of {len(table)} layers with the smallest filters."
    layers, data = [str(layer) for layer in shown["layer"]], []
    for name, start, end, width, colour in (
        ("least to most", "least", "most", 2, GHOST),
        ("middle half", "low", "high", 8, LEAF),
    ):
        x = [v for a, b in zip(shown[start], shown[end], strict=True) for v in (round(a, 3), round(b, 3), None)]
        y = [v for layer in layers for v in (layer, layer, None)]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": x,
                "y": y,
                "line": {"color": colour, "width": width},
                "hoverinfo": "skip",
            }
        )
    data.append(
        {"type": "scatter", "mode": "markers", "name": "median", "y": layers, "x": plain_numbers(shown["median"], 3),
         "marker": {"color": PAPER, "size": 6, "line": {"width": 1.5, "color": INK}},
         "customdata": [[round(a, 2), round(b, 2)] for a, b in zip(shown["least"], shown["most"], strict=True)],
         "hovertemplate": "%{y}<br>median %{x:.2f}, from %{customdata[0]} to %{customdata[1]} of the layer's mean<extra></extra>"}
    )  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("l1 norm of a filter / mean of its layer", rangemode="tozero"),
        yaxis=titled_axis("", autorange="reversed", type="category", automargin=True, showgrid=False),
        showlegend=True, margin={"l": 60, "r": 20, "t": 30, "b": 40},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "traceorder": "normal"},
    )  # fmt: skip
    return figure(data, layout, alt)


def layers_left(table: pd.DataFrame, alt: str) -> Spec:
    """Share of each layer's units that stay (bar) inside its outline, forward order from the top; diamonds: sparsity.

    Columns: layer, units, leave, stay (0-1) and perhaps sparsity (0-1). Of more than 40 layers those that lose most.
    """
    shown = table
    if len(table) > AT_MOST:
        shown = table.loc[table["stay"].sort_values(kind="stable").index[:AT_MOST].sort_values()]
        alt += f" Shown: the {AT_MOST} of {len(table)} layers that lose most."
    layers = [str(layer) for layer in shown["layer"]]
    bar = {"type": "bar", "orientation": "h", "y": layers, "hoverinfo": "skip"}
    told = [f"{int(r['leave'])} of {sentences.plural(int(r['units']), 'unit')} leave" for r in shown.to_dict("records")]
    data: list[dict[str, Any]] = [
        {**bar, "name": "all units", "x": [100] * len(layers), "marker": {"color": CLEAR, "line": {"color": GHOST, "width": 1.4}}, "width": 0.74},
        {**bar, "name": "stay", "x": plain_numbers(shown["stay"] * 100, 1), "marker": {"color": LEAF}, "width": 0.5, "hoverinfo": None,
         "customdata": told, "hovertemplate": "%{y}<br>%{x:.0f} % stay; %{customdata}<extra></extra>"},
    ]  # fmt: skip
    if "sparsity" in shown and bool((shown["sparsity"] > 0).any()):
        data.append(
            {"type": "scatter", "mode": "markers", "name": "zero weights", "y": layers, "x": plain_numbers(shown["sparsity"] * 100, 1),
             "cliponaxis": False, "marker": {"symbol": "diamond-open", "size": 8, "color": DYING, "line": {"width": 2, "color": DYING}},
             "hovertemplate": "%{y}<br>%{x:.1f} % of the weights are zero<extra></extra>"}
        )  # fmt: skip
    notes = [
        {"x": 100, "y": layer, "text": f"−{int(gone)}", "showarrow": False, "xanchor": "left", "xshift": 6, "font": {"size": 11.5, "color": SOFT}}
        for layer, gone in zip(layers, shown["leave"], strict=True)
        if gone
    ]  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("share of the layer's units, %", range=[0, 107], ticksuffix=" %"),
        yaxis=titled_axis("", autorange="reversed", type="category", automargin=True, showgrid=False),
        barmode="overlay", showlegend=True, annotations=notes, margin={"l": 60, "r": 20, "t": 30, "b": 40},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "traceorder": "normal"},
    )  # fmt: skip
    return figure(data, layout, alt)
