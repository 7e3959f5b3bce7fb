"""Figures of families of runs and of solvers, as data; see `charts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from app import sentences
from app.components.figure_parts import (
    BLUE,
    DYING,
    GHOST,
    LEAF,
    ROSE,
    SOFT,
    VERMILION,
    WOOD,
    Spec,
    base_layout,
    figure,
    plain_numbers,
    rule,
    titled_axis,
)

SOLVER_LOOKS = {
    "proximal": (LEAF, "solid"), "paper": (VERMILION, "dash"),
    "modified-apg": (LEAF, "solid"), "apg": (BLUE, "dot"), "ista": (ROSE, "dashdot"), "subgradient": (VERMILION, "dash"),
}  # fmt: skip
FLOOR = 1e-16  # below it float64 cannot tell two losses apart


def strength_path(path: pd.DataFrame, target: float | None = None) -> Spec:
    """Test accuracy above, MACs left below, over the strength on a log axis. Columns: strength, accuracy, macs (0-1), n.
    `target`: the share of the MACs that is sought, as a dashed rule."""
    x = [float(value) for value in path["strength"]]
    line = {"type": "scatter", "mode": "lines+markers", "x": x, "customdata": [int(n) for n in path["n"]]}
    data = [
        {**line, "name": "test accuracy", "y": plain_numbers(path["accuracy"] * 100, 2), "line": {"color": LEAF, "width": 2}, "marker": {"size": 7},
         "hovertemplate": "strength %{x:.3g}: test accuracy %{y:.2f} %, n = %{customdata}<extra></extra>"},
        {**line, "name": "MACs left", "yaxis": "y2", "y": plain_numbers(path["macs"] * 100, 2), "line": {"color": WOOD, "width": 2, "dash": "dot"},
         "marker": {"size": 7, "symbol": "square"}, "hovertemplate": "strength %{x:.3g}: %{y:.1f} % of the MACs, n = %{customdata}<extra></extra>"},
    ]  # fmt: skip
    shapes, notes = [], []
    if target is not None:
        shapes = [
            rule(
                xref="paper",
                x0=0,
                x1=1,
                yref="y2",
                y0=100 * target,
                y1=100 * target,
                color=DYING,
                width=1.4,
                dash="dash",
            )
        ]
        notes = [{"text": f"at most {target:.0%}".replace("%", " %"), "xref": "paper", "x": 1, "yref": "y2", "y": 100 * target, "showarrow": False,
                  "xanchor": "right", "yanchor": "bottom", "font": {"size": 11, "color": DYING}}]  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("largest strength, log scale", type="log", anchor="y2", tickvals=x, ticktext=[f"{value:.3g}" for value in x]),
        yaxis=titled_axis("accuracy, %", domain=[0.56, 1]), yaxis2=titled_axis("MACs left, %", domain=[0, 0.44], range=[0, 105]),
        shapes=shapes, annotations=notes, margin={"l": 58, "r": 16, "t": 10, "b": 42},
    )  # fmt: skip
    return figure(data, layout, _path_sentence(path))


def _path_sentence(path: pd.DataFrame) -> str:
    if path.empty:
        return "No run of the family is finished yet."
    weak, strong = path.iloc[0], path.iloc[-1]
    return (
        f"From strength {weak['strength']:.3g} to {strong['strength']:.3g}, MACs go from {sentences.percent(weak['macs'])} to "
        f"{sentences.percent(strong['macs'])}, test accuracy from {sentences.percent(weak['accuracy'], 1)} to {sentences.percent(strong['accuracy'], 1)}."
    )


def solver_paths(told: Mapping[str, Any], noun: str) -> Spec:
    """Loss above the optimum per step on a log axis, and below it how many of the groups are exactly zero.
    `told`: as `core.convex` gives it; `noun`: what a group is."""
    data: list[dict[str, Any]] = []
    for name, path in told["solvers"].items():
        colour, dash = SOLVER_LOOKS[name]
        line = {"type": "scatter", "mode": "lines", "x0": 0, "dx": told["every"], "name": name, "legendgroup": name}
        looks = {"color": colour, "width": 2, "dash": dash}
        data.append({
            **line, "y": [float(f"{max(FLOOR, gap):.3g}") for gap in path["gap"]], "line": looks,
            "hovertemplate": f"{name}, step %{{x}}: %{{y:.1e}} above the optimum<extra></extra>",
        })  # fmt: skip
        data.append({
            **line, "y": path["zeros"], "yaxis": "y2", "line": looks | {"shape": "hv"}, "showlegend": False,
            "hovertemplate": f"{name}, step %{{x}}: %{{y}} of {told['groups']} exactly zero<extra></extra>",
        })  # fmt: skip
    zeros = told["zeros"]
    layout = base_layout(
        xaxis=titled_axis("step", anchor="y2"),
        yaxis=titled_axis("loss above optimum", domain=[0.4, 1], type="log", exponentformat="power", nticks=6),
        yaxis2=titled_axis(f"{noun}s at 0", domain=[0, 0.28], range=[-0.4, told["groups"] + 0.4], tickvals=[0, zeros, told["groups"]]),
        shapes=[rule(xref="paper", x0=0, x1=1, yref="y2", y0=zeros, y1=zeros, color=GHOST, width=1.2, dash="dot")],
        annotations=[{"text": "the optimum's", "xref": "paper", "x": 1, "yref": "y2", "y": zeros, "showarrow": False, "xanchor": "right",
                      "yanchor": "bottom", "font": {"size": 11, "color": SOFT}}],
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        margin={"l": 66, "r": 16, "t": 30, "b": 40},
    )  # fmt: skip
    return figure(data, layout, solvers_sentence(told, noun))


def solvers_sentence(told: Mapping[str, Any], noun: str) -> str:
    """Of every solver: how far from the optimum it ends, and whether it found the same zeros."""
    words = []
    for name, path in told["solvers"].items():
        zeros = "with the same zeros" if path["same_zeros"] else f"with {path['zeros'][-1] or 'none'} exactly zero"
        words.append(f"{name} ends within {sentences.scientific(path['distance'])} of it {zeros}")
    return f"The optimum has {told['zeros']} of {sentences.plural(told['groups'], noun)} at exactly zero: {'; '.join(words)}."
