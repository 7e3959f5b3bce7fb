"""The demo's dense network against its compact one, timed on this machine."""

from __future__ import annotations

from typing import Any

from core import cut
from core.lessons.depth import demo

BUDGET_S = 1.0


def speed(batch: int = 128) -> dict[str, Any]:
    """A `latency.Speed` as JSON, without its layers: median ratio of interleaved pairs on one thread, quartiles, what MACs promise."""
    what = demo()
    return cut.timed(what.cut({}), what.dataset, batch=batch, device="cpu", budget_s=BUDGET_S).model_dump(
        mode="json", exclude={"layers"}
    )
