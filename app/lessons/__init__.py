"""The lessons: what each says, asks and shows."""

from app.lessons import constants, corner, curves, depth, factors, nested, proximal_step, zeros
from app.lessons.lesson import Lesson

LESSONS: tuple[Lesson, ...] = (
    zeros.LESSON,
    corner.LESSON,
    proximal_step.LESSON,
    factors.LESSON,
    constants.LESSON,
    depth.LESSON,
    nested.LESSON,
    curves.LESSON,
)


def lesson_of(key: str) -> Lesson | None:
    """The lesson of that key; None where there is none."""
    return next((lesson for lesson in LESSONS if lesson.key == key), None)
