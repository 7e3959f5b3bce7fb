"""The figure of recorded gains, as data: each level against a network of its own, ours filled, the paper's hollow."""

from __future__ import annotations

import html
from collections.abc import Sequence

from app import sentences
from app.components.figure_parts import GHOST, LEAF, PAPER, SOFT, Spec, base_layout, figure, rule, titled_axis
from app.control_charts import interval
from core.evidence.counting import judged, signed
from core.evidence.gains import FULL, Gain

AGAINST = {
    "dense control": "dense network", "level alone": "alone", "random masks": "random masks", "L1-norm filters": "L1-norm filters",
    "student": "taught by the dense network", FULL: "full level",
}  # fmt: skip


def gain_chart(gains: Sequence[Gain]) -> Spec:
    """A row a difference: points of test accuracy gained, with the 95 % interval of the mean of the pairs, of one seed hollow; right of zero is better."""
    rows = list(range(len(gains)))
    ours = {
        "type": "scatter", "mode": "markers", "name": "here", "y": rows, "x": [round(100 * one.ours[0], 2) for one in gains],
        "error_x": {"type": "data", "array": [interval(one.ours) for one in gains], "color": SOFT, "thickness": 2, "width": 0},
        "marker": {"size": 12, "color": LEAF, "symbol": ["circle-open" if one.ours[1] is None else "circle" for one in gains]}, "customdata": [[_name(one), one.ours[2]] for one in gains],
        "hovertemplate": "%{customdata[0]}: %{x:+.2f} points, n = %{customdata[1]}<extra></extra>",
    }  # fmt: skip
    told = [(row, one) for row, one in zip(rows, gains, strict=True) if one.paper is not None]
    theirs = {
        "type": "scatter", "mode": "markers", "name": "the paper, in its larger networks", "y": [row for row, _ in told],
        "x": [round(100 * (one.paper or 0), 2) for _, one in told], "customdata": [[html.escape(one.cited)] for _, one in told],
        "marker": {"size": 13, "symbol": "diamond-open", "color": SOFT, "line": {"width": 2}},
        "hovertemplate": "%{x:+.2f} points<br>%{customdata[0]}<extra></extra>",
    }  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("points of test accuracy gained", zeroline=False),
        yaxis=titled_axis("", tickvals=rows, ticktext=[_name(one) for one in gains], range=[len(gains) - 0.4, -0.6], showgrid=False),
        shapes=[rule(x0=0, x1=0, yref="paper", y0=0, y1=1, color=GHOST, width=1.6)],
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}, margin={"l": 190, "r": 16, "t": 34, "b": 42},
        plot_bgcolor=PAPER,
    )  # fmt: skip
    return figure([ours, *([theirs] if told else [])], layout, gains_sentence(gains))


def height_of(gains: Sequence[Gain]) -> int:
    """Pixels that the rows need."""
    return 110 + 34 * len(gains)


def _name(one: Gain) -> str:
    label = one.label[:1].upper() + one.label[1:]
    return f"{label} − {AGAINST.get(one.against, one.against)}"


def gains_sentence(gains: Sequence[Gain]) -> str:
    """How many of the differences are clear gains and losses."""
    marks = [judged(one.ours) for one in gains]
    single = sum(one.ours[1] is None for one in gains)
    if single == len(gains):
        told = [f"{_name(one)} {signed(100 * one.ours[0])} points" for one in gains]
        return f"{sentences.listing(told, at_most=4)}; each of one seed."
    words = f"Of {len(gains)} differences {marks.count(1)} are clear gains and {marks.count(-1)} clear losses (95 % interval of the mean of the pairs)."
    return f"{words} {single} of one seed." if single else words
