"""Which steps a person has answered, and how: kept for the session and in this browser, nowhere else."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.components.kept_here import kept_here

ANSWERS, KNOWN, KEY = "lesson-answers", "lesson-answers-known", "lesson-kept"


def answers() -> dict[str, dict[str, str]]:
    """The choice made in each step, by lesson and by the step's number from 1."""
    return st.session_state.setdefault(ANSWERS, {})


def given(lesson: str, number: int) -> str | None:
    """What was answered in a step; None before that."""
    return answers().get(lesson, {}).get(str(number))


def give(lesson: str, number: int, choice: str) -> None:
    """Note the answer to a step; the first one counts."""
    answers().setdefault(lesson, {}).setdefault(str(number), choice)


def forget(lesson: str) -> None:
    """Start a lesson over."""
    answers().pop(lesson, None)


def keep() -> None:
    """Bring back what this browser kept, and have it keep what is answered: call it once per full run."""
    kept_here(answers(), known=KNOWN in st.session_state, key=KEY, on_kept=_told)


def _told() -> None:
    """What the browser kept comes in; what was answered in this session holds against it."""
    for lesson, steps in sound(st.session_state[KEY].kept).items():
        answers()[lesson] = steps | answers().get(lesson, {})
    st.session_state[KNOWN] = True


def sound(kept: Any) -> dict[str, dict[str, str]]:
    """Of what a browser kept, the part that has the form of answers."""
    if not isinstance(kept, dict):
        return {}
    return {
        str(lesson): {str(n): choice for n, choice in steps.items() if isinstance(choice, str)}
        for lesson, steps in kept.items()
        if isinstance(steps, dict)
    }
