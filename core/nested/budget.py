"""A nested network that fits itself to what there is: the largest level within so many milliseconds, MACs or bytes.

The resource-aware use of Kim et al. (CVPR 2018, section 3.5.1): one set of weights in memory, the level chosen while it runs.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.latency import quiet_machine
from core.nested.levels import Nested
from core.nested.nesting import extract
from core.networks.measure import example_of
from core.structure.cost import cost

WARM, N = 3, 21
LIMITS = {"ms": "ms", "macs": "MACs", "bytes": "bytes"}


@dataclass(frozen=True)
class Needs:
    """What a level needs: MACs of one image, bytes of parameters and buffers; ms a batch, median with quartiles of N passes."""

    level: int
    macs: int
    bytes: int
    ms: float
    ms_low: float
    ms_high: float


class Adaptive(nn.Module):
    """A nested network with a level that can be changed between calls; it begins at the full level. In eval mode."""

    def __init__(self, nested: Nested, example: Tensor | None = None) -> None:
        """`example`: a batch such as it will be asked (default: one image of zeros); milliseconds are measured on it."""
        super().__init__()
        self.nested = nested
        nested.full.eval()
        self.levels = nn.ModuleList(nested.at(level) for level in range(nested.num_levels))
        self.level = nested.num_levels - 1
        self.example = example_of(nested.full) if example is None else example
        self._needs: list[Needs] | None = None

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.levels[self.level](x))

    def needs(self, *, again: bool = False) -> list[Needs]:
        """What every level needs, core first; measured on this machine once, or `again`."""
        if self._needs is None or again:
            self._needs = [needs_of(self.nested, level, self.example) for level in range(len(self.levels))]
        return self._needs

    def for_budget(self, *, ms: float | None = None, macs: float | None = None, bytes: float | None = None) -> int:
        """Change to the largest level that needs no more, and return it. BadInput where the core needs more, or for no one limit."""
        given = {name: limit for name, limit in (("ms", ms), ("macs", macs), ("bytes", bytes)) if limit is not None}
        if len(given) != 1 or not 0 < next(iter(given.values())) < float("inf"):
            raise BadInput(
                f"a budget must be one positive number: ms, macs or bytes; got {given or 'none'}; as in ms=5"
            )
        name, limit = next(iter(given.items()))
        self.level = largest_within(self.needs(), name, limit)
        return self.level


def largest_within(needs: list[Needs], name: str, limit: float) -> int:
    """The largest level that needs at most `limit` of ms, macs or bytes. BadInput where even the core needs more."""
    fitting = [need.level for need in needs if getattr(need, name) <= limit]
    if not fitting:
        least = min(getattr(need, name) for need in needs)
        raise BadInput(
            f"the budget must allow the core, which needs {least:,.4g} {LIMITS[name]}; got {limit:,.4g}; "
            "allow more, or train a smaller core"
        )
    return max(fitting)


@torch.inference_mode()
def needs_of(nested: Nested, level: int, example: Tensor) -> Needs:
    """What a level needs, by itself: MACs and bytes of the network that would leave, milliseconds in place."""
    left, network = extract(nested, level).eval(), nested.at(level)
    times = []
    with quiet_machine():
        for _ in range(WARM + N):
            began = time.perf_counter()
            network(example)
            times.append((time.perf_counter() - began) * 1e3)
    low, middle, high = statistics.quantiles(times[WARM:], n=4)
    held = sum(t.numel() * t.element_size() for t in (*left.parameters(), *left.buffers()))
    return Needs(level, cost(left, example[:1]).macs_per_image, held, middle, low, high)
