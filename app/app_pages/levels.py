"""Levels: several networks in one, seen level by level."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import level_charts, theme
from app.app_pages import parts
from app.app_pages.findings import what_nesting_gains
from app.app_pages.levels_bands import bands
from app.app_pages.levels_budget import budget
from app.app_pages.levels_cost import level_cost
from app.app_pages.levels_filters import filters
from app.app_pages.levels_predict import predict
from app.app_pages.levels_take import take_levels
from app.asking import looking
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row
from app.guard import guarded
from app.level_words import NESTED, bytes_sentence, level_tiles, nested_phase
from app.runs import RunView, config_of, is_living, row_of, store, view_of
from app.selection import select
from core.errors import BadInput, WrongMoment
from core.presets import preset
from core.runs.control import submit
from core.runs.recorded import recorded

PRESET = "digits-nested"


def page() -> None:
    """The selected run's levels; without a nested run, what that is and the button that makes one."""
    plotly_loader(key="plotly-loader-levels")
    run = parts.chosen_run()
    row = row_of(run) if run else None
    if run is None or nested_phase(config_of(row, view_of(run))) is None:
        _none(run)
        return
    view = parts.records_of(run)
    parts.header(row, view)
    st.fragment(_watch, run_every=1.0 if is_living(row) else None)(run)
    if not view.epochs:
        return
    looking(bands, run, "bands", living_s=None)
    level_cost(row, view)
    looking(budget, run, "budget", living_s=None)
    predict(run)
    _families(view)
    looking(filters, run, "filters", living_s=None)
    left, right = st.columns(2)
    with left:
        st.fragment(_accuracy, run_every=1.0 if is_living(row) else None)(run)
    with right:
        take_levels(run)
    what_nesting_gains()
    words = (
        "level",
        "core level",
        "NestedNet",
        "mask",
        "consensus",
        "class hierarchy",
        "mutual information",
        "MAC",
        "quartile",
    )
    glossary_row(*words, "certificate")


def _none(run: str | None) -> None:
    said = f"The run chosen on the left holds one network. {NESTED}" if run else NESTED
    with theme.card("No nested run yet" if run is None else "One network only", said, key="no-levels"):
        own = [(row.id, row.name or row.id) for row in store().recent(200)[0] if nested_phase(row.config) is not None]
        with_us = [
            (name, one.title) for name, one in recorded().items() if nested_phase(view_of(name).started["config"])
        ]
        columns = st.columns(4)
        p = preset(PRESET)
        columns[0].button(
            "Train two networks in one", key="start-nested", icon=":material/potted_plant:", type="primary", width="stretch",
            on_click=_start, help=f"{p.say} {p.config.network} on {p.config.dataset}, about {p.minutes:g} min on two cores.",
        )  # fmt: skip
        for column, (other, title) in zip(columns[1:], with_us + own, strict=False):
            column.button(
                f"Open {title}", key=f"open-{other}", width="stretch", on_click=select,
                kwargs={"run": other, "epoch": None, "site": None, "unit": None},
            )  # fmt: skip
        st.caption(f"{p.say} About {p.minutes:g} min on two cores, nothing to download.")
        parts.said()
    what_nesting_gains()
    glossary_row(
        "level", "NestedNet", "mask", "consensus", "class hierarchy", "dense control", "standard deviation", "seed"
    )


def _start() -> None:
    try:
        select(run=submit(store(), preset(PRESET).config), epoch=None, site=None, unit=None)
    except (BadInput, WrongMoment) as error:
        st.session_state["said"] = str(error)


@guarded
def _watch(run: str) -> None:
    """The tiles; while the run lives, what its levels reach, and a new look at the page when it ends."""
    row, view = row_of(run), view_of(run)
    key = f"levels-state-{run}"
    was, now = st.session_state.get(key), (row.state if row else "", bool(view.epochs))
    st.session_state[key] = now
    if was is not None and was != now:
        st.rerun()
    result = view.result or {}
    if result.get("levels"):
        theme.kpi_row(level_tiles(result))
    elif row is not None and is_living(row):
        done = row.progress or {}
        words = f"epoch {done['epoch']} of {done['epochs']}" if done else "it is being made ready"
        st.progress(
            min(1.0, done.get("fraction", 0.0)),
            text=f"{row.state} · {words} · cost, speed and proof of each level come at the end",
        )


def _families(view: RunView) -> None:
    """Card 4: coarse classes at the core, fine ones at the full level."""
    for family in (view.result or {}).get("families") or []:
        levels = len(view.result["levels"]) if view.result else 0
        spec = level_charts.family_accuracy(family, levels)
        table = pd.DataFrame({
            "family": family["names"], "test images": family["images"], f"level {family['level']}: family": family["coarse"],
            "full level: family of its class": family["mapped"], "full level: exact class": family["fine"],
        })  # fmt: skip
        parts.chart(
            "Class hierarchy: families at the core, classes at the full level" if family["level"] == 0 else f"Class hierarchy at level {family['level']}",
            spec, table, key=f"families-{family['level']}", height=max(260, 30 * len(family["names"]) + 110),
            note="The card above says for one image which family and which class are named, and whether they fit. One seed.",
        )  # fmt: skip


@guarded
def _accuracy(run: str) -> None:
    """Card 6: every level, epoch by epoch; one file against several."""
    view = view_of(run)
    spec = view.kept("levels figure", lambda: level_charts.level_lines(view.epochs))
    seen = [e for e in view.epochs if e.get("levels")]
    table = pd.DataFrame([{"epoch": e["epoch"], **{f"level {k}": a for k, a in enumerate(e["levels"])}} for e in seen])
    result = view.result or {}
    note = (
        bytes_sentence(result) if "levels" in result else "All levels are in one file; its size is counted at the end."
    )
    parts.chart("While it trains: every level by epoch", spec, table, key="level-lines", height=320, note=note)
