"""How many runs the form starts: one, a family over strengths and seeds, or a search for the strength."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.runs import store
from core.config import RunConfig
from core.machine import slots
from core.runs import searching
from core.runs.families import experiment, numbers, sweep, whole_numbers

ONE, SWEEP, SEARCH = "These settings", "A sweep over strengths", "Find the strength"
CONTROLS = "Also queue both controls: the dense network trained equally long, and the cut shape trained from scratch"


def way_of_training() -> str:
    """Which of the three ways: one setting, a sweep, or a search towards a target."""
    chosen = st.segmented_control(
        "Train", [ONE, SWEEP, SEARCH], default=ONE, key="form-way",
        help="All runs of a sweep or a search are ordinary runs in the queue, shown as one family.",
    )  # fmt: skip
    return chosen or ONE


def family_fields(way: str, preset: str) -> dict[str, Any]:
    """The widgets of that way."""
    chosen: dict[str, Any] = {}
    columns = st.columns([2, 1, 1]) if way != ONE else [st.container(), st.columns([1, 3])[0]]
    if way == SWEEP:
        chosen["factors"] = columns[0].text_input(
            "Factors on the strengths", "0.25, 0.5, 1, 2, 4", key=f"{preset}-factors",
            help="A run for each: every strength below times the factor. Numbers above 0, with commas.",
        )  # fmt: skip
    if way == SEARCH:
        chosen["percent"] = columns[0].number_input(
            "Leave at most (% of the MACs)", 1, 99, 50, key=f"{preset}-percent",
            help="The strengths below are tried first, then scaled up or down until a run leaves this much or just below it.",
        )  # fmt: skip
        chosen["most"] = columns[1].number_input(
            "Train at most (runs)", 1, 50, 6, key=f"{preset}-most", help="The search ends there, whatever it has found."
        )
    else:
        chosen["seeds"] = columns[1].text_input(
            "Seeds", "", key=f"{preset}-seeds", placeholder="0, 1, 2",
            help="A run for each seed, with commas. Empty: the one seed below.",
        )  # fmt: skip
    if way == SWEEP:
        chosen["warm"] = st.checkbox(
            "Warm start: each run starts from the weights of the one before it, weakest first",
            key=f"{preset}-warm",
        )
    chosen["controls"] = st.checkbox(
        CONTROLS + (", of the run that is chosen" if way == SEARCH else ""), key=f"{preset}-controls"
    )
    if way != ONE:
        at_once = "one run trains" if slots() == 1 else f"{slots()} runs train"
        st.caption(f"They wait in the queue: {at_once} at a time on this machine.")
    return chosen


def queue(way: str, config: RunConfig, chosen: dict[str, Any]) -> str:
    """Queue what was asked for; returns the first run's name. BadInput where a field breaks a rule."""
    if way == SEARCH:
        share = chosen["percent"] / 100
        family = searching.begin(store(), config, share, most=chosen["most"], controls=chosen["controls"])
        searching.in_background(store(), family)
        return family
    seeds = whole_numbers(chosen["seeds"], "Seeds")
    if way == SWEEP:
        factors = numbers(chosen["factors"], "Factors on the strengths")
        return sweep(store(), config, factors, seeds=seeds, controls=chosen["controls"], warm=chosen["warm"])[0]
    names = list(experiment(store(), config, seeds or [config.seed], chosen["controls"]))
    return names[0]
