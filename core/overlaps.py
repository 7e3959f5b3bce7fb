"""Overlaps: which kinds of group in one weight nest like a tree, and which cross like rows and columns. No torch.

A threshold of small groups first is the exact proximal map of a tree of groups (Jenatton et al., JMLR 2011). Rows and
columns have no closed form: what the proximal solver of SSL then takes is a splitting step, and says so here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from pydantic import ValidationError

from core.phases import KIND_WORDS, Phase

COLUMNS = ("shape", "channel")
SPLITTINGS = {
    "sequential": "one after the other (splitting: sequential)",
    "dykstra": "in Dykstra's rounds, exact in the limit of many (splitting: dykstra)",
}


def nests(kinds: Iterable[str]) -> bool:
    """Whether these kinds form a tree in one weight: then small groups first is the exact proximal map."""
    present = set(kinds) - {"weight", "layer"}
    rows, columns = present & {"filter"}, present & set(COLUMNS)
    return not (rows and columns) and not ("kernel2d" in present and "shape" in present)


def crossing(phase: Phase) -> list[tuple[str, str]]:
    """The pairs of kinds that the proximal solver of this phase thresholds by a splitting step; none where it is exact."""
    if phase.method != "ssl" or phase.own_solver != "proximal":
        return []
    acting = sorted((kind for kind in set(phase.kinds) if phase.strength(kind)), key=list(KIND_WORDS).index)
    return [pair for pair in combinations(acting, 2) if not nests(pair)]


def overlap_note(phase: Phase) -> str:
    """The sentence about the phase's overlaps; empty where its threshold is the exact proximal map, or not taken."""
    pairs = [f"{KIND_WORDS[a]} and {KIND_WORDS[b]}" for a, b in crossing(phase)]
    notes = []
    if pairs:
        words = ", and ".join(pairs)
        notes.append(
            f"{words[0].upper()}{words[1:]} of one layer cross like rows and columns: where a layer has both, the threshold is not "
            f"the exact proximal map but a splitting step, {SPLITTINGS[phase.splitting]}."
        )
    if crossing_readers(phase):
        notes.append(
            "The joint groups of two layers in a row share weights (a filter of the second reads a filter of the first): they are "
            "thresholded one after the other, a splitting step and not the exact proximal map."
        )
    return " ".join(notes)


def crossing_readers(phase: Phase) -> bool:
    """Whether joint groups hold weights that belong to groups of another layer too."""
    readers = phase.method == "ssl" and phase.own_solver == "proximal" and "readers" in phase.joint
    return readers and "filter" in phase.kinds and phase.strength("filter") > 0


def notes_of(config: Mapping[str, Any]) -> list[str]:
    """What must be said beside the numbers of a run with these settings: a sentence for each phase with overlaps.

    Nothing is said of settings that are not valid here: such a run ends with a sentence of its own.
    """
    try:
        phases = [Phase.model_validate(phase) for phase in config["phases"]]
    except ValidationError:
        return []
    found = [(phase.name, overlap_note(phase)) for phase in phases]
    return [f"Phase {name}: {note}" for name, note in found if note]
