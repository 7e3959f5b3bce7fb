"""The errors a person can meet: each says where, the rule, what came, and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """A value from outside breaks a rule; the message is one sentence with the remedy."""


class WrongMoment(RuntimeError):
    """The request is sound but cannot be served in the present state."""


class TraceError(BadInput):
    """A network could not be followed; names the module and what to do."""


class PlanError(BadInput):
    """A removal plan does not fit the network it is applied to."""


class DamagedFile(BadInput):
    """A file is missing, cut short or not what its name says."""


def one_of(where: str, got: object, valid: Iterable[str]) -> BadInput:
    """The error for an unknown choice: names the place, what came, and the nearest valid choice."""
    choices = sorted(valid)
    near = max(choices, key=lambda choice: _likeness(choice, str(got)), default=None)
    hint = f"; did you mean {near!r}?" if near is not None and _likeness(near, str(got)) > 0.5 else ""
    return BadInput(f"{where} must be one of {', '.join(choices)}; got {str(got)!r}{hint}")


def _likeness(choice: str, got: str) -> float:
    """How alike two words are; a common beginning counts twice, as people mistype ends."""
    common = _common(choice, got) / max(1, len(choice), len(got))
    return difflib.SequenceMatcher(None, choice, got).ratio() + common


def _common(a: str, b: str) -> int:
    """The length of the beginning that two words share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
