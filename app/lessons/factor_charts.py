"""Figures of lesson 4, as data: factors as bars, a factor before and behind a norm, and two solvers; see `app.charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app import sentences
from app.components.figure_parts import (
    BLUE,
    DYING,
    GHOST,
    LEAF,
    ROSE,
    SOFT,
    VERMILION,
    Spec,
    base_layout,
    epoch_axis,
    figure,
    rule,
    titled_axis,
)

SOLVERS = {"modified-apg": "modified APG", "ista": "ISTA"}
LOOKS = {"modified-apg": (LEAF, "solid", "rgba(47,125,91,0.18)"), "ista": (ROSE, "dashdot", "rgba(204,121,167,0.2)")}


def bars(run: Mapping[str, Any], epoch: int) -> Spec:
    """The factors of one layer after an epoch; a dead filter is crossed."""
    values = run["factors"][epoch]
    x = list(range(len(values)))
    dead = [at for at, value in zip(x, values, strict=True) if value == 0]
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": x,
            "y": values,
            "width": 0.7,
            "marker": {"color": LEAF},
            "hovertemplate": "filter %{x}: factor %{y:.3f}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": dead,
            "y": [0.02] * len(dead),
            "marker": {"symbol": "x", "size": 10, "color": DYING},
            "hovertemplate": "filter %{x}: exactly zero<extra></extra>",
        },
    ]
    top = max(1.05, *(v for row in run["factors"] for v in row))
    layout = base_layout(
        xaxis=titled_axis("filter of the layer", tickvals=x, showgrid=False, fixedrange=True), yaxis=titled_axis("factor", range=[0, round(1.05 * top, 2)], fixedrange=True),
        shapes=[rule(GHOST, 1.2, "dash", xref="paper", x0=0, x1=1, y0=1, y1=1)], margin={"l": 46, "r": 8, "t": 6, "b": 40}, dragmode=False,
    )  # fmt: skip
    ending = f", test accuracy {sentences.percent(run['test'], 1)}" if epoch == len(run["factors"]) - 1 else ""
    alt = (
        f"After {sentences.plural(epoch, 'epoch')} at strength {run['strength']:g}, {len(dead)} of {sentences.plural(len(values), 'factor')} of this layer are exactly zero; "
        f"in all {run['alive'][epoch]} of {run['total']} filters live{ending}."
    )
    return figure(data, layout, alt)


def strengths(runs: Sequence[Mapping[str, Any]], chosen: float) -> Spec:
    """Filters left and test accuracy at every recorded strength."""
    x = [run["strength"] for run in runs]
    left = [round(100 * run["alive"][-1] / run["total"], 1) for run in runs]
    test = [round(100 * run["test"], 2) for run in runs]
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "test accuracy",
            "x": x,
            "y": test,
            "line": {"color": BLUE, "width": 2},
            "marker": {"size": 7},
            "hovertemplate": "strength %{x}: %{y:.1f} % right<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "filters left",
            "x": x,
            "y": left,
            "line": {"color": LEAF, "width": 2, "dash": "dot"},
            "marker": {"size": 7, "symbol": "square"},
            "hovertemplate": "strength %{x}: %{y:.0f} % of the filters<extra></extra>",
        },
    ]
    layout = base_layout(
        xaxis=titled_axis("strength, log scale", type="log", tickvals=x, ticktext=[f"{s:g}" for s in x], showgrid=False), yaxis=titled_axis("%", range=[0, 106]),
        shapes=[rule(SOFT, 1.2, "dash", x0=chosen, x1=chosen, yref="paper", y0=0, y1=1)], showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11.5}},
        margin={"l": 40, "r": 8, "t": 26, "b": 40}, dragmode=False,
    )  # fmt: skip
    ends = [
        f"{left[at]:.0f} % of the filters and {test[at]:.1f} % test accuracy at strength {x[at]:g}" for at in (0, -1)
    ]
    return figure(data, layout, f"From {ends[0]} to {ends[1]} (one seed each).")


def first_death(run: Mapping[str, Any], shown: bool) -> Spec:
    """Every factor of the layer over the epochs; where the first one dies a rule, once it is `shown`."""
    frames, epoch = run["factors"], died_first(run)
    early = before_any(run)
    data = []
    for unit in range(len(frames[0])):
        y = [row[unit] for row in frames]
        dead = y[-1] == 0
        data.append({"type": "scatter", "mode": "lines", "x0": 0, "dx": 1, "y": y if shown else y[:early], "name": f"filter {unit}",
                     "line": {"color": DYING if dead and shown else LEAF, "width": 1.7, "dash": "dash" if dead and shown else "solid"}, "hovertemplate": f"filter {unit}: %{{y:.3f}}<extra></extra>"})  # fmt: skip
    layout = base_layout(
        xaxis=epoch_axis(len(frames) - 1, range=[0, len(frames) - 1], fixedrange=True), yaxis=titled_axis("factor", rangemode="tozero", fixedrange=True), margin={"l": 46, "r": 8, "t": 24, "b": 40},
        dragmode=False, shapes=[], annotations=[],
    )  # fmt: skip
    if not shown:
        return figure(
            data,
            layout,
            f"The first {early - 1} of {len(frames) - 1} epochs at strength {run['strength']:g}; when the first factor of this layer reaches zero is for you to guess.",
        )
    if epoch is None:
        return figure(
            data,
            layout,
            f"At strength {run['strength']:g} no factor of this layer is zero after {len(frames) - 1} epochs.",
        )
    layout["shapes"] = [rule(DYING, 1.6, "dash", x0=epoch, x1=epoch, yref="paper", y0=0, y1=1)]
    layout["annotations"] = [
        {
            "x": epoch,
            "y": 1,
            "yref": "paper",
            "text": f"first death, epoch {epoch}",
            "showarrow": False,
            "yanchor": "bottom",
            "font": {"size": 11.5, "color": DYING},
        }
    ]
    dead = sum(v == 0 for v in frames[-1])
    return figure(
        data,
        layout,
        f"At strength {run['strength']:g} the first factor of this layer is zero after epoch {epoch} of {len(frames) - 1}; at the end {dead} of {len(frames[0])} are.",
    )


def before_any(run: Mapping[str, Any]) -> int:
    """How many rows are shown before the guess: at most six, none of which has a dead factor."""
    return min(6, died_first(run) or 6)


def died_first(run: Mapping[str, Any]) -> int | None:
    """The first epoch after which a factor of the layer is exactly zero."""
    return next((epoch for epoch, row in enumerate(run["factors"]) if 0 in row), None)


def places(told: Mapping[str, Any], size: float, shown: Sequence[str]) -> Spec:
    """How much a channel says over the size of its factor, before and behind the norm; dots at the chosen size."""
    looks = {
        "behind": (LEAF, "solid", "circle", "factor behind the norm"),
        "before": (VERMILION, "dash", "diamond", "factor before the norm"),
    }
    at = told["sizes"].index(size)
    data: list[dict[str, Any]] = []
    for where in shown:
        colour, dash, symbol, name = looks[where]
        shape = "hv" if where == "before" else "linear"  # before the norm it falls at zero alone, not on the way there
        data.append({"type": "scatter", "mode": "lines", "name": name, "x": told["sizes"], "y": told[where], "line": {"color": colour, "width": 2.6, "dash": dash, "shape": shape}, "hovertemplate": f"{name}, size %{{x}}: %{{y:.2f}}<extra></extra>"})  # fmt: skip
        data.append({"type": "scatter", "mode": "markers", "showlegend": False, "x": [size], "y": [told[where][at]], "marker": {"size": 12, "color": colour, "symbol": symbol}, "hoverinfo": "skip"})  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("size of the factor", range=[1.04, -0.04], showgrid=False, fixedrange=True), yaxis=titled_axis("standard deviation behind the norm", range=[-0.04, 1.18], fixedrange=True), showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11.5}}, margin={"l": 50, "r": 8, "t": 28, "b": 40}, dragmode=False,
    )  # fmt: skip
    words = " and ".join(f"{told[where][at]:.2f} with the {looks[where][3]}" for where in shown)
    return figure(data, layout, f"With a factor of {size:g}, a channel's deviation over the images is {words}.")


def solvers(runs: Mapping[str, Sequence[Mapping[str, Any]]], epochs: int, shown: Sequence[str]) -> Spec:
    """Filters left over the epochs, mean of the seeds; bands from the fewest to the most."""
    data: list[dict[str, Any]] = []
    total = next(iter(runs.values()))[0]["total"]
    for name in shown:
        colour, dash, pale = LOOKS[name]
        columns = list(zip(*(run["alive"] for run in runs[name]), strict=True))
        edge = {
            "type": "scatter",
            "mode": "lines",
            "x0": 0,
            "dx": 1,
            "line": {"width": 0, "color": colour},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        data.append(edge | {"y": [min(c) for c in columns]})
        data.append(edge | {"y": [max(c) for c in columns], "fill": "tonexty", "fillcolor": pale})
        data.append({"type": "scatter", "mode": "lines", "name": SOLVERS[name], "x0": 0, "dx": 1, "y": [round(sum(c) / len(c), 2) for c in columns], "line": {"color": colour, "width": 2.6, "dash": dash}, "hovertemplate": f"{SOLVERS[name]}, epoch %{{x}}: %{{y:.1f}} filters<extra></extra>"})  # fmt: skip
    layout = base_layout(
        xaxis=epoch_axis(epochs, range=[0, epochs], fixedrange=True), yaxis=titled_axis("filters left", range=[0, 1.06 * total], fixedrange=True), showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11.5}}, margin={"l": 46, "r": 8, "t": 28, "b": 40}, dragmode=False,
    )  # fmt: skip
    told = []
    for name in shown:
        left, test = [run["alive"][-1] for run in runs[name]], [run["test"] for run in runs[name]]
        told.append(
            f"{SOLVERS[name]} leaves {spread_of(left)} of {total} filters at {spread_of([round(100 * t, 1) for t in test])} % test accuracy"
        )
    return figure(data, layout, f"{'; '.join(told)} ({len(runs[shown[0]])} seeds, smallest to largest).")


def spread_of(values: Sequence[float]) -> str:
    """`50–55`; one number where they are all the same."""
    return f"{min(values)}–{max(values)}" if min(values) < max(values) else f"{values[0]}"
