"""One step of a lesson: its words, the figure to play with, the prediction, and what is shown once it is made."""

from __future__ import annotations

import html

import streamlit as st

from app.app_pages import parts
from app.glossary import glossary_row
from app.guard import guarded
from app.lessons import here, progress
from app.lessons.lesson import Lesson, Question, Step


def step_page(lesson: Lesson, place: int, number: int) -> None:
    """The step `number`, from 1, of the lesson at `place` in the list."""
    step = lesson.steps[number - 1]
    _header(lesson, place, number)
    parts.said()
    figure, words = st.columns([3, 2], gap="medium")
    with figure:
        st.fragment(_figure, run_every=1.0 if here.waiting() else None)(step)
    with words:
        st.html(
            f'<p class="step-title" role="heading" aria-level="2">{html.escape(step.title)}</p>'
            f'<p class="step-says">{html.escape(step.says)}</p>'
        )
        if step.question:
            _question(lesson, number, step, step.question)
    glossary_row(*lesson.terms)


def dots(lesson: Lesson, now: int | None = None) -> str:
    """A dot for every step: filled where it was answered rightly, half filled where otherwise, ringed where one stands."""
    looks, words = [], []
    for number, step in enumerate(lesson.steps, 1):
        said = progress.given(lesson.key, number)
        look = "" if said is None or step.question is None else "right" if said == right_of(step.question) else "other"
        looks.append(f'<i class="{look}{" now" if number == now else ""}"></i>')
        words.append({"": "open", "right": "answered rightly", "other": "answered otherwise"}[look])
    told = ", ".join(f"step {number} {word}" for number, word in enumerate(words, 1))
    return f'<div class="dots" role="img" aria-label="{told}">{"".join(looks)}</div>'


def right_of(question: Question) -> str | None:
    """The right choice; None while it is not known here yet."""
    return question.right() if callable(question.right) else question.right


def why_of(question: Question) -> str:
    """Why, in a sentence or two."""
    return question.why() if callable(question.why) else question.why


def go_to(number: int | None) -> None:
    """To another step, or, with None, back to the lessons."""
    if number is None:
        for key in ("lesson", "step"):
            st.query_params.pop(key, None)
    else:
        st.query_params["step"] = str(number)


def _header(lesson: Lesson, place: int, number: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="lesson-header"):
        st.button(
            "Lessons", key="all-lessons", icon=":material/arrow_back:", type="tertiary", on_click=go_to, args=(None,)
        )
        st.html(
            f'<span class="lesson-number">Lesson {place}, step {number} of {len(lesson.steps)}</span>'
            f'<p class="lesson-title" style="margin:0" role="heading" aria-level="1">{html.escape(lesson.title)}</p>',
            width="stretch",
        )
        st.html(dots(lesson, number), width="content")
        if progress.answers().get(lesson.key):
            st.button("Start over", key="start-over", type="tertiary", on_click=_start_over, args=(lesson.key,))
        st.button(
            "Back", key="step-back", shortcut="ArrowLeft", disabled=number == 1, on_click=go_to, args=(number - 1,)
        )
        last = number == len(lesson.steps)
        st.button(
            "Done" if last else "Next", key="step-next", type="primary", shortcut="ArrowRight",
            on_click=go_to, args=(None if last else number + 1,),
        )  # fmt: skip


def _start_over(lesson: str) -> None:
    progress.forget(lesson)
    go_to(1)


@guarded
def _figure(step: Step) -> None:
    step.figure()


def _question(lesson: Lesson, number: int, step: Step, question: Question) -> None:
    said = progress.given(lesson.key, number)
    st.html(f'<p class="asks">{html.escape(question.asks)}</p>')
    if said is None:
        with st.container(key=f"answer-{lesson.key}-{number}"):
            for at, choice in enumerate(question.choices):
                st.button(
                    choice, key=f"choice-{lesson.key}-{number}-{at}", width="stretch",
                    on_click=progress.give, args=(lesson.key, number, choice),
                )  # fmt: skip
        return
    st.html(judged(question, said))
    if step.reveal:
        guarded(step.reveal)()


def judged(question: Question, said: str) -> str:
    """The choices with what was said and what is right, and why; where that is not known yet, what would tell."""
    right = right_of(question)
    rows = []
    for choice in question.choices:
        mark, look = (
            ("✓", "is-right") if choice == right else ("✗", "is-wrong") if choice == said and right else ("·", "")
        )
        own = " (your prediction)" if choice == said else ""
        told = '<span class="unseen">: right</span>' if choice == right else ""
        rows.append(
            f'<div role="listitem" class="{look}"><span aria-hidden="true">{mark}</span><span>{html.escape(choice)}{own}{told}</span></div>'
        )
    head = "Your prediction is noted." if right is None else "Right." if said == right else "Not this time."
    look = "verdict" if said == right else "verdict not-it"
    return f'<div class="choices" role="list">{"".join(rows)}</div><p class="{look}"><b>{head}</b> {html.escape(why_of(question))}</p>'
