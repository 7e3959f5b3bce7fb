"""The teacher's view: every lesson and every step as a link to copy."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import streamlit as st

from app.lessons import LESSONS
from app.lessons.lesson import Lesson


def links() -> None:
    """All lessons, each with its steps as links, and all of its addresses to copy at once."""
    st.caption(
        "Open a step, set its sliders, and copy the address from the browser: it holds the step and the sliders. "
        "The addresses below lead to this computer; others need their own copy of the program, at the same address."
    )
    for start in range(0, len(LESSONS), 2):
        for at, column in enumerate(st.columns(2, gap="medium"), start):
            if at < len(LESSONS):
                with column.container(border=True, key=f"lesson-card-{LESSONS[at].key}", height="stretch"):
                    _lesson(at + 1, LESSONS[at])


def _lesson(number: int, lesson: Lesson) -> None:
    page = st.session_state["pages"]["learn"]
    st.markdown(f"**{number}. {lesson.title}** · {lesson.minutes} min")
    st.caption(lesson.about)
    for at, step in enumerate(lesson.steps, 1):
        st.page_link(page, label=f"{at}. {step.title}", query_params={"lesson": lesson.key, "step": str(at)})
    st.code(
        "\n".join(address(lesson.key, at) for at in range(1, len(lesson.steps) + 1)), language=None, wrap_lines=True
    )


def address(lesson: str, step: int) -> str:
    """The whole address of a step, as one would send it."""
    base = urlsplit(st.context.url or "http://localhost:8501/learn")
    return f"{base.scheme}://{base.netloc}{base.path}?{urlencode({'lesson': lesson, 'step': step})}"
