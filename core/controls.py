"""What people ask of a living run, as data: pause, continue, stop, measure, and changes of strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.config import Steer

CONTROLS = ("pause", "continue", "stop", "measure", "strength")


@dataclass(frozen=True)
class Request:
    """One control. `step`: when it must take effect (a replay), or None for as soon as possible."""

    control: str
    kind: str = ""
    value: float | None = None
    step: int | None = None
    seq: int | None = None


class Controls:
    """The controls of a run nobody watches: only what its settings say is replayed, each change at its step."""

    def __init__(self, steering: Sequence[Steer] = ()) -> None:
        self.stopping = False
        self._replay = [Request("strength", s.kind, s.value, s.step) for s in sorted(steering, key=lambda s: s.step)]

    def due(self, step: int) -> list[Request]:
        """What takes effect before the update number `step`, in order; each is given once."""
        return [request for request in self._replay if request.step == step]

    def wait(self) -> Request:
        """The next request while the run is paused (blocks)."""
        raise RuntimeError("a run without a person at its controls cannot wait for one")

    def applied(self, request: Request, step: int) -> None:
        """Called once for each request, when it has taken effect."""
