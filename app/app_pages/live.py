"""Live: a run as it trains, and the controls that steer it."""

from __future__ import annotations

from statistics import median
from typing import Any

import streamlit as st

from app import theme
from app.app_pages import parts, run_tiles
from app.app_pages.beside_paper import beside_paper
from app.app_pages.family import family, search_line
from app.app_pages.live_figures import figures
from app.app_pages.prediction import prediction
from app.components.live_chart import plotly_loader
from app.components.news import hear, tell
from app.glossary import glossary_row
from app.guard import guarded
from app.level_words import nested_phase
from app.runs import RunView, config_of, is_living, row_of, store, view_of
from core.errors import BadInput, WrongMoment
from core.overlaps import notes_of
from core.phases import KIND_WORDS
from core.runs.control import resume_in_background, steer
from core.runs.tables import Run

TICK_S = 1.0
SHORT_S = 3.0
"""Seconds: the figures of shorter epochs are drawn with every tick; those of longer ones when something is new."""
_FROM_NOTHING = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""Strengths to choose from where a run began with none."""


def page() -> None:
    """The selected run, live."""
    plotly_loader()
    run = parts.chosen_run()
    if run is None:
        parts.invitation("No run yet: the network, its accuracy and what dies appear here as soon as one trains.")
        return
    row, often = row_of(run), has_short_epochs(parts.records_of(run))
    st.fragment(_pulse, run_every=TICK_S if is_living(row) else None)(run, often)
    if not often:
        st.fragment(_watch)(run)
    glossary_row("filter", "block", "factor", "strength", "survival", "MAC", "seed")


def has_short_epochs(view: RunView) -> bool:
    """Whether something new is there to be seen with every tick, or nearly."""
    return median([epoch["seconds"] for epoch in view.epochs[-5:]] or [0.0]) < SHORT_S


def news_of(view: RunView) -> str:
    """What the figures show, as a word that changes with it."""
    return f"{len(view.epochs)} epochs, {len(view.speeds)} speeds, {len(view.log)} events"


@guarded
def _pulse(run: str, often: bool) -> None:
    """Where the run stands, every second, and its figures where epochs are short: one look is cheaper than two.

    The whole page anew where more than the figures changes.
    """
    row, view = row_of(run), view_of(run)
    asked = [] if row is None else [(c.seq, c.applied) for c in store().controls(run)]
    now = (row.state if row else "recorded", asked, bool(view.epochs), has_short_epochs(view))
    was = st.session_state.get(f"pulse-{run}")
    st.session_state[f"pulse-{run}"] = now
    if was is not None and was != now and (was[:3] != now[:3] or now[3] != often):
        st.rerun()
    parts.header(row, view)
    parts.said()
    if row is not None:
        search_line(row)
    for note in notes_of(row.config if row else view.started["config"]):
        st.caption(note)
    _progress(row, view)
    if often:
        st.fragment(_watch)(run)
    else:
        tell(run, news_of(view))


@guarded
def _watch(run: str) -> None:
    """One look at its network, figures, family and answers."""
    row, view = row_of(run), view_of(run)
    parts.warn_if_empty(view)
    theme.kpi_row(run_tiles.tiles(view, row))
    with theme.card("The network as it stands", key="tree"):
        parts.tree(view, key=f"tree-{run}", follow=True)
    if row is not None:
        _controls(row, view)
    if nested_phase(config_of(row, view)) is not None:
        st.page_link(
            st.session_state["pages"]["levels"],
            label="Networks inside one another: see its levels",
            icon=":material/layers:",
        )
    beside_paper(row, view)
    if view.started and view.epochs:
        figures(view)
    elif is_living(row):
        st.caption("The network and its data are being made ready; the first numbers come within a few seconds.")
    family(run)
    prediction(run)
    hear(run, news_of(view))


def _progress(row: Run | None, view: RunView) -> None:
    if row is None or row.state not in ("running", "paused", "starting"):
        return
    done = row.progress or {}
    words = (
        "starting"
        if not done
        else f"epoch {done['epoch']} of {done['epochs']} · {done['images_per_s']:,.0f} images/s · {parts.clock(done['seconds_left'])} left"
    )
    if done and done["fraction"] >= 1:
        words = "trained; cutting, proving and timing the compact network"
    st.progress(
        min(1.0, max(0.0, done.get("fraction", 0.0))), text=f"paused · {words}" if row.state == "paused" else words
    )


def _controls(row: Run, view: RunView) -> None:
    """Pause, continue, stop, measure, and a strength for each kind; or continue what ended early."""
    if row.state in ("lost", "stopped", "failed"):
        if not view.can_continue():
            st.caption("This run came as an export: its weights can be asked and cut, not trained on.")
            return
        st.button(
            "Continue from the last checkpoint",
            key="resume",
            icon=":material/play_arrow:",
            type="primary",
            on_click=_resume,
            args=(row.id,),
        )
        return
    if not is_living(row):
        return
    with theme.card(
        "Steer", "What you change here takes effect at the next step and is marked on every time axis.", key="steer"
    ):
        kinds = view.steerable()
        columns = st.columns([1, 1, 1.3, *[2.2] * len(kinds)], vertical_alignment="bottom")
        paused = row.state == "paused"
        columns[0].button(
            "Continue" if paused else "Pause", key="pause", icon=":material/play_arrow:" if paused else ":material/pause:", width="stretch", on_click=_ask,
            args=(row.id, "continue" if paused else "pause"), disabled=row.state in ("queued", "starting"),
        )  # fmt: skip
        columns[1].button(
            "Stop", key="stop", icon=":material/stop:", width="stretch", on_click=_ask, args=(row.id, "stop")
        )
        columns[2].button(
            "Measure speed",
            key="measure-now",
            icon=":material/timer:",
            width="stretch",
            on_click=_ask,
            args=(row.id, "measure"),
            disabled=row.state in ("queued", "starting"),
        )
        for column, kind in zip(columns[3:], kinds, strict=True):
            _strength(column, row, view, kind)
        if any(c.applied is None for c in store().controls(row.id)):
            st.caption(
                "Asked; it takes effect at the next step"
                + (" (a paused run goes on as soon as a slot is free)." if row.state == "paused" else ".")
            )


def _strength(column: Any, row: Run, view: RunView, kind: str) -> None:
    """A slider of the strength of one kind; its position is what the newest change asked for.

    What is asked elsewhere (another tab, the command line) is a new slider, drawn where it should stand: a slider
    moved by the program can be answered by the browser with where it stood before, which would steer the run.
    """
    start = view.phase().get(f"strength_{kind}", 0.0)
    asked = [c.value for c in store().controls(row.id) if c.kind == kind and c.value is not None]
    now = asked[-1] if asked else start
    key = f"strength-{kind}-{row.id}"
    drawn = st.session_state.get(f"{key}-drawn", (0, start, start))
    if drawn[1:] != (start, now):
        drawn = (drawn[0] + 1, start, now)
    st.session_state[f"{key}-drawn"] = drawn
    steps = [start * m for m in (0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10)] if start else _FROM_NOTHING
    options = sorted({0.0, *(round(value, 6) for value in steps), *asked, now})
    column.select_slider(
        f"Strength on {KIND_WORDS[kind]}", options, value=now, key=f"{key}-{drawn[0]}", on_change=_set_strength, args=(row.id, kind, key),
        format_func=lambda v: f"{v:g}", help=f"How hard the penalty pushes {view.penalised()}s towards zero. The schedule scales it over the run.",
    )  # fmt: skip


def _ask(run: str, control: str) -> None:
    try:
        steer(store(), run, control)
    except (BadInput, WrongMoment) as error:
        st.session_state["said"] = str(error)


def _set_strength(run: str, kind: str, key: str) -> None:
    number, start, stood = st.session_state[f"{key}-drawn"]
    value = st.session_state[f"{key}-{number}"]
    try:
        steer(store(), run, "strength", f"{kind}={value}")
        st.session_state[f"{key}-drawn"] = (number, start, value)  # its own move: the same slider goes on
    except (BadInput, WrongMoment) as error:
        st.session_state["said"] = str(error)
        st.session_state[f"{key}-drawn"] = (number + 1, start, stood)  # refused: drawn anew where it stood


def _resume(run: str) -> None:
    try:
        resume_in_background(store(), run)
    except (BadInput, WrongMoment) as error:
        st.session_state["said"] = str(error)
