"""What a hand crosses out of a network: units by site, as text, checked against the sites of a run. No torch.

As text, sites stand between semicolons, their units behind `=` with commas and ranges: `stage1.0.conv1/filter=0,3-5;stage2.1/block`. A
site without units means all of it, which a block mostly is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from core.errors import BadInput, one_of

Crossed = dict[str, list[int]]
KINDS = ("filter", "neuron", "group", "block")
SITE = re.compile(rf"[\w.]+/({'|'.join(KINDS)})")
UNITS = re.compile(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*")


def parsed(text: str, totals: Mapping[str, int]) -> Crossed:
    """The units that `text` names, of sites with so many units each. BadInput for what is not there, or was not understood."""
    found: dict[str, set[int]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        site, equals, units = part.partition("=")
        if equals and not UNITS.fullmatch(units):
            raise BadInput(
                f"units must be whole numbers with commas or ranges, as in {site}=0,3-5; got {units!r}; leave out '=' for the whole site"
            )
        found.setdefault(site, set()).update(_numbers(units) if equals else range(totals.get(site, 0)))
    return checked_against({site: sorted(units) for site, units in found.items()}, totals)


def checked_against(crossed: Mapping[str, Iterable[int]], totals: Mapping[str, int]) -> Crossed:
    """The same, sorted; BadInput where a site cannot be crossed out or has no such unit."""
    out: Crossed = {}
    for site, units in crossed.items():
        if site not in totals:
            kind = site.rpartition("/")[2]
            if kind not in KINDS:
                raise BadInput(
                    f"a crossed site must end in {', '.join(KINDS)}; got {site!r}; for example {next(iter(totals), 'conv1/filter')}"
                )
            raise one_of("a crossed site", site, totals)
        out[site] = sorted(set(units))
        wrong = [unit for unit in out[site] if not 0 <= unit < totals[site]]
        if wrong:
            raise BadInput(
                f"crossed units of {site} must be from 0 to {totals[site] - 1}; got {wrong[0]}; choose others"
            )
    return {site: units for site, units in out.items() if units}


def written(crossed: Mapping[str, Iterable[int]], totals: Mapping[str, int]) -> str:
    """As text, short: ranges, and whole sites without their units. `parsed` reads it back."""
    parts = []
    for site, units in crossed.items():
        chosen = sorted(set(units))
        if chosen:
            parts.append(site if len(chosen) == totals.get(site) else f"{site}={_ranges(chosen)}")
    return ";".join(parts)


def together(*several: Mapping[str, Iterable[int]]) -> Crossed:
    """All units of all of them."""
    out: dict[str, set[int]] = {}
    for crossed in several:
        for site, units in crossed.items():
            out.setdefault(site, set()).update(units)
    return {site: sorted(units) for site, units in out.items() if units}


def without(crossed: Mapping[str, Iterable[int]], kept: Mapping[str, Iterable[int]]) -> Crossed:
    """The units of the first that are not of the second."""
    left = {site: sorted(set(units) - set(kept.get(site, ()))) for site, units in crossed.items()}
    return {site: units for site, units in left.items() if units}


def beneath(sites: Iterable[Mapping[str, Any]], threshold: float) -> Crossed:
    """Living units whose importance over their layer's mean is at most `threshold`; blocks have none and stay.

    `sites`: {site, importance, alive} each, as `core.whatif` gives them.
    """
    if not 0 <= threshold < float("inf"):
        raise BadInput(f"threshold must be a number of at least 0; got {threshold}; for example 0.3")
    found = {
        row["site"]: [
            unit
            for unit, (score, alive) in enumerate(zip(row["importance"] or [], row["alive"], strict=False))
            if alive and 0 < score <= threshold
        ]
        for row in sites
    }
    return {site: units for site, units in found.items() if units}


def _numbers(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise BadInput(f"units must be written from the lower to the higher; got {part!r}; write {last}-{first}")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _ranges(units: list[int]) -> str:
    parts: list[list[int]] = []
    for unit in units:
        if parts and unit == parts[-1][1] + 1:
            parts[-1][1] = unit
        else:
            parts.append([unit, unit])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
