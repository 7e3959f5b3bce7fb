"""Questions to the inference lane that a page asks once: the answer is kept for the session, until the run has gone on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from app.guard import guarded
from app.runs import is_living, row_of, store, view_of
from core.errors import WrongMoment
from core.runs.lane_client import ask

WAITING, ANSWERS = "lane-waiting", "lane-answers"
MAX_ANSWERS = 64
WAKING = "The inference lane is waking up; it answers in a few seconds."
BUSY = "The inference lane is at work; the answer comes as soon as it is there."


def looking(part: Callable[[str], None], run: str, name: str, living_s: float | None = 2.0) -> None:
    """Draw a part of a page; it looks again while it waits for the lane, or the run lives (`living_s` None: not then)."""
    waits = name in st.session_state.setdefault(WAITING, set())
    lives = living_s if living_s and is_living(row_of(run)) else None
    st.fragment(guarded(part), run_every=1.0 if waits else lives)(run)


def answer(run: str, name: str, question: str, once: bool = False, **details: Any) -> dict[str, Any] | None:
    """The lane's answer about a run after its newest epoch; until that is there, the one before it.

    None while there is none at all, or where it cannot be given: a caption says which. `name`: of the part that asks, as given to
    `looking`. `once`: while a run trains, it is not asked again at every epoch.
    """
    epochs = view_of(run).epochs
    newest = epochs[-1]["epoch"] if epochs else 0
    answers = st.session_state.setdefault(ANSWERS, {})
    key = (run, question, json.dumps(details, sort_keys=True))
    kept = answers.get(key, {"answer": None, "epoch": None, "asked": newest})
    if kept["answer"] is not None and (once or kept["epoch"] == newest):
        wait(name, False)
        return kept["answer"]
    got = ask_now(run, name, question, quiet=kept["answer"] is not None, epoch=kept["asked"] or newest, **details)
    if got is not None:  # one epoch is asked about until its answer is there, however fast the run goes on
        kept = {"answer": got, "epoch": kept["asked"] or newest, "asked": None}
    else:
        kept = kept | {"asked": kept["asked"] or newest}
    answers.pop(key, None)
    while len(answers) >= MAX_ANSWERS:
        answers.pop(next(iter(answers)))
    answers[key] = kept
    if kept["answer"] is not None:
        wait(name, got is None and not is_living(row_of(run)))
    return kept["answer"]


def known(run: str, question: str) -> dict[str, Any] | None:
    """What the lane has already said about a run; nothing is asked."""
    kept = st.session_state.get(ANSWERS, {}).get((run, question, "{}"))
    return kept["answer"] if kept else None


def ask_now(run: str, name: str, question: str, quiet: bool = False, **details: Any) -> dict[str, Any] | None:
    """The lane's answer about a run, not kept; None with a caption that says why there is none. `quiet`: without waiting for it."""
    try:
        got = ask(store().root, question, folder=str(view_of(run).folder.path), timeout_s=1.0, **details)
    except WrongMoment as problem:
        if not quiet:
            st.caption(f"{str(problem)[0].upper()}{str(problem)[1:]}")
            wait(name, False)
        return None
    if got is not None and not got.get("busy"):
        return got
    if not quiet:
        st.caption(WAKING if got is None else BUSY)
        wait(name, True)
    return None


def wait(name: str, waits: bool) -> None:
    """Note whether a part waits for the lane; the page is drawn again where that changed its rhythm of looking."""
    waiting = st.session_state.setdefault(WAITING, set())
    if (name in waiting) != waits:
        (waiting.add if waits else waiting.discard)(name)
        st.rerun()
