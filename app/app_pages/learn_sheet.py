"""All steps on one sheet to print: words, questions with their choices, figures, and the answers where one wants them."""

from __future__ import annotations

import html

import streamlit as st

from app import theme
from app.app_pages.learn_step import right_of, why_of
from app.guard import guarded
from app.lessons import LESSONS
from app.lessons.lesson import Lesson

FIGURE = 480
"""Width of a figure in pixels, on the screen and on paper: a figure does not measure itself again when it is printed."""
PRINT = """
<style>
.sheet-lesson { font-size: 22px; font-weight: 700; margin: 10px 0 2px; } .sheet-step { font-weight: 650; font-size: 16px; margin: 0 0 4px; }
.sheet p { margin: 0 0 6px; line-height: 1.5; } .sheet ol { margin: 4px 0 8px 1.3em; padding: 0; list-style: none; } .sheet li::before { content: "☐  "; }
@media print {
  @page { margin: 14mm; }
  header, [data-testid="stHeader"], [data-testid="stSidebar"], [data-testid="stToolbar"], [data-testid="stStatusWidget"], .st-key-sheet-choices,
  .st-key-view, [data-testid="stButton"], [data-testid="stPopover"], [data-testid="stSlider"], [data-testid="stButtonGroup"] { display: none !important; }
  html, body, #root, .stApp, [data-testid="stAppViewContainer"], [data-testid="stMain"], section { position: static !important; height: auto !important; overflow: visible !important; display: block !important; }
  .stApp { background: #fff !important; } .stMainBlockContainer { padding: 0 !important; max-width: none !important; zoom: 0.7; }
  div[class*="st-key-sheet-step-"] { break-inside: avoid; } div[class*="st-key-sheet-lesson-"] { break-before: page; }
  div[class*="st-key-sheet-lesson-first"] { break-before: auto; }
}
</style>
"""


# On white paper a dark page is turned into a light one: lightness inverted, hues kept, pictures as they are.
PRINT_DARK = """
<style>
@media print {
  .stMainBlockContainer { filter: invert(1) hue-rotate(180deg); }
  .stMainBlockContainer [data-testid="stImage"] img { filter: invert(1) hue-rotate(180deg); }
}
</style>
"""


def sheet() -> None:
    """What is wanted on it, then lesson after lesson."""
    st.html(f"{PRINT}{PRINT_DARK}" if theme.is_dark() else PRINT)
    keys = [lesson.key for lesson in LESSONS]
    titles = {lesson.key: f"{number}. {lesson.title}" for number, lesson in enumerate(LESSONS, 1)}
    with st.container(horizontal=True, vertical_alignment="bottom", key="sheet-choices"):
        chosen = st.selectbox("On the sheet", ["all", *keys], format_func=lambda k: titles.get(k, "All lessons"), key="sheet", bind="query-params", width=420)  # fmt: skip
        figures = st.toggle("Figures", value=True, key="sheet-figures", bind="query-params")
        answers = st.toggle("Answers at the end", key="sheet-answers", bind="query-params")
        st.caption(
            "Print with the browser (Ctrl or ⌘ and P): navigation and buttons stay off the paper.",
            width="content",
        )
    shown = [lesson for lesson in LESSONS if chosen in ("all", lesson.key)]
    for at, lesson in enumerate(shown):
        with st.container(key=f"sheet-lesson-{'first' if at == 0 else lesson.key}"):
            _lesson(titles[lesson.key], lesson, figures)
    if answers:
        with st.container(key="sheet-lesson-answers"):
            _answers(shown, titles)


def _lesson(title: str, lesson: Lesson, figures: bool) -> None:
    st.html(
        f'<div class="sheet"><p class="sheet-lesson" role="heading" aria-level="2">{html.escape(title)}</p><p>{html.escape(lesson.about)}</p></div>'
    )
    for number, step in enumerate(lesson.steps, 1):
        with st.container(key=f"sheet-step-{lesson.key}-{number}"):
            row = st.container(horizontal=True, gap="medium")
            words, figure = row.container(width="stretch"), row.container(width=FIGURE) if figures else None
            asked = ""
            if step.question:
                choices = "".join(f"<li>{html.escape(choice)}</li>" for choice in step.question.choices)
                asked = f"<p><b>{html.escape(step.question.asks)}</b></p><ol>{choices}</ol>"
            words.html(
                f'<div class="sheet"><p class="sheet-step" role="heading" aria-level="3">{number}. {html.escape(step.title)}</p>'
                f"<p>{html.escape(step.says)}</p>{asked}</div>"
            )
            if figure is not None:
                with figure:
                    guarded(step.figure)()


def _answers(shown: list[Lesson], titles: dict[str, str]) -> None:
    st.html('<p class="sheet-lesson" role="heading" aria-level="2">Answers</p>')
    for lesson in shown:
        rows = "".join(
            f"<p><b>{number}. {html.escape(right_of(step.question) or 'To be measured.')}</b> {html.escape(why_of(step.question))}</p>"
            for number, step in enumerate(lesson.steps, 1)
            if step.question
        )
        st.html(f'<div class="sheet"><p class="sheet-step">{html.escape(titles[lesson.key])}</p>{rows}</div>')
