"""Where structures of a network of stages went: how many of each kind are alive at the end, stage by stage, over seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

STAGE = re.compile(r"stage(\d+)\.")
PLURALS = {"filter": "filters", "block": "blocks", "layer": "layers", "group": "conv groups", "channel": "channels"}
FEW = 20  # of so many in a stage, or fewer, a count says more than a percentage


def by_stage(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, tuple[list[int], int]]]:
    """By kind that was learned and stage: (how many are alive, row by row; of how many). Rows without stages say nothing."""
    counts: dict[str, dict[int, list[tuple[int, int]]]] = {}
    for row in rows:
        for (kind, stage), pair in _of_row(row).items():
            counts.setdefault(kind, {}).setdefault(stage, []).append(pair)
    return {
        kind: {stage: ([left for left, _ in pairs], pairs[0][1]) for stage, pairs in sorted(stages.items())}
        for kind, stages in counts.items()
    }


def _of_row(row: Mapping[str, Any]) -> dict[tuple[str, int], tuple[int, int]]:
    if not row.get("left"):
        return {}
    learned = {kind for phase in row["settings"]["phases"] for kind in phase["kinds"]}
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for site, (left, total) in row["left"].items():
        kind, stage = site.rpartition("/")[2], STAGE.match(site)
        if stage is not None and kind in learned:
            key = (kind, int(stage[1]))
            before = found.get(key, (0, 0))
            found[key] = (before[0] + left, before[1] + total)
    return found


def where_they_went(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """`alive at the end in stages 1 / 2 / 3: filters 42 ± 2 / 46 ± 1 / 55 ± 4 %; blocks 3 / 2.7 ± 0.6 / 3 of 3 / 3 / 3 (n = 3).`; none without stages."""
    found = by_stage(rows)
    if not found:
        return None
    stages = sorted({stage for each in found.values() for stage in each})
    told = "; ".join(f"{PLURALS.get(kind, kind)} {_told(each)}" for kind, each in found.items())
    return f"alive at the end in stages {_listed(stages)}: {told} (n = {len(rows)})."


def _told(stages: Mapping[int, tuple[Sequence[int], int]]) -> str:
    if all(total <= FEW for _, total in stages.values()):
        counts = (_spread(left, ".3g") for left, _ in stages.values())
        return f"{_listed(counts)} of {_listed(total for _, total in stages.values())}"
    return f"{_listed(_spread([100 * one / total for one in left], '.0f') for left, total in stages.values())} %"


def _spread(values: Sequence[float], digits: str) -> str:
    """Mean ± sample standard deviation; the mean alone where all are alike."""
    deviation = stdev(values) if len(values) > 1 else 0.0
    return f"{fmean(values):{digits}}" + (f" ± {deviation:{digits}}" if deviation else "")


def _listed(values: Any) -> str:
    return " / ".join(map(str, values))
