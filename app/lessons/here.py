"""The same again on this machine: a button that asks the code of `core` what the lesson recorded.

Quick questions go to the inference lane, timings and training to a process of their own. Answers are kept for the session.
"""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from app import jobs
from app.runs import store
from core.errors import WrongMoment
from core.runs.lane_client import ask

ANSWERS, ASKED = "lesson-here", "lesson-asked"
AT_WORK = {"Run": "Running…", "Time": "Timing…", "Train": "Training…", "Ask": "Asking…"}
Name = tuple[str, str]


def run_here(
    question: str, *, key: str, label: str = "Run it here", about: str, quick: bool = False, **details: Any
) -> dict[str, Any] | None:
    """The button; the answer to `question` with these details once it has come. `about`: what happens and how long it takes."""
    name, job = (question, json.dumps(details, sort_keys=True)), f"lesson {question}"
    at_work = jobs.begun(job) or name in _asked()
    if at_work:
        _take(job)
        _ask()
    done = answer_here(question, **details)
    words = AT_WORK[label.split()[0]] if at_work else f"{label.split()[0]} it again" if done else label
    if st.button(words, key=key, icon=":material/timer:", help=about, disabled=at_work):
        if quick:
            _asked().add(name)
        else:
            settings = [f"{detail}={value}" for detail, value in details.items()]
            st.session_state.setdefault("lesson-jobs", {})[job] = name
            jobs.start(job, "lesson", question, *(word for one in settings for word in ("--set", one)))
        st.rerun()
    if failed := jobs.failure(job):
        st.error(failed, icon=":material/error:")
    return done


def waiting() -> bool:
    """Whether something is being computed: a figure then looks again soon."""
    return bool(_asked()) or any(jobs.begun(job) for job in st.session_state.get("lesson-jobs", {}))


def answer_here(question: str, **details: Any) -> dict[str, Any] | None:
    """What this machine answered in this session; None before that."""
    return _answers().get((question, json.dumps(details, sort_keys=True)))


def answers_here(question: str) -> list[dict[str, Any]]:
    """All answers of this session to a question, whatever its details."""
    return [answer for (name, _), answer in _answers().items() if name == question]


def _take(job: str) -> None:
    """The answer of a job that has ended; the whole page is then drawn anew, for its words speak of it too."""
    if jobs.begun(job) and jobs.at_work(job) is None:
        if (answer := jobs.take(job)) is not None:
            _answers()[st.session_state["lesson-jobs"][job]] = answer
        st.rerun()


def _ask() -> None:
    """Ask the lane what is still to be asked."""
    for question, details in list(_asked()):
        try:
            answer = ask(store().root, "lesson", name=question, details=json.loads(details), timeout_s=1.0)
        except WrongMoment as problem:
            st.session_state["said"] = str(problem)
            answer = {}
        if answer is not None and not answer.get("busy"):
            _asked().discard((question, details))
            if answer:
                _answers()[question, details] = answer
            st.rerun()


def _answers() -> dict[Name, dict[str, Any]]:
    return st.session_state.setdefault(ANSWERS, {})


def _asked() -> set[Name]:
    return st.session_state.setdefault(ASKED, set())
