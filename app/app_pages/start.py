"""Start: something already alive, one button, and the settings behind it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import theme
from app.app_pages import parts
from app.app_pages.comparison import comparison
from app.app_pages.settings_form import settings_form
from app.app_pages.solvers import solvers
from app.level_words import nested_phase
from app.runs import store, view_of
from app.selection import select
from core.config import RunConfig
from core.errors import BadInput, WrongMoment
from core.papers import is_published
from core.presets import PRESETS, Preset
from core.runs.control import check_data, submit
from core.runs.recorded import DEMO, recorded

BELOW = "settings-below"  # the preset below whose row of cards the settings stand
LIVES = "what hangs on it lives. Ghosts have died, orange is dying."
LEVELS_TINT = "what hangs on it has the colour of the network that it comes in with, the core at the bottom."


def page() -> None:
    """The first screen."""
    default = PRESETS[0]
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    with left:
        st.title("Watch a network learn what it can do without", anchor=False)
        st.markdown(
            "A real network trains under a penalty that lets **filters** and **residual blocks** die. What died is cut out **exactly**, "
            "the cut is **proved**, and what it buys is **measured** on this machine."
        )
    with right:
        st.button(
            "Train this here", key="train-this", type="primary", icon=":material/potted_plant:", width="stretch", on_click=_start, args=(default.config,),
            help="The same run on this machine, with embedded real data: about a minute on two cores.",
        )  # fmt: skip
        st.caption(
            f"{default.config.network} on {default.config.dataset}; about {default.minutes:g} min on two cores, nothing to download."
        )
        if st.button("Learn in 3 minutes", key="go-learn", icon=":material/school:", width="stretch"):
            st.switch_page(st.session_state["pages"]["learn"])
    _go_if_started()
    _recorded()
    st.subheader("Or choose another run", anchor=False)
    if not _cards():
        _settings()
    solvers()
    comparison()


def _recorded() -> None:
    """The recorded run that is chosen, playing; the demo first."""
    known = recorded()
    playing = view_of(st.session_state.get("recorded") or DEMO).started.get("config")
    said = LEVELS_TINT if playing and nested_phase(playing) else LIVES
    with theme.card("A recorded run, playing", f"The trunk is the path through the network; {said}", key="demo"):
        chosen = DEMO
        if len(known) > 1:  # the choice is not in the address, for the buttons below leave the page
            chosen = (
                st.segmented_control(
                    "Recorded run",
                    list(known),
                    default=DEMO,
                    format_func=lambda name: known[name].title,
                    key="recorded",
                    required=True,
                    label_visibility="collapsed",
                )
                or DEMO
            )
        words, button = st.columns([6, 1], vertical_alignment="center")
        words.caption(f"{known[chosen].say} {parts.about(view_of(chosen).started.get('config', {}))}")
        button.button(
            "Open it",
            key="open-recorded",
            icon=":material/open_in_new:",
            width="stretch",
            on_click=_open,
            args=(chosen,),
        )
        parts.tree(view_of(chosen), key=f"{chosen}-tree", follow=False, playing=True)


def _open(name: str) -> None:
    """Select a recorded run and go to its Live page."""
    select(run=name, epoch=None, site=None, unit=None)
    st.session_state["started"] = name


def _go_if_started() -> None:
    if st.session_state.pop("started", None):
        st.switch_page(st.session_state["pages"]["live"])
    if problem := st.session_state.pop("problem", None):
        st.error(problem, icon=":material/error:")


def _start(config: RunConfig, role: str = "method") -> None:
    """Queue one run and open its Live page."""
    _begin(config, lambda: submit(store(), config, role=role))


def _begin(config: RunConfig, queue: Callable[[], str]) -> None:
    """Queue what `queue` makes and open the Live page of its first run; a sentence where that cannot be."""
    try:
        check_data(config)
        name = queue()
        select(run=name, epoch=None, site=None, unit=None)
        st.session_state["started"] = name
    except (BadInput, WrongMoment) as error:
        st.session_state["problem"] = str(error)
    except OSError as error:
        st.session_state["problem"] = (
            f"The run could not be written to {store().root} ({error.strerror}); free some space or set ESPALIER_RUNS to another folder."
        )


def _settings() -> None:
    """The form of all settings, and what is wrong with them."""
    settings_form(_begin)
    _go_if_started()


def _cards() -> bool:
    """The presets; whether the settings of one stand below its row."""
    published = [p for p in PRESETS if is_published(p.name)]
    there = _rows_of_cards([p for p in PRESETS if p not in published])
    st.subheader("Or a published experiment", anchor=False)
    st.caption(
        "The paper's network, data and protocol as far as they are known; its printed numbers stand beside the outcome."
    )
    return _rows_of_cards(published) or there


def _rows_of_cards(presets: list[Preset]) -> bool:
    """Three cards a row; below a row the settings that a person asked for on one of its cards. Whether they were."""
    there = False
    for start in range(0, len(presets), 3):
        row = presets[start : start + 3]
        for column, p in zip(st.columns(3), row, strict=False):
            with column.container(border=True, key=f"card-preset-{p.name}", height="stretch"):
                _preset(p)
        if st.session_state.get(BELOW) in [p.name for p in row]:
            _settings()
            there = True
    return there


def _preset(p: Preset) -> None:
    """The card of a preset: what it shows, what it takes, train it or change it first."""
    st.markdown(f"**{p.title}**")
    st.caption(p.say)
    gone = _problem(p)
    st.caption(
        f"{p.config.network} · {p.config.dataset} · {_duration(p.minutes)} on two cores"
        + (" · data not found" if gone else "")
    )
    run, change = st.columns(2)
    run.button(
        "Train",
        key=f"preset-{p.name}",
        on_click=_start,
        args=(p.config, _role(p)),
        width="stretch",
        disabled=gone is not None,
        help=gone,
    )
    change.button("Settings", key=f"settings-{p.name}", on_click=_choose, args=(p.name,), width="stretch")


def _problem(p: Preset) -> str | None:
    try:
        check_data(p.config)
    except BadInput as error:
        return str(error)
    return None


def _duration(minutes: float) -> str:
    return (
        f"{minutes:g} min"
        if minutes < 90
        else f"{minutes / 60:.0f} h"
        if minutes < 2880
        else f"{minutes / 1440:.0f} days"
    )


def _role(p: Preset) -> str:
    return "dense control" if all(phase.method == "dense" for phase in p.config.phases) else "method"


def _choose(name: str) -> None:
    st.session_state["form-preset"] = st.session_state[BELOW] = name
