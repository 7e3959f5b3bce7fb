"""What people ask of a run in training takes effect between two steps: strengths, measurements, pauses, the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core import events as ev
from core.controls import Request
from core.observing import timed_now

if TYPE_CHECKING:
    from core.training import Training


def obey(training: Training) -> Iterator[ev.Event]:
    """Let everything take effect that is due at this step."""
    for request in training.controls.due(training.step):
        yield from _apply(training, request)


def _apply(training: Training, request: Request) -> Iterator[ev.Event]:
    training.controls.applied(request, training.step)
    where, strengths = training.where(), training.method.strengths
    if request.control == "strength" and request.kind not in strengths:
        offered = " or ".join(strengths) or "nothing in this phase"
        yield ev.Notice(**where, text=f"strength of {request.kind} has no effect: this run learns {offered}")
    elif request.control == "strength":
        before, strengths[request.kind] = strengths[request.kind], float(request.value or 0.0)
        yield ev.Steered(
            **where, control="strength", kind=request.kind, value=strengths[request.kind], before=before
        )  # fmt: skip
    elif request.control == "measure":
        yield timed_now(training, asked=True)
    elif request.control == "pause":
        yield from _pause(training)
    elif request.control == "stop":
        training.controls.stopping = True


def _pause(training: Training) -> Iterator[ev.Event]:
    began, measured_before = time.perf_counter(), training.measuring_s
    yield ev.Paused(**training.where())
    while not training.controls.stopping:
        request = training.controls.wait()
        if request.control == "continue":
            yield ev.Continued(**training.where())  # the consumer takes a slot again
            training.controls.applied(request, training.step)
            break
        if request.control != "pause":
            yield from _apply(training, request)
        else:
            training.controls.applied(request, training.step)
    training.measuring_s = measured_before + time.perf_counter() - began
