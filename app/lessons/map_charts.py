"""Figures of lessons that are maps: small arrays side by side, every number in its cell."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

from app.components.figure_parts import CLEAR, GHOST, INK, ORANGE, PAPER, SKY, SOFT, Spec, base_layout, figure

GAP = 0.035  # between panels, of the whole width
DIVERGING = [[0, SKY], [0.5, PAPER], [1, ORANGE]]


class Panel(NamedTuple):
    """One map: its title, its values (H, W) or None for what is not told yet, the value of the strongest colour, how numbers are written.

    `faded`: cells (row, column) that do not count; `framed`: one that is pointed at.
    """

    title: str
    values: Sequence[Sequence[float]] | None
    strongest: float = 1.0
    form: str = ".2f"
    faded: Sequence[tuple[int, int]] = ()
    framed: tuple[int, int] | None = None


def maps(panels: Sequence[Panel], alt: str) -> Spec:
    """Maps from left to right, blue below zero and orange above."""
    data: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    wide = (1 - GAP * (len(panels) - 1)) / len(panels)
    for number, panel in enumerate(panels, 1):
        left = (number - 1) * (wide + GAP)
        x, y = (f"x{number}", f"y{number}") if number > 1 else ("x", "y")
        values = panel.values
        rows, columns = (len(values), len(values[0])) if values else (8, 8)
        hidden = {"visible": False, "fixedrange": True}
        axes[f"xaxis{number if number > 1 else ''}"] = {
            **hidden,
            "domain": [left, left + wide],
            "range": [-0.5, columns - 0.5],
            "anchor": y,
            "constrain": "domain",
        }
        axes[f"yaxis{number if number > 1 else ''}"] = {
            **hidden,
            "range": [rows - 0.5, -0.5],
            "anchor": x,
            "scaleanchor": x,
            "constrain": "domain",
        }
        notes.append({
            "text": html.escape(panel.title), "x": left + wide / 2, "xref": "paper", "y": 1, "yref": "paper", "xanchor": "center", "yanchor": "bottom", "showarrow": False,
            "font": {"size": 12.5, "color": INK},
        })  # fmt: skip
        if values is None:
            around = {"x0": -0.5, "x1": 7.5, "y0": -0.5, "y1": 7.5}
            shapes.append(
                {"type": "rect", "xref": x, "yref": y, **around, "line": {"color": GHOST, "width": 1.5, "dash": "dash"}}
            )
            notes.append(
                {
                    "text": "?",
                    "x": 3.5,
                    "y": 3.5,
                    "xref": x,
                    "yref": y,
                    "showarrow": False,
                    "font": {"size": 34, "color": SOFT},
                }
            )
            data.append({"type": "scatter", "x": [None], "y": [None], "xaxis": x, "yaxis": y, "hoverinfo": "skip"})
            continue
        data.append({
            "type": "heatmap", "z": [list(row) for row in values], "xaxis": x, "yaxis": y, "zmin": -panel.strongest, "zmax": panel.strongest,
            "colorscale": DIVERGING, "showscale": False, "xgap": 1, "ygap": 1, "texttemplate": "%{text}", "textfont": {"size": 10},
            "text": [[written(value, panel.form) for value in row] for row in values],
            "hovertemplate": f"{html.escape(panel.title)}<br>row %{{y}}, column %{{x}}: %{{text}}<extra></extra>",
        })  # fmt: skip
        shapes += [
            {"type": "rect", "xref": x, "yref": y, "x0": c - 0.5, "x1": c + 0.5, "y0": r - 0.5, "y1": r + 0.5, "line": {"width": 0}, "fillcolor": GHOST, "opacity": 0.65}
            for r, c in panel.faded
        ]  # fmt: skip
        if panel.framed is not None:
            r, c = panel.framed
            shapes.append(
                {
                    "type": "rect",
                    "xref": x,
                    "yref": y,
                    "x0": c - 0.5,
                    "x1": c + 0.5,
                    "y0": r - 0.5,
                    "y1": r + 0.5,
                    "line": {"color": INK, "width": 2.4},
                    "fillcolor": CLEAR,
                }
            )
    layout = base_layout(
        annotations=notes, shapes=shapes, margin={"l": 8, "r": 8, "t": 26, "b": 8}, dragmode=False, **axes
    )
    return figure(data, layout, alt)


def inside(at: tuple[int, int], tap: tuple[int, int], side: int) -> bool:
    """Whether a tap (0-2, 0-2) of a 3 x 3 window centred at a position lies within a map of `side` cells a side."""
    return all(0 <= place + shift - 1 < side for place, shift in zip(at, tap, strict=True))


def written(value: float, form: str) -> str:
    """A number in its cell; nothing before or behind the digit of what is written as zero."""
    told = f"{value:{form}}"
    return "0" if float(told) == 0 else told.replace("-", "−")
