"""One sentence for every figure of nested levels, made from its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import sentences
from app.level_words import level_name, level_names


def bands_sentence(layers: Sequence[Mapping[str, Any]], masked: bool) -> str:
    """What the core has of everything, and which layers it does without."""
    if not layers:
        return "No layer is shared between levels."
    kept, total = (
        sum(part) for part in zip(*((a["weights"]["kept"][0], a["weights"]["total"]) for a in layers), strict=True)
    )
    start = f"The core has {sentences.percent(kept / total)} of the weights"
    if masked:
        shares = [layer["weights"]["kept"][0] / layer["weights"]["total"] for layer in layers]
        return f"{start}, from {sentences.percent(min(shares))} in its thinnest layer to {sentences.percent(max(shares))}; layers keep their full shape."
    gone = sum(layer["units"]["kept"][0] == 0 for layer in layers)
    most = max(layer["units"]["kept"][0] / layer["units"]["total"] for layer in layers)
    blocks = f" and does without {gone} of {sentences.plural(len(layers), 'layer')}" if gone else ""
    return f"{start}: at most {sentences.percent(most)} of a layer's channels{blocks}. The narrower a bar, the smaller its level."


def cost_sentence(frame: pd.DataFrame, consensus: Mapping[str, float | None], alone: pd.DataFrame) -> str:
    """Core against full level, what asking all gives, and what training apart gave."""
    core = frame.iloc[0]
    fast = f"measures {_fast(core)}" if core["n"] else "was not timed"
    if _scattered(core):
        words = f"{_size(core)} and {fast}. It"
    else:
        words = f"The core does {sentences.percent(core['macs'])} of the full level's MACs and {fast}. It"
    words += f" answers right on {_against(frame)}"
    known = [f"{name} {sentences.percent(value, 1)}" for name, value in consensus.items() if value is not None]
    words += f"; all levels asked together: {sentences.listing(known)}" if known else ""
    for row in alone.to_dict("records"):
        nested = float(frame.loc[frame["level"] == row["level"], "accuracy"].iloc[0])
        words += f"; level {level_name(row['level'], len(frame))} trained alone, {sentences.points(row['accuracy'] - nested)} against nested"
    return f"{words}. One seed."


def accuracy_sentence(frame: pd.DataFrame, consensus: Mapping[str, float | None]) -> str:
    """What the core answers and what it takes, against the full level, and what asking all gives."""
    core = frame.iloc[0]
    takes = (
        f"{sentences.percent(core['weights'])} of the weights"
        if _scattered(core)
        else f"{sentences.percent(core['macs'])} of the MACs"
    )
    known = [f"{name} {sentences.percent(value, 1)}" for name, value in consensus.items() if value is not None]
    asked = f" All levels asked together: {sentences.listing(known)}." if known else ""
    return f"With {takes} the core answers right on {_against(frame)}.{asked}"


def speed_sentence(frame: pd.DataFrame) -> str:
    """How fast the core is, against what its MACs promise."""
    core = frame.iloc[0]
    if not core["n"]:
        return "The levels were not timed."
    if _scattered(core):
        return f"{_size(core)}, and measures {_fast(core)}."
    why = "" if core["measured"] >= 0.9 / core["macs"] else " Small levels are bound by memory, not by arithmetic."
    return f"The core measures {_fast(core)} where its MACs promise {1 / core['macs']:.2f} ×.{why}"


def _scattered(core: pd.Series) -> bool:
    """Whether a level is made of single weights, so that it computes as much as the full one."""
    return bool(core["macs"] > 0.99 and core["weights"] < 0.99)


def _size(core: pd.Series) -> str:
    return f"The core keeps {sentences.percent(core['weights'])} of the weights, but scattered: it computes as much as the full level"


def _fast(core: pd.Series) -> str:
    return f"{core['measured']:.2f} × as fast (quartiles {core['low']:.2f}-{core['high']:.2f})"


def _against(frame: pd.DataFrame) -> str:
    """`99.2 % where the full level does on 99.4 %`."""
    core, full = frame.iloc[0], frame.iloc[-1]
    mine, whole = (sentences.percent(row["accuracy"], 1) for row in (core, full))
    if core["task"] == full["task"]:
        return f"{mine} where the full level does on {whole}"
    return f"{mine} ({core['task']}), the full level on {whole} ({full['task']})"


def lines_sentence(table: pd.DataFrame, levels: int) -> str:
    """Where every level stands after the newest epoch."""
    if not levels or table.empty:
        return "No epoch of joint training is recorded yet."
    last = table.iloc[-1]
    told = sentences.listing(
        [f"level {name} {sentences.percent(last[k], 1)}" for k, name in enumerate(level_names(levels))], 6
    )
    return f"Validation accuracy after epoch {int(last['epoch'])}: {told}."


def family_sentence(family: Mapping[str, Any], levels: int) -> str:
    """How often both name the same family, and where the small network is the better or the worse one most."""
    gains = [a - b for a, b in zip(family["coarse"], family["mapped"], strict=True)]
    worst, best = min(range(len(gains)), key=gains.__getitem__), max(range(len(gains)), key=gains.__getitem__)
    return (
        f"Level {level_name(family['level'], levels)} and the full level name the same of {len(gains)} families for {sentences.percent(family['agree'], 1)} of the test "
        f"images. Against the family of the full level's answer, the level's own is {sentences.points(gains[best])} for {family['names'][best]} and "
        f"{sentences.points(gains[worst])} for {family['names'][worst]}."
    )
