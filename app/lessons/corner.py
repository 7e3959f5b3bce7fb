"""Lesson 2: the corner of the group lasso. Minima recorded on a grid, computed again here by the lane."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import sentences
from app.app_pages import parts
from app.lessons import corner_charts as charts
from app.lessons import here, progress
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.recorded import recorded

KEY = "corner"
ABOUT = (
    "Solves the same problem here, with the proximal steps that training takes: under a second once the lane is awake."
)


def _at(step: int, value: tuple[float, float], strength: float) -> tuple[tuple[float, float], float]:
    """The centre of the loss and the strength, as the sliders stand."""
    told = recorded(KEY)
    one, two, three = st.columns(3)
    with one:
        x = st.select_slider(
            "Loss, first weight", told["across"], value=value[0], key=f"corner-{step}-x", bind="query-params"
        )
    with two:
        y = st.select_slider(
            "Loss, second weight", told["up"], value=value[1], key=f"corner-{step}-y", bind="query-params"
        )
    with three:
        s = st.select_slider(
            "Strength of the penalty",
            told["strengths"],
            value=strength,
            key=f"corner-{step}-strength",
            bind="query-params",
        )
    return (x, y), s


def _shape(step: int) -> str:
    shape = st.segmented_control(
        "Shape of the loss", ("round", "tilted"), default="round", format_func=lambda one: f"{one} loss", key=f"corner-{step}-shape", bind="query-params",
        required=True, label_visibility="collapsed",
    )  # fmt: skip
    return shape or "round"


def minimum(penalty: str, strength: float, shape: str, centre: tuple[float, float]) -> list[float]:
    """The recorded minimum for a place of the grid."""
    told = recorded(KEY)
    place = told["across"].index(centre[0]) * len(told["up"]) + told["up"].index(centre[1])
    return told["minima"][shape][penalty][f"{strength:g}"][place]


def _plane(step: int, penalty: str, value: tuple[float, float], strength: float) -> None:
    centre, s = _at(step, value, strength)
    with st.container(horizontal=True, vertical_alignment="center"):
        shape = _shape(step)
        asked: dict[str, Any] = {"penalty": penalty, "strength": s, "shape": shape, "centres": [list(centre)]}
        if progress.given(KEY, step):
            here.run_here("corner-minima", key=f"corner-{step}-here", about=ABOUT, quick=True, **asked)
    found, hidden = minimum(penalty, s, shape, centre), progress.given(KEY, step) is None
    done = here.answer_here("corner-minima", **asked)
    spec = charts.plane(centre, found, penalty, s, recorded(KEY)["config"]["shapes"][shape], hidden)
    table = (
        _frame(centre, found, done)
        if not hidden
        else pd.DataFrame([{"": "loss alone", "first": centre[0], "second": centre[1]}])
    )
    parts.chart(
        charts.NAMES[penalty][0].upper() + charts.NAMES[penalty][1:], spec, table, key=f"corner-{step}", height=254,
        note=_here_words(found, done) or "Click in the plane to put the loss there.", on_picked=lambda click: _moved(step, click),
    )  # fmt: skip


def _moved(step: int, click: dict[str, Any]) -> None:
    told = recorded(KEY)
    for name, values in (("x", told["across"]), ("y", told["up"])):
        st.session_state[f"corner-{step}-{name}"] = min(values, key=lambda v: abs(v - click[name]))


def _frame(centre: tuple[float, float], found: list[float], done: dict[str, Any] | None) -> pd.DataFrame:
    rows = [("loss alone", *centre), ("with the penalty, recorded", *found)]
    rows += [("with the penalty, computed here", *done["minima"][0])] if done else []
    return pd.DataFrame(rows, columns=["minimum", "first weight", "second weight"])


def _here_words(found: list[float], done: dict[str, Any] | None) -> str:
    if not done:
        return ""
    now = done["minima"][0]
    return (
        f"Computed here: ({now[0]:.6f}, {now[1]:.6f}), the recorded minimum to its three digits.".replace(
            "-", sentences.MINUS
        )
        if max(abs(a - b) for a, b in zip(now, found, strict=True)) <= 0.001
        else f"Computed here: ({now[0]:.6f}, {now[1]:.6f}); the recording says otherwise, so trust this one."
    )


def _paths() -> None:
    told = recorded(KEY)
    one, two = st.columns(2)
    with one:
        x = st.select_slider(
            "Loss, first weight", [v for v in told["across"] if v > 0], value=1.0, key="corner-4-x", bind="query-params"
        )
    with two:
        y = st.select_slider(
            "Loss, second weight", [v for v in told["up"] if v > 0], value=0.5, key="corner-4-y", bind="query-params"
        )
    shown = ("l1", "group") if progress.given(KEY, 4) else ("l1",)
    minima = {p: [minimum(p, s, "round", (x, y)) for s in told["strengths"]] for p in shown}
    table = pd.DataFrame(
        {"strength": told["strengths"]}
        | {f"{charts.NAMES[p]}, weight {k + 1}": [r[k] for r in rows] for p, rows in minima.items() for k in (0, 1)}
    )
    parts.chart(
        "Both weights while the strength grows",
        charts.paths(told["strengths"], minima, (x, y)),
        table,
        key="corner-4",
        height=290,
        note="Round loss; a point is a strength that was computed.",
    )


def _bars() -> None:
    told, done = recorded(KEY)["groups"], None
    left, right, button = st.columns([4, 5, 3], vertical_alignment="bottom")
    with left:
        penalty = st.segmented_control(
            "Penalty", list(charts.NAMES), default="l1", format_func=lambda p: {"l1": "L1", "group": "Group", "ridge": "Ridge"}[p],
            key="corner-5-penalty", bind="query-params", required=True,
        )  # fmt: skip
    with right:
        s = st.select_slider("Strength of the penalty", told["strengths"], value=0.3, key="corner-5-strength", bind="query-params")  # fmt: skip
    penalty = penalty or "l1"
    with button:
        if progress.given(KEY, 5):
            done = here.run_here(
                "corner-groups", key="corner-5-here", about=ABOUT, quick=True, penalty=penalty, strength=s
            )
    found = told["minimum"][penalty][f"{s:g}"]
    places = [(g, k) for g in (0, 1) for k in range(3)]
    table = pd.DataFrame({
        "group": ["AB"[g] for g, _ in places], "weight": range(1, 7), "loss alone": [told["centre"][g][k] for g, k in places],
        "with the penalty": [found[g][k] for g, k in places],
    })  # fmt: skip
    words = "Outlines: the loss alone. Crosses: exactly zero."
    if done:
        table["computed here"] = [done["minimum"][g][k] for g, k in places]
        off = max(abs(done["minimum"][g][k] - found[g][k]) for g, k in places)
        words += (
            f" Computed here: {'the same to three digits' if off <= 0.001 else f'up to {off:.2g} away'}; see the table."
        )
    parts.chart(
        "Two groups of three weights",
        charts.bars(told["centre"], found, penalty, s),
        table,
        key="corner-5",
        height=262,
        note=words,
    )


RIDGE = ("Yes, once it is strong enough", "No, weights only get smaller")
L1 = ("Both weights, smaller", "Only the first weight", "None")
GROUP = ("Both weights, smaller", "Only the first weight", "None")
WHOLE = ("The smaller weight first, as under L1", "The larger weight first", "Both at the same strength")
WHICH = ("L1", "Group lasso", "Ridge")

LESSON = Lesson(
    key=KEY,
    title="The corner of the group lasso",
    about="Two weights, a loss to push around and three penalties: see where the minimum lands, and why whole groups die.",
    minutes=4,
    terms=("group lasso", "strength", "structured sparsity", "SSL"),
    steps=(
        Step(
            "A penalty pulls towards zero",
            "The rings are a loss of two weights, smallest in their middle. A penalty pulls the weights towards zero; ridge is the square of their length, the same all along the shaded circle.",
            lambda: _plane(1, "ridge", (1.5, 1.0), 1.0),
            Question(
                "Let the strength grow as far as you like. Does ridge ever make a weight exactly zero?", RIDGE, RIDGE[1],
                "Near zero the square is flat, so ridge hardly pulls there. It divides weights by 1 + strength (round loss), which never gives zero.",
            ),
        ),
        Step(
            "L1 has corners",
            "L1 counts the sizes of the weights, each on its own; all pairs with the same penalty form a square on its tip (shaded). Its corners lie on the axes, where a weight is zero.",
            lambda: _plane(2, "l1", (1.0, 0.25), 0.5),
            Question(
                "The loss pulls to (1, 0.25), L1 has strength 0.5. What is left at the minimum?", L1, L1[1],
                "With a round loss L1 takes 0.5 from each weight: 1 becomes 0.5, and 0.25 stops at exactly zero. The minimum sits on a corner.",
            ),
        ),
        Step(
            "One group has a single corner",
            "The group lasso counts the length of both weights together, so all pairs with the same penalty form a circle. It has no corners on the axes; its only sharp point is the origin, where the whole group is zero.",
            lambda: _plane(3, "group", (1.0, 0.25), 0.5),
            Question(
                "The same loss at (1, 0.25), the same strength 0.5, now as one group. What is left?", GROUP, GROUP[0],
                "The group is 1.03 long and loses 0.5 of its length: both weights shrink by the same share and neither is zero.",
            ),
        ),
        Step(
            "Why whole groups die",
            "L1 lets each weight die at a strength of its own. Here the strength grows, from left to right.",
            _paths,
            Question(
                "Now both weights are one group. Which of them reaches zero first?", WHOLE, WHOLE[2],
                "The group lasso scales the whole group by one number. That number is zero as soon as the strength reaches the length that the loss alone would give the group.",
            ),
        ),
        Step(
            "Two groups",
            "Six weights in two groups: think of two filters. Only a filter whose weights are all zero can be cut out.",
            _bars,
            Question(
                "Which penalty empties group B while every weight of group A stays?", WHICH, WHICH[1],
                "The group lasso does, from strength 0.8 to 1.1: B is 0.71 long, A 1.16. L1 takes the small weights out of both groups, and ridge takes none.",
            ),
        ),
    ),
)  # fmt: skip
