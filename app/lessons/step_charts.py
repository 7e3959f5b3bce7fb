"""Figures of lesson 3, as data: one number before and after a step, and rows of norms; see `app.charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app import sentences
from app.components.figure_parts import (
    DYING,
    GHOST,
    LEAF,
    PICKED,
    SOFT,
    VERMILION,
    Spec,
    base_layout,
    figure,
    rule,
    titled_axis,
)

COLOURS = {"proximal": LEAF, "subgradient": VERMILION}
NAMES = {"proximal": "proximal step", "subgradient": "subgradient step"}
DASHES = {"proximal": "solid", "subgradient": "dash"}


def one_step(told: Mapping[str, Any], weight: float, shown: Sequence[str]) -> Spec:
    """A weight after one step over the weight before it; the dots are the chosen weight."""
    x, amount = told["before"], told["amount"]
    at = x.index(weight)
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [-2, 2],
            "y": [-2, 2],
            "line": {"color": GHOST, "width": 1.4, "dash": "dot"},
            "hoverinfo": "skip",
        }
    ]
    for name in shown:
        y: list[float | None] = list(told[name])
        places: list[float] = list(x)
        if name == "subgradient":  # the jump at zero is no line
            middle = x.index(0.0)
            places = [*x[:middle], -1e-6, 0.0, 1e-6, *x[middle + 1 :]]
            y = [*y[:middle], round(amount, 3), None, round(-amount, 3), *y[middle + 1 :]]
        data.append({"type": "scatter", "mode": "lines", "x": places, "y": y, "line": {"color": COLOURS[name], "width": 2.6, "dash": DASHES[name]}, "hovertemplate": f"{NAMES[name]}: %{{x:.1f}} becomes %{{y:.2f}}<extra></extra>"})  # fmt: skip
        data.append({"type": "scatter", "mode": "markers", "x": [weight], "y": [told[name][at]], "marker": {"size": 12, "color": PICKED, "symbol": {"proximal": "circle", "subgradient": "diamond"}[name]}, "hoverinfo": "skip"})  # fmt: skip
    notes = [
        {
            "x": 1.4,
            "y": 1.5,
            "text": "no penalty",
            "showarrow": False,
            "font": {"size": 11.5, "color": SOFT},
            "xanchor": "right",
            "yanchor": "bottom",
            "xshift": -14,
        }
    ]
    layout = base_layout(
        xaxis=titled_axis("weight before", zeroline=True, zerolinecolor=GHOST, fixedrange=True, range=[-2, 2]), yaxis=titled_axis("weight after", zeroline=True, zerolinecolor=SOFT, fixedrange=True, range=[-2, 2]),
        annotations=notes, margin={"l": 48, "r": 8, "t": 6, "b": 40}, dragmode=False, hovermode="closest",
    )  # fmt: skip
    words = " and ".join(f"{_say(told[name][at])} by the {NAMES[name]}" for name in shown)
    return figure(data, layout, f"With rate × strength = {amount:g}, a weight of {_say(weight)} becomes {words}.")


def rows(norms: Mapping[str, Sequence[float]], start: Sequence[float], step: int, limit: float) -> Spec:
    """Bars of the groups' norms under each solver after `step` steps; outlines are the start, a dead group is crossed."""
    data: list[dict[str, Any]] = []
    width, side = 0.38, {"proximal": -0.2, "subgradient": 0.2}
    for name, values in norms.items():
        x = [k + side[name] for k in range(len(values))]
        data.append({"type": "bar", "x": x, "y": list(start), "width": width, "marker": {"color": "rgba(0,0,0,0)", "line": {"color": GHOST, "width": 1.2}}, "hoverinfo": "skip", "showlegend": False})  # fmt: skip
        data.append({"type": "bar", "x": x, "y": list(values), "width": width - 0.08, "name": NAMES[name], "marker": {"color": COLOURS[name], "pattern": {"shape": {"proximal": "", "subgradient": "/"}[name]}}, "hovertemplate": f"{NAMES[name]}: norm %{{y:.3g}}<extra></extra>"})  # fmt: skip
        dead = [at for at, value in zip(x, values, strict=True) if value == 0]
        data.append({"type": "scatter", "mode": "markers", "x": dead, "y": [0.03] * len(dead), "marker": {"symbol": "x", "size": 9, "color": DYING}, "hovertemplate": "exactly zero<extra></extra>", "showlegend": False})  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("group", tickvals=list(range(len(start))), ticktext=[str(k + 1) for k in range(len(start))], showgrid=False, fixedrange=True),
        yaxis=titled_axis("norm of the group", range=[0, 1.7], fixedrange=True), barmode="overlay", showlegend=True,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "top", "font": {"size": 12}},
        shapes=[rule(SOFT, 1.2, "dash", xref="paper", x0=0, x1=1, y0=limit, y1=limit)], margin={"l": 48, "r": 8, "t": 8, "b": 40}, dragmode=False,
        annotations=[{"x": 1, "xref": "paper", "y": limit, "text": f"strength {limit:g}", "showarrow": False, "xanchor": "right", "yanchor": "bottom", "font": {"size": 11.5, "color": SOFT}}],
    )  # fmt: skip
    counts = [
        f"{sum(v == 0 for v in values)} of {len(values)} groups are exactly zero under {NAMES[name]}s"
        for name, values in norms.items()
    ]
    return figure(data, layout, f"After {sentences.plural(step, 'step')}, {' and '.join(counts)}.")


def walks(norms: Mapping[str, Sequence[Sequence[float]]], group: int) -> Spec:
    """The norm of one group after every step, under each solver."""
    data = []
    for name, path in norms.items():
        y = [row[group] for row in path]
        data.append({"type": "scatter", "mode": "lines+markers", "name": NAMES[name], "x0": 0, "dx": 1, "y": y, "line": {"color": COLOURS[name], "width": 2, "dash": DASHES[name]}, "marker": {"size": 4}, "hovertemplate": f"{NAMES[name]}, step %{{x}}: %{{y:.3g}}<extra></extra>"})  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("step", showgrid=False), yaxis=titled_axis("norm", rangemode="tozero"), showlegend=True,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top", "font": {"size": 11.5}}, margin={"l": 44, "r": 8, "t": 6, "b": 38}, dragmode=False,
    )  # fmt: skip
    proximal, other = norms["proximal"], norms["subgradient"]
    first = next((k for k, row in enumerate(proximal) if row[group] == 0), None)
    last = [row[group] for row in other[-8:]]
    died = f"is exactly zero from step {first} on" if first is not None else "stays alive"
    return figure(
        data,
        layout,
        f"Group {group + 1} {died} by proximal steps; by subgradient steps its norm still moves between {min(last):.2g} and {max(last):.2g}.",
    )


def held(start: Sequence[float], ends: Sequence[float], strength: float) -> Spec:
    """Where each group ends over where the loss alone would hold it."""
    line = [max(0.0, round(x / 20 - strength, 3)) for x in range(0, 35)]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [x / 20 for x in range(0, 35)],
            "y": line,
            "line": {"color": GHOST, "width": 1.6, "dash": "dot"},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": list(start),
            "y": list(ends),
            "marker": {
                "size": 12,
                "color": [DYING if v == 0 else LEAF for v in ends],
                "symbol": ["x" if v == 0 else "circle" for v in ends],
            },
            "hovertemplate": "held at %{x:.2f}, ends at %{y:.3g}<extra></extra>",
        },
    ]
    layout = base_layout(
        xaxis=titled_axis("norm at which the loss alone holds the group", range=[0, 1.7], fixedrange=True), yaxis=titled_axis("norm after 30 steps", range=[-0.06, 1.5], fixedrange=True),
        shapes=[rule(SOFT, 1.2, "dash", x0=strength, x1=strength, yref="paper", y0=0, y1=1)],
        annotations=[{"x": strength, "y": 1, "yref": "paper", "text": f"strength {strength:g}", "showarrow": False, "xanchor": "left", "xshift": 5, "yanchor": "top", "font": {"size": 11.5, "color": SOFT}}],
        margin={"l": 48, "r": 8, "t": 6, "b": 42}, dragmode=False,
    )  # fmt: skip
    dead = sum(v == 0 for v in ends)
    return figure(
        data,
        layout,
        f"With strength {strength:g}, {dead} of {len(ends)} groups end at exactly zero: those the loss would hold below it.",
    )


def behind_momentum(ends: Sequence[float], optimum: Sequence[float], momentum: float, threshold: str) -> Spec:
    """Bars of where the groups end; outlines are the optimum."""
    x = list(range(len(ends)))
    dead = [at for at, value in zip(x, ends, strict=True) if value == 0]
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "x": x,
            "y": list(ends),
            "width": 0.56,
            "marker": {"color": LEAF},
            "hovertemplate": "ends at %{y:.3g}<extra></extra>",
        },
        {
            "type": "bar",
            "x": x,
            "y": list(optimum),
            "width": 0.74,
            "marker": {"color": "rgba(0,0,0,0)", "line": {"color": PICKED, "width": 2}},
            "hovertemplate": "optimum %{y:.3g}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": dead,
            "y": [0.03] * len(dead),
            "marker": {"symbol": "x", "size": 9, "color": DYING},
            "hovertemplate": "exactly zero<extra></extra>",
        },
    ]
    layout = base_layout(
        xaxis=titled_axis("group", tickvals=x, ticktext=[str(k + 1) for k in x], showgrid=False, fixedrange=True), yaxis=titled_axis("norm of the group", range=[0, 1.7], fixedrange=True),
        barmode="overlay", margin={"l": 48, "r": 8, "t": 8, "b": 40}, dragmode=False,
    )  # fmt: skip
    off = max(abs(a - b) for a, b in zip(ends, optimum, strict=True))
    missed = (
        f"they end up to {off:.2f} above the optimum (outlines)" if off > 1e-3 else "they end at the optimum (outlines)"
    )
    return figure(
        data,
        layout,
        f"Momentum {momentum:g}, threshold {threshold}: {sum(v == 0 for v in ends)} of {len(ends)} groups are exactly zero, and {missed}.",
    )


def _say(value: float) -> str:
    return f"{round(value, 2):g}".replace("-", sentences.MINUS)
