"""The frame of every page: navigation, the run list, the style, and the one broad catch at the page's top."""

from __future__ import annotations

import gc
import time
from typing import Literal

import streamlit as st

from app import sentences, theme
from app.app_pages import (
    attribution,
    inspecting,
    learn,
    learn_terms,
    levels,
    live,
    parts,
    present,
    run_table,
    speed,
    start,
    structure,
    take_away,
    tradeoffs,
    what_if,
)
from app.components.scripts import scripts
from app.guard import guarded
from app.runs import final_accuracy, store, strength_words
from app.selection import select, selection
from core.errors import WrongMoment
from core.runs.control import wake_dispatcher
from core.runs.families import strengths_of
from core.runs.home import PROJECT
from core.runs.recorded import recorded
from core.runs.tables import LIVING, Run

ICONS = {
    "queued": ":material/hourglass_empty:", "starting": ":material/hourglass_top:", "running": ":material/potted_plant:", "paused": ":material/pause_circle:",
    "finished": ":material/check_circle:", "stopped": ":material/stop_circle:", "failed": ":material/error:", "lost": ":material/help:",
}  # fmt: skip
SHOWN = 12
KIN = "↳ "  # a run that belongs to the family of another


@st.cache_resource
def _settle() -> float:
    """Take everything imported so far out of the garbage collector's rounds: a tick then costs a tenth."""
    gc.collect()
    gc.freeze()
    return time.time()


def pages() -> dict[str, st.Page]:
    """The pages by name, in order."""
    named = {
        "start": (start.page, "Start"),
        "live": (live.page, "Live"),
        "structure": (structure.page, "Structure"),
        "levels": (levels.page, "Levels"),
        "what-if": (what_if.page, "What if"),
        "attribution": (attribution.page, "Attribution"),
        "speed": (speed.page, "Speed"),
        "trade-offs": (tradeoffs.page, "Trade-offs"),
        "inspect": (inspecting.page, "Inspect"),
        "runs": (run_table.page, "Runs"),
        "take-away": (take_away.page, "Take away"),
        "present": (present.page, "Present"),
        "learn": (learn.page, "Learn"),
        "glossary": (learn_terms.page, "Glossary"),
    }
    return {
        name: st.Page(guarded(page), title=title, url_path=name, default=name == "start")
        for name, (page, title) in named.items()
    }


def dashboard() -> None:
    """Draw the page that the URL asks for."""
    _settle()
    st.set_page_config(page_title="Espalier", page_icon=str(PROJECT / "assets" / "icon.png"), layout="wide")
    theme.style()
    scripts()
    st.session_state["pages"] = pages()
    chosen = st.navigation(list(st.session_state["pages"].values()), position="top")
    with st.sidebar:
        run_list()
    chosen.run()


@st.fragment(run_every=3.0)
@guarded
def run_list() -> None:
    """The runs, newest first, as cards one can open; the recorded ones last."""
    if theme.turned():
        st.rerun()
    st.html('<p class="card-title" role="heading" aria-level="2">Runs</p>')
    store().mark_lost()
    wake_dispatcher(store())
    parts.said()
    rows, total = store().recent(10_000 if st.session_state.get("all-runs") else SHOWN)
    if not rows:
        st.caption("No run of your own yet. Start has the button; until then, look at a recorded one.")
    for row in rows:
        guarded(_card)(row)
    if total > SHOWN:
        st.toggle(f"show all {total}", key="all-runs")
    undo = st.session_state.get("deleted")
    if undo and st.button(f"Undo deleting {undo}", key="undo-delete", icon=":material/undo:"):
        store().set_deleted(undo, False)
        st.session_state.pop("deleted", None)
        st.rerun()
    for one in recorded().values():
        chosen = selection().get("run") == one.name
        if st.button(
            one.title, key=f"run-{one.name}", icon=":material/movie:", type=_look(chosen), width="stretch", help=one.say
        ):
            _open(one.name)


def _look(chosen: bool) -> Literal["primary", "secondary"]:
    return "primary" if chosen else "secondary"


def _open(run: str) -> None:
    """Select a run on whatever page is open; the whole page is drawn again."""
    select(run=run, epoch=None, site=None, unit=None)
    st.rerun()


def _card(row: Run) -> None:
    chosen, name = selection().get("run") == row.id, row.name or row.id
    with st.container(key=f"run-card-{row.id}"):
        says = f"{row.state}; {row.preset}, seed {row.seed}"
        if st.button(name, key=f"run-{row.id}", icon=ICONS[row.state], help=says, type=_look(chosen), width="stretch"):
            _open(row.id)
        with st.container(key=f"menu-{row.id}", horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(_line(row))
            with st.popover(f"Options of {name}", icon=":material/more_horiz:", type="tertiary"):
                st.text_input(
                    "Name", value=row.name, key=f"name-{row.id}", max_chars=80, on_change=_rename, args=(row.id,)
                )
                living = row.state in LIVING
                if st.button("Delete", key=f"delete-{row.id}", disabled=living, help="Can be undone; its files stay."):
                    _delete(row.id)


def _line(row: Run) -> str:
    kin = f"{KIN}{row.role if row.role != 'method' else strength_words(strengths_of(row.config))} · "
    return f"{kin if row.family != row.id else ''}{_state(row)}"


def _state(row: Run) -> str:
    if row.state == "finished" and row.result:
        macs = row.result["macs_per_image"]
        return f"{sentences.percent(final_accuracy(row.result['accuracy']), 1)} test · {sentences.percent(macs['compact'] / macs['dense'])} MACs"
    if row.state in ("running", "starting", "paused") and row.progress:
        return f"{row.state} · epoch {row.progress['epoch']} of {row.progress['epochs']}"
    return row.state


def _rename(run: str) -> None:
    store().rename(run, st.session_state[f"name-{run}"])


def _delete(run: str) -> None:
    try:
        store().set_deleted(run, True)
    except WrongMoment as error:
        st.session_state["said"] = str(error)
        return
    st.session_state["deleted"] = run
    if selection().get("run") == run:
        select(run=None, epoch=None, site=None, unit=None)
    st.rerun()
