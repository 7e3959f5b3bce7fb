"""Lesson 4: scaling factors. Small runs of this program, recorded; any of them can be trained again here."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import sentences
from app.app_pages import parts
from app.lessons import factor_charts as charts
from app.lessons import here, progress
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.recorded import recorded

KEY = "factors"
ASKED_AT = "0.02"
PLACES = "Puts the factor in both places here: under a second once the lane is awake."
TRAINS = "Trains the same run here, in a process of its own: some twenty seconds, more while other work runs."


def _runs() -> list[dict[str, Any]]:
    return list(recorded(KEY)["runs"].values())


def _run(step: int) -> dict[str, Any]:
    """The recorded run at the strength that the slider says."""
    told = recorded(KEY)["runs"]
    strength = st.select_slider(
        "Strength of the penalty",
        [float(s) for s in told],
        value=0.02,
        key=f"factors-{step}-strength",
        bind="query-params",
    )
    return told[f"{strength:g}"]


def _conditions() -> str:
    config = recorded(KEY)["config"]
    return f"WRN-8-1 on digits, {config['epochs']} epochs, rate {config['lr']:g}, batch {config['batch']}, seed 0; the layer: the first block's first convolution."


def _bars() -> None:
    left, right, button = st.columns([3, 3, 2], vertical_alignment="bottom")
    with left:
        run = _run(1)
    with button:
        if progress.given(KEY, 1):
            here.run_here(
                "factors-run", key="factors-1-here", label="Train it here", about=TRAINS, strength=run["strength"]
            )
    with right:
        epoch = st.slider("Epoch", 0, len(run["factors"]) - 1, 8, key="factors-1-epoch", bind="query-params")
    done = here.answer_here("factors-run", strength=run["strength"])
    table = pd.DataFrame(
        {"filter": range(len(run["factors"][0])), "factor": run["factors"][epoch]}
        | ({"factor, trained here": done["factors"][epoch]} if done else {})
    )
    parts.chart(
        "The factors of one layer",
        charts.bars(run, epoch),
        table,
        key="factors-1",
        height=270,
        note=_conditions() + _again(run, done),
    )


def _again(run: dict[str, Any], done: dict[str, Any] | None) -> str:
    if not done:
        return ""
    same = (
        "the same numbers" if done["factors"] == run["factors"] else "close to the recording, as on another processor"
    )
    return f" Trained here: {done['alive'][-1]} of {done['total']} filters left, test accuracy {sentences.percent(done['test'], 1)}; {same}."


def _strengths() -> None:
    _reveal("factors-1-strengths", charts.strengths(_runs(), float(st.session_state.get("factors-1-strength", 0.02))))


def _death() -> None:
    run = _run(2)
    shown = progress.given(KEY, 2) is not None
    table = pd.DataFrame(run["factors"] if shown else run["factors"][: charts.before_any(run)])
    parts.chart(
        "The same factors, epoch after epoch",
        charts.first_death(run, shown),
        table,
        key="factors-2",
        height=300,
        note=_conditions(),
    )


def _places() -> None:
    told, shown, done = recorded(KEY)["place"], ("behind", "before") if progress.given(KEY, 3) else ("behind",), None
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        size = st.select_slider(
            "Size of the factor", told["sizes"], value=0.5, key="factors-3-size", bind="query-params"
        )
    with right:
        if len(shown) > 1:
            done = here.run_here("factors-place", key="factors-3-here", about=PLACES, quick=True, sizes=[1.0, 0.5, 0.1])
    table = pd.DataFrame({"size": told["sizes"]} | {f"factor {where} the norm": told[where] for where in shown})
    words = "A 3 × 3 convolution with random weights and a batch norm on 128 digits; mean of 8 channels."
    if done:
        words += f" Computed here, factors 1, 0.5 and 0.1: before the norm {_listed(done['before'])}, behind it {_listed(done['behind'])}."
    parts.chart("What a channel says", charts.places(told, size, shown), table, key="factors-3", height=280, note=words)


def _listed(values: list[float]) -> str:
    return ", ".join(f"{v:.2f}" for v in values)


def _solvers() -> None:
    told, shown, done = recorded(KEY), ("ista", "modified-apg") if progress.given(KEY, 4) else ("ista",), None
    config = told["config"]
    with st.container(horizontal=True, vertical_alignment="center"):
        seed = st.segmented_control(
            "Seeds", ["all", *map(str, told["seeds"])], default="all", format_func=lambda s: "all seeds" if s == "all" else f"seed {s}",
            key="factors-4-seed", bind="query-params", required=True, label_visibility="collapsed",
        )  # fmt: skip
        if len(shown) > 1:
            done = here.run_here("factors-run", key="factors-4-here", label="Train ISTA here", about=TRAINS, solver="ista", strength=config["compared"])  # fmt: skip
    runs = {name: [run for run in told["solvers"][name] if seed in ("all", None, str(run["seed"]))] for name in shown}
    rows = [
        {"solver": charts.SOLVERS[name], "seed": run["seed"], "filters left": run["alive"][-1], "test accuracy": run["test"]}
        for name, own in runs.items()
        for run in own
    ]  # fmt: skip
    words = f"Strength {config['compared']:g}, the same rate for both: {config['lr']:g}, falling to a twentieth along a cosine."
    if done:
        words += f" Trained here with ISTA, seed 0: {done['alive'][-1]} of {done['total']} filters left, test accuracy {sentences.percent(done['test'], 1)}."
    parts.chart("Filters left while it trains", charts.solvers(runs, config["epochs"], shown), pd.DataFrame(rows), key="factors-4", height=290, note=words)  # fmt: skip


def _reveal(key: str, spec: charts.Spec) -> None:
    parts.picking(spec, key=key, height=132)
    st.caption(spec["alt"])


def _left() -> str:
    run = recorded(KEY)["runs"][ASKED_AT]
    share = run["alive"][-1] / run["total"]
    return LEFT[0] if share > 0.8 else LEFT[1] if share > 0.4 else LEFT[2] if share > 0.1 else LEFT[3]


def _when() -> str:
    run = recorded(KEY)["runs"][ASKED_AT]
    first, epochs = charts.died_first(run), len(run["factors"]) - 1
    return (
        WHEN[3]
        if first is None
        else WHEN[0]
        if first <= epochs / 6
        else WHEN[1]
        if first <= epochs * 2 / 3
        else WHEN[2]
    )


def _fewer() -> str:
    ends = {name: sum(run["alive"][-1] for run in runs) / len(runs) for name, runs in recorded(KEY)["solvers"].items()}
    ratio = ends["modified-apg"] / ends["ista"]
    return FEWER[0] if ratio < 0.9 else FEWER[1] if ratio > 1.1 else FEWER[2]


def _why_left() -> str:
    run = recorded(KEY)["runs"][ASKED_AT]
    return f"{run['alive'][-1]} of {run['total']} filters are left, at {sentences.percent(run['test'], 1)} test accuracy (one seed). The loss holds up the factors it needs; nothing holds the others."


def _why_when() -> str:
    run = recorded(KEY)["runs"][ASKED_AT]
    return f"After epoch {charts.died_first(run)} of {len(run['factors']) - 1}. A factor starts at 1, and each step takes only a little from it: the penalty needs time, and then many die soon after one another."


def _why_solver() -> str:
    runs = recorded(KEY)["solvers"]
    ends = {name: [run["alive"][-1] for run in runs[name]] for name in runs}
    return (
        f"Modified APG leaves {charts.spread_of(ends['modified-apg'])} of {runs['ista'][0]['total']} filters, ISTA {charts.spread_of(ends['ista'])} (3 seeds). "
        "APG carries momentum 0.9, so its factors travel about 1 / (1 − 0.9) = 10 times as far in the same epochs."
    )


LEFT = ("Nearly all: more than 80 %", "About half: 40 to 80 %", "A few: 10 to 40 %", "Hardly any: less than 10 %")
WHEN = ("In the first five epochs", "Between epochs 6 and 20", "Only in the last ten", "Never")
SAYS = ("A tenth of what it said before", "As much as before", "Nothing")
FEWER = ("Modified APG", "ISTA", "Both the same")

LESSON = Lesson(
    key=KEY,
    title="Scaling factors",
    about="Small recorded runs of Sparse Structure Selection: turn the strength, watch factors die, and see where a factor must sit.",
    minutes=4,
    terms=("factor", "SSS", "strength", "proximal step", "APG", "epoch"),
    steps=(
        Step(
            "A factor on every filter",
            "Every filter's output is multiplied by a number of its own, its factor, which starts at 1 and is learned with the weights. A penalty pulls all factors towards zero; a filter whose factor is zero can be cut out.",
            _bars,
            Question("At strength 0.02, how many of the network's 112 filters are left after 30 epochs?", LEFT, _left, _why_left),
            _strengths,
        ),
        Step(
            "The first death",
            "Here are the same factors as lines, one for each filter of the layer. They start together at 1 and part as the network finds out what it needs.",
            _death,
            Question("At strength 0.02, when does the first factor of this layer reach exactly zero?", WHEN, _when, _why_when),
        ),
        Step(
            "Why the factor sits behind the norm",
            "A batch norm divides each channel by its own standard deviation over the batch. Behind it, a factor of one half makes the channel half as loud; move the slider.",
            _places,
            Question(
                "Now the factor sits before the norm, on the convolution, and shrinks from 1 to 0.1. What does the channel say behind the norm?", SAYS, SAYS[1],
                "The norm divides the factor out again, whatever its size, until it is zero. There the penalty would meet no resistance and pull every factor down, needed or not.",
            ),
        ),
        Step(
            "Momentum in the step",
            "ISTA takes a gradient step and a soft threshold. The paper's modified APG does the same with Nesterov's momentum, and needs no second pass over the images.",
            _solvers,
            Question("Same strength, same rate, same 30 epochs: which solver leaves fewer filters?", FEWER, _fewer, _why_solver),
        ),
    ),
)  # fmt: skip
