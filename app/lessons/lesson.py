"""What a lesson is made of: steps of two sentences and one figure, each with a prediction to make before the reveal."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Question(NamedTuple):
    """A prediction: what is asked, what one can answer, what turned out to be right, and why.

    `right` is one of `choices`, or a function that returns one of them, or None while it is not known here yet (it must first
    be timed, say). `why` is one or two sentences, or a function that makes them from what was measured.
    """

    asks: str
    choices: tuple[str, ...]
    right: str | Callable[[], str | None]
    why: str | Callable[[], str]


class Step(NamedTuple):
    """A step: its title, two sentences, a figure to play with, a question, and what is shown once one has answered.

    `figure` draws with Streamlit, its widgets' keys beginning with the lesson's key. `reveal` draws under the answer.
    """

    title: str
    says: str
    figure: Callable[[], None]
    question: Question | None = None
    reveal: Callable[[], None] | None = None


class Lesson(NamedTuple):
    """A lesson: its key in the URL, title, what it teaches in a sentence, minutes it takes, glossary terms, and its steps."""

    key: str
    title: str
    about: str
    minutes: int
    terms: tuple[str, ...]
    steps: tuple[Step, ...]
