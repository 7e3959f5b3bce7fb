"""What the lessons compute: questions by name, answered as plain JSON by the very functions that train, cut and time.

The lane answers the quick ones, `python -m core lesson` all of them; what a lesson shows first is recorded (`recording`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError, validate_call

from core.errors import BadInput, one_of
from core.lessons import constants, corner, depth, digits, factors, nested, proximal_step, timing, zeros

QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "zeros-product": zeros.product,
    "zeros-layer": zeros.layer,
    "corner-minima": corner.minima,
    "corner-groups": corner.groups,
    "step-values": proximal_step.values,
    "step-row": proximal_step.row,
    "factors-run": factors.run,
    "factors-place": factors.place,
    "constants-cuts": constants.constants,
    "constants-verdicts": constants.verdicts,
    "depth-stream": depth.stream,
    "depth-crossed": depth.crossed,
    "nested-answers": nested.answers,
    "nested-four": nested.four,
    "curves-speed": timing.speed,
}
RECORDED: dict[str, Callable[[], dict[str, Any]]] = {
    "zeros": zeros.recorded,
    "corner": corner.recorded,
    "proximal_step": proximal_step.recorded,
    "factors": factors.recorded,
    "constants": constants.recorded,
    "depth": depth.recorded,
    "nested": nested.recorded,
    "digits": digits.trained,
}
"""By the name of a lesson: everything that it shows before anybody asks."""


def answered(name: str, details: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question by name. Raises BadInput for a name or a detail that there is none of."""
    if name not in QUESTIONS:
        raise one_of("question of a lesson", name, QUESTIONS)
    known = inspect.signature(QUESTIONS[name]).parameters
    for key in details:
        if key not in known:
            raise one_of(f"detail of {name}", key, known)
    try:
        return validate_call(QUESTIONS[name])(**details)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(f"detail {where} of {name}: {first['msg']}; got {str(first['input'])[:40]!r}") from None
