"""The figure of recorded points against their controls, as data: a row a point, a mark a control; right of zero the method is better."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pandas as pd

from app.components.figure_parts import (
    BLUE,
    GHOST,
    GREEN,
    ORANGE,
    PAPER,
    ROSE,
    SKY,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    figure,
    rule,
    titled_axis,
)
from core.evidence.counting import Difference, judged
from core.evidence.findings import AGAINST
from core.evidence.glance import CONTROLS, Standing
from core.evidence.wanted import ALONE, DENSE, SCRATCH, SHUFFLED
from core.intervals import half_width

LOOKS = {DENSE: (WOOD, "square"), SCRATCH: (SOFT, "x"), SHUFFLED: (ROSE, "diamond"), ALONE: (BLUE, "circle")}
OTHER_LOOKS = (
    (ORANGE, "star"),
    (GREEN, "triangle-up"),
    (SKY, "hexagon"),
)  # of a table's own controls, in order of name
NAMES = {DENSE: "dense, trained equally long", SCRATCH: "same shape from scratch", SHUFFLED: "random mask", ALONE: "a network of its own", "student": "one taught by the dense network", "baseline": "the baseline, trained shorter"}  # fmt: skip
VERDICTS = {1: "better", -1: "worse", 0: "not clear", None: "of one seed, not judged"}
APART = 0.22  # rows, between the marks of one point


def control_chart(rows: Sequence[Standing]) -> Spec:
    """Points of test accuracy, the method less its controls, with the 95 % interval of the mean of the pairs; of one seed hollow."""
    roles = roles_of(rows)
    longest = max((len(row.point) for row in rows), default=0)
    looks = LOOKS | dict(zip((role for role in roles if role not in LOOKS), cycle(OTHER_LOOKS), strict=False))
    apart = min(APART, 0.8 / len(roles)) if roles else APART
    data = [_marks(rows, role, looks[role], apart * (at - (len(roles) - 1) / 2)) for at, role in enumerate(roles)]
    layout = base_layout(
        xaxis=titled_axis("points of test accuracy: the method less the control", zeroline=False),
        yaxis=titled_axis("", tickvals=list(range(len(rows))), ticktext=[row.point for row in rows], range=[len(rows) - 0.5, -0.5], showgrid=False),
        shapes=[rule(x0=0, x1=0, yref="paper", y0=0, y1=1, color=GHOST, width=1.6)],
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}, margin={"l": max(120, 20 + 6.5 * longest), "r": 16, "t": 34, "b": 42},
        plot_bgcolor=PAPER,
    )  # fmt: skip
    return figure(data, layout, controls_sentence(rows))


def roles_of(rows: Sequence[Standing]) -> list[str]:
    """The controls that some row has: those of every table first, then a table's own."""
    here = {role for row in rows for role in row.against}
    return [role for role in CONTROLS if role in here] + sorted(here.difference(CONTROLS))


def _marks(rows: Sequence[Standing], role: str, look: tuple[str, str], lower: float) -> dict[str, Any]:
    here = [(at + lower, row.point, row.against[role]) for at, row in enumerate(rows) if role in row.against]
    (colour, symbol), name = look, NAMES.get(role, role)
    return {
        "type": "scatter", "mode": "markers", "name": f"against {name}", "y": [y for y, _, _ in here],
        "x": [round(100 * difference[0], 2) for _, _, difference in here],
        "error_x": {"type": "data", "array": [interval(d) for _, _, d in here], "color": colour, "thickness": 2, "width": 0},
        "marker": {"size": 11, "color": colour, "symbol": [symbol if d[1] is not None else f"{symbol}-open" for _, _, d in here]}, "customdata": [[point, difference[2]] for _, point, difference in here],
        "hovertemplate": "%{customdata[0]} against " + name + ": %{x:+.2f} points, n = %{customdata[1]}<extra></extra>",
    }  # fmt: skip


def interval(difference: Difference) -> float | None:
    """Half of the 95 % interval of a mean of pairs (Student's t), in points; none of one pair."""
    _, deviation, n = difference
    return None if deviation is None else round(100 * half_width(deviation, n), 2)


def height_of(rows: Sequence[Standing]) -> int:
    """Pixels that the rows need."""
    return 120 + 46 * len(rows)


def controls_sentence(rows: Sequence[Standing]) -> str:
    """Against each control: how many points are better or worse, and how many neither, by the 95 % interval of the mean."""
    said = []
    for role in roles_of(rows):
        marks = [judged(row.against[role]) for row in rows if role in row.against]
        if marks:
            told = ", ".join(f"{marks.count(mark)} {word}" for mark, word in VERDICTS.items() if mark in marks)
            said.append(f"Against {AGAINST.get(role, role)}: {told}.")
    return " ".join(said)


def controls_frame(rows: Sequence[Standing]) -> pd.DataFrame:
    """The numbers of the figure: a line a point and control."""
    return pd.DataFrame([
        {
            "point": row.point, "control": role, "points of accuracy": 100 * mean,
            "standard deviation": None if deviation is None else 100 * deviation, "pairs": pairs,
        }
        for row in rows for role, (mean, deviation, pairs) in row.against.items()
    ])  # fmt: skip
