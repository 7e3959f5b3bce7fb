"""Lesson 3: a proximal step by hand. Steps recorded one by one, computed again here by the lane."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app.app_pages import parts
from app.lessons import here, progress
from app.lessons import step_charts as charts
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.recorded import recorded

KEY = "proximal-step"
ABOUT = "Takes the same steps here, by the functions that training calls: under a second once the lane is awake."
SOLVERS = ("proximal", "subgradient")
THRESHOLDS = {"lr lambda": "rate × strength", "lr lambda / (1 - mu)": "rate × strength / (1 − μ)"}


def _record() -> dict[str, Any]:
    return recorded("proximal_step")


def _one() -> None:
    told = _record()["values"]
    left, right = st.columns(2)
    with left:
        amount = st.select_slider(
            "Rate × strength", [float(a) for a in told], value=0.5, key="proximal-step-1-amount", bind="query-params"
        )
    one = told[f"{amount:g}"]
    with right:
        weight = st.select_slider(
            "Weight before the step", one["before"], value=0.3, key="proximal-step-1-weight", bind="query-params"
        )
    shown = SOLVERS if progress.given(KEY, 1) else SOLVERS[1:]
    table = pd.DataFrame({"before": one["before"]} | {charts.NAMES[s]: one[s] for s in shown}).round(4)
    parts.chart(
        "One weight, one step against the penalty alone",
        charts.one_step(one, weight, shown),
        table,
        key="proximal-step-1",
        height=290,
        note=f"{'Solid: proximal step. ' if len(shown) > 1 else ''}Dashed: subgradient step. Only the penalty moves the weight, no loss.",
    )


def _row() -> None:
    told, done = _record(), None
    steps, strength = told["config"]["steps"], told["config"]["strength"]
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        step = st.slider("Steps taken", 0, steps, 0, key="proximal-step-2-steps", bind="query-params")
    with right, st.container(horizontal=True):
        st.button(
            "Take a step",
            key="proximal-step-2-take",
            icon=":material/footprint:",
            disabled=step == steps,
            on_click=_take,
            args=(1,),
        )
        st.button("Ten", key="proximal-step-2-ten", disabled=step == steps, on_click=_take, args=(10,))
        if progress.given(KEY, 2):
            done = here.run_here(
                "step-row", key="proximal-step-2-here", about=ABOUT, quick=True, solver="proximal", strength=strength
            )
    paths = {s: told["row"][s][f"{strength:g}"] for s in SOLVERS}
    now = {s: path[step] for s, path in paths.items()}
    table = pd.DataFrame({"group": range(1, 9), "start": told["norms"]} | {charts.NAMES[s]: v for s, v in now.items()})
    words = f"Rate {told['config']['lr']:g}, strength {strength:g}; the loss pulls each group back to its outline."
    if done:
        words += f" Computed here: {sum(v == 0 for v in done['norms'][-1])} of 8 groups are exactly zero after {steps} proximal steps."
    parts.chart(
        "Eight groups, two ways to step",
        charts.rows(now, told["norms"], step, strength),
        table,
        key="proximal-step-2",
        height=270,
        note=words,
    )


def _take(number: int) -> None:
    key = "proximal-step-2-steps"
    st.session_state[key] = min(_record()["config"]["steps"], st.session_state.get(key, 0) + number)


def _walks() -> None:
    told = _record()
    paths = {s: told["row"][s][f"{told['config']['strength']:g}"] for s in SOLVERS}
    _reveal("proximal-step-2-walks", charts.walks(paths, 5))


def _held() -> None:
    told = _record()
    strength = st.select_slider(
        "Strength",
        [float(k) for k in told["row"]["proximal"]],
        value=0.5,
        key="proximal-step-3-strength",
        bind="query-params",
    )
    ends = told["row"]["proximal"][f"{strength:g}"][-1]
    table = pd.DataFrame({"group": range(1, 9), "held by the loss alone": told["norms"], "ends at": ends})
    parts.chart(
        "Who dies",
        charts.held(told["norms"], ends, strength),
        table,
        key="proximal-step-3",
        height=290,
        note=f"{told['config']['steps']} proximal steps, rate {told['config']['lr']:g}, no momentum.",
    )


def _momentum() -> None:
    told = _record()
    threshold = st.segmented_control(
        "Threshold",
        list(THRESHOLDS),
        default=next(iter(THRESHOLDS)),
        format_func=lambda t: THRESHOLDS[t],
        key="proximal-step-4-threshold",
        bind="query-params",
        required=True,
    ) or next(iter(THRESHOLDS))
    left, button = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        momentum = st.select_slider(
            "Momentum μ", [0.0, 0.5, 0.9], value=0.5, key="proximal-step-4-momentum", bind="query-params"
        )
    config, done = told["config"], None
    with button:
        if progress.given(KEY, 4):
            done = here.run_here(
                "step-row", key="proximal-step-4-here", about=ABOUT, quick=True, momentum=momentum, threshold=threshold,
                lr=config["momentum_lr"], steps=config["momentum_steps"],
            )  # fmt: skip
    ends, optimum = told["momentum"][threshold][f"{momentum:g}"], told["momentum"][threshold]["0"]
    table = pd.DataFrame({"group": range(1, 9), "ends at": ends, "optimum": optimum})
    words = f"{config['momentum_steps']} steps of Nesterov SGD, rate {config['momentum_lr']:g}, strength {config['strength']:g}."
    if done:
        table["computed here"] = done["norms"][-1]
        words += (
            f" Computed here: {sum(v == 0 for v in done['norms'][-1])} of 8 groups are exactly zero; see the table."
        )
    parts.chart(
        "Behind momentum", charts.behind_momentum(ends, optimum, momentum, THRESHOLDS[threshold]), table, key="proximal-step-4",
        height=280, note=words,
    )  # fmt: skip


def _reveal(key: str, spec: charts.Spec) -> None:
    parts.picking(spec, key=key, height=132)
    st.caption(spec["alt"])


ENDS = ("At −0.2", "At exactly 0", "At 0.15")
WHO = ("Both", "Only the proximal steps", "Only the subgradient steps", "Neither")
DIES = ("Once the strength is above 0.7", "Once rate × strength is above 0.7", "At any strength, with enough steps")
AS_IF = ("As 0.5, the strength that was set", "As 0.05, a tenth of it", "As 5, ten times it")

LESSON = Lesson(
    key=KEY,
    title="A proximal step by hand",
    about="Take single steps against a penalty, in two ways, and see which of them ever reaches exactly zero.",
    minutes=4,
    terms=("proximal step", "group lasso", "strength", "step", "SSL"),
    steps=(
        Step(
            "One number, one step",
            "A penalty on the size of a weight has slope 1 on one side of zero and −1 on the other. A subgradient step subtracts rate × strength times that slope, wherever the weight is.",
            _one,
            Question(
                "A weight of 0.3 takes a proximal step instead, with rate × strength = 0.5. Where does it end?", ENDS, ENDS[1],
                "A proximal step shrinks the weight by 0.5 but stops at zero: it is the soft threshold, sign(z) · max(|z| − 0.5, 0). The subgradient step jumps across to −0.2.",
            ),
        ),
        Step(
            "A row of norms",
            "Eight groups of weights start where a loss holds them (outlines), and a group lasso pulls all of them down. Take steps: each bar is the length of one group.",
            _row,
            Question(
                "After thirty steps, under which kind of step are some groups at exactly zero?", WHO, WHO[1],
                "The proximal step lands on zero and stays. The subgradient step crosses zero and comes back, for ever; in the end its groups must be cut off at some threshold.",
            ),
            _walks,
        ),
        Step(
            "Who dies",
            "The loss alone would hold each group at some length. Move the strength and see which groups end at zero.",
            _held,
            Question(
                "The loss would hold a group at length 0.7. When does the group die?", DIES, DIES[0],
                "At zero this loss (round, curvature 1) pulls with 0.7 and the penalty with its strength; the stronger wins. The rate only decides how fast the end is reached.",
            ),
        ),
        Step(
            "Momentum moves the threshold",
            "Training steps with momentum μ, which adds up gradients: in the end it moves 1 / (1 − μ) times as far as the rate says. The threshold knows nothing of that unless it is told.",
            _momentum,
            Question(
                "Momentum is 0.9 and the threshold only rate × strength. The strength is 0.5: as which strength does it act?", AS_IF, AS_IF[1],
                "The loss pulls with ten times the rate, the threshold does not: it acts as 0.05, and fewer groups die. With rate × strength / (1 − μ), as this program takes it, 0.5 means 0.5 again.",
            ),
        ),
    ),
)  # fmt: skip
