"""Learn: short lessons to play with, each a few steps with a prediction before the reveal; a teacher's view of them."""

from __future__ import annotations

import html

import streamlit as st

from app.app_pages.learn_sheet import sheet
from app.app_pages.learn_step import dots, step_page
from app.app_pages.learn_teacher import links
from app.components.live_chart import plotly_loader
from app.lessons import LESSONS, lesson_of, progress
from app.lessons.lesson import Lesson

VIEWS = ("Lessons", "Teacher's view", "Sheet to print")
STYLE = """
<style>
.lesson-number { font-size: 13px; color: var(--tile-soft); } .lesson-title { font-weight: 650; font-size: 15.5px; line-height: 1.35; margin: 2px 0 4px; }
.lesson-about { font-size: 13.5px; line-height: 1.45; color: var(--tile-soft); margin: 0; text-wrap: pretty; }
.dots { display: flex; gap: 5px; align-items: center; height: 14px; } .dots i { width: 9px; height: 9px; border-radius: 50%; border: 1.5px solid var(--tile-soft); }
.dots i.right, .dots i.other { background: var(--tile-soft); } .dots i.other { background: linear-gradient(90deg, var(--tile-soft) 50%, transparent 50%); }
.dots i.now { outline: 2px solid #c8701a; outline-offset: 2px; }
div[class*="st-key-lesson-card-"] { background: var(--tile-card); border-color: var(--tile-line) !important; border-radius: 10px; }
div[class*="st-key-lesson-card-"] > [data-testid="stElementContainer"]:has(button) { margin-top: auto; }
.step-title { font-weight: 680; font-size: 20px; line-height: 1.3; margin: 0 0 6px; } .step-says { font-size: 15.5px; line-height: 1.55; margin: 0; text-wrap: pretty; }
.asks { font-weight: 620; font-size: 15px; line-height: 1.45; margin: 4px 0 0; }
.choices > div { display: flex; gap: 8px; padding: 2px 0; font-size: 14.5px; line-height: 1.45; }
.choices span:first-child { flex: none; width: 1.1em; text-align: center; } .choices .is-right { font-weight: 650; } .choices .is-wrong { color: var(--tile-soft); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.verdict { border-left: 4px solid #2f7d5b; padding: 2px 0 2px 12px; margin: 8px 0 0; font-size: 14.5px; line-height: 1.5; text-wrap: pretty; } .verdict.not-it { border-color: #c8701a; }
div[class*="st-key-answer-"] { gap: 0.4rem; } div[class*="st-key-answer-"] button { justify-content: flex-start; text-align: left; min-height: 2.2rem; } div[class*="st-key-answer-"] button > * { justify-content: flex-start; width: 100%; }
[data-testid="stLayoutWrapper"]:has(> .st-key-learn-parts) { display: none; }
</style>
"""


def page() -> None:
    """The lessons, or the step that the URL names."""
    st.html(STYLE)
    with st.container(key="learn-parts"):
        plotly_loader()
        progress.keep()
    wanted = st.query_params.get("lesson")
    lesson = lesson_of(wanted) if wanted else None
    if lesson is not None:
        number = st.query_params.get("step", "1")
        if number.isdigit() and 1 <= int(number) <= len(lesson.steps):
            return step_page(lesson, LESSONS.index(lesson) + 1, int(number))
        _overview(
            f"“{lesson.title}” has steps 1 to {len(lesson.steps)}; the link asks for step {number}. Choose a step here."
        )
    elif wanted:
        _overview(f"There is no lesson “{wanted}”; these are the lessons.")
    else:
        _overview()


def _overview(problem: str = "") -> None:
    """All lessons, as cards, links or a sheet."""
    left, right = st.columns([5, 4], vertical_alignment="bottom")
    with left:
        st.title("Learn", anchor=False)
        st.caption(
            "A few minutes each: look, predict, then see. Nothing to install, no account; this browser keeps your progress."
        )
    with right, st.container(horizontal_alignment="right"):
        view = st.segmented_control("View", VIEWS, default=VIEWS[0], key="view", bind="query-params", required=True, label_visibility="collapsed")  # fmt: skip
    if problem:
        st.warning(problem, icon=":material/link_off:")
    if view == VIEWS[1]:
        links()
    elif view == VIEWS[2]:
        sheet()
    else:
        _cards()


def _cards() -> None:
    open_ones = [lesson.key for lesson in LESSONS if _left(lesson)]
    for start in range(0, len(LESSONS), 4):
        for at, column in enumerate(st.columns(4), start):
            if at < len(LESSONS):
                with column.container(border=True, key=f"lesson-card-{LESSONS[at].key}", height="stretch"):
                    _card(at + 1, LESSONS[at], next_one=open_ones[:1] == [LESSONS[at].key])


def _left(lesson: Lesson) -> list[int]:
    """The steps whose question waits for an answer."""
    said = progress.answers().get(lesson.key, {})
    return [n for n, step in enumerate(lesson.steps, 1) if step.question and str(n) not in said]


def _card(number: int, lesson: Lesson, next_one: bool) -> None:
    said, left = progress.answers().get(lesson.key, {}), _left(lesson)
    st.html(
        f'<span class="lesson-number">Lesson {number} · {lesson.minutes} min · {len(lesson.steps)} steps</span>'
        f'<p class="lesson-title" role="heading" aria-level="2">{html.escape(lesson.title)}</p>'
        f'<p class="lesson-about">{html.escape(lesson.about)}</p>'
    )
    st.html(dots(lesson))
    words = "Begin" if not said else "Go on" if left else "Look again"
    first = left[0] if said and left else 1
    st.button(
        words, key=f"begin-{lesson.key}", type="primary" if next_one else "secondary", width="stretch",
        icon=":material/school:", on_click=_open, args=(lesson.key, first),
    )  # fmt: skip


def _open(lesson: str, number: int) -> None:
    st.query_params["lesson"], st.query_params["step"] = lesson, str(number)
