"""Nested levels in words and tables: names, the subset check, what a level costs. Pure functions of a run's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import sentences

PAPER = "Kim et al., CVPR 2018"
NESTED = (
    "Nested networks are several networks in one: the core, a small network, uses some of the weights of the next larger one, and so on "
    "up to the full network. They are trained together, kept in one file, and each can be used or taken away by itself "
    f"(NestedNet; {PAPER})."
)


def level_name(level: int, levels: int) -> str:
    """`0 core`, `1`, `2 full`."""
    word = "core" if level == 0 else "full" if level == levels - 1 else ""
    return f"{level} {word}".strip()


def level_names(levels: int) -> list[str]:
    """The names of all levels, core first."""
    return [level_name(level, levels) for level in range(levels)]


def nested_phase(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The phase in which levels are trained together; None where a run ends with another, or trains one level alone."""
    phase: Mapping[str, Any] = config["phases"][-1]
    return phase if phase["method"] == "nested" and phase.get("alone") is None else None


def is_masked(levels: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the levels (settings) keep single weights in layers of full shape."""
    return any(level["compression"] > 1 or level["tau"] is not None for level in levels)


def shown_layers(bands: Sequence[Mapping[str, Any]], masked: bool) -> list[Mapping[str, Any]]:
    """The layers that levels share out: all, but no last layer of class scores that every level has whole."""
    last = bands[-1] if bands else None
    whole = last is not None and last["kind"] == "linear" and len({*last["units"]["kept"], last["units"]["total"]}) == 1
    return list(bands[:-1] if whole and not masked and len(bands) > 1 else bands)


def parting(bands: Sequence[Mapping[str, Any]], small: int, large: int) -> tuple[int, int]:
    """(layers in which level `small` has more weights than `large`, layers in which it has fewer)."""
    pairs = [(band["weights"]["kept"][small], band["weights"]["kept"][large]) for band in bands]
    return sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)


def subset_verdict(holds: Mapping[str, bool], levels: int, bands: Sequence[Mapping[str, Any]] = ()) -> tuple[bool, str]:
    """Whether every level lies in all larger ones, and a sentence that says where not, and what the paper says of it."""
    pairs = [
        (int(small), int(large)) for small, large in (pair.split(" in ") for pair, found in holds.items() if not found)
    ]
    if not pairs:
        return (
            True,
            "The subset property holds: every weight of a level is one of every larger level, checked weight by weight.",
        )
    told = sentences.listing([f"level {small} does not lie in level {large}" for small, large in pairs])
    why = ""
    if bands:
        small, large = pairs[0]
        more, fewer = parting(bands, small, large)
        why = f" In {more} of {sentences.plural(len(bands), 'layer')} level {small} has more weights, in {fewer} level {large}."
    middle = all(small > 0 and large < levels - 1 for small, large in pairs)
    paper = (
        f" Both are middle levels, one narrower and one shallower: the paper accepts that (section 3.4, {PAPER}); the core lies in both, "
        "and both in the full level."
        if middle
        else f" The paper accepts it between middle levels only (section 3.4, {PAPER})."
    )
    return (
        False,
        f"The subset property holds for all pairs of levels but {'one' if len(pairs) == 1 else len(pairs)}: {told}.{why}{paper}",
    )


def levels_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """One row a level, core first; shares are of the full level."""
    full = result["levels"][-1]
    return pd.DataFrame([
        {
            "level": level_name(row["level"], len(result["levels"])), "classes": row["classes"], "data set": row["dataset"],
            "test accuracy": row["accuracy"]["test"], "MACs": row["macs"], "MACs, share": row["macs"] / full["macs"],
            "parameters": row["params"], "weights, share": row["density"], "times as fast (quartiles)": faster(row["speed"]),
            "removal": row["certificate"]["verdict"],
        }
        for row in result["levels"]
    ])  # fmt: skip


def faster(speed: Mapping[str, Any] | None) -> str:
    """`1.68 × (1.60-1.75, n = 30)`; of the full level, what the others are measured against, `1 ×`."""
    if not speed:
        return "1 ×"
    return f"{speed['measured']:.2f} × ({speed['low']:.2f}-{speed['high']:.2f}, n = {speed['n']})"


def level_tiles(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A tile for every level, and one for all together."""
    levels, full = result["levels"], result["levels"][-1]
    tiles = []
    several = len({task_of(row, full) for row in levels}) > 1
    for row in levels:
        what = f"test accuracy, {task_of(row, full)}" if several else "test accuracy"
        cost, speed = f"{sentences.percent(row['macs'] / full['macs'])} of the MACs", row["speed"]
        fast = f" · {speed['measured']:.2f} × as fast ({speed['low']:.2f}-{speed['high']:.2f})" if speed else ""
        name = level_name(row["level"], len(levels))
        tiles.append((f"level {name} · {what}", sentences.percent(row["accuracy"]["test"], 1), cost + fast))
    average = result["consensus"]["average"]
    if average is not None:
        tiles.append(
            ("all levels asked, averaged", sentences.percent(average, 1), "test accuracy of NestedNet-A · one seed")
        )
    return tiles


def task_of(row: Mapping[str, Any], full: Mapping[str, Any]) -> str:
    """What a level tells apart: `20 classes`, `cifar10, 10 classes` where its images are not the full level's."""
    return (
        f"{row['classes']} classes"
        if row["dataset"] == full["dataset"]
        else f"{row['dataset']}, {row['classes']} classes"
    )


def bytes_sentence(result: Mapping[str, Any]) -> str:
    """One file against as many as there are levels."""
    together, apart = result["bytes"]["nested"], result["bytes"]["separate"]
    return (
        f"The file with all {len(result['levels'])} levels has {kilobytes(together)}; in files of their own they would take "
        f"{kilobytes(apart)}, {apart / together:.2f} times as much. (Parameters and buffers.)"
    )


def kilobytes(count: float) -> str:
    """`546 kB`, `28.2 MB`."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"
