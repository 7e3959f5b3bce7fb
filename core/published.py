"""Published structures: networks as papers left them, as removal plans to apply to a network of the same name.

A file `assets/plans/NAME.json` holds title, network, dataset, shape, classes, source, published, counted, note and plan.
`published`: what the source prints, as text ("25.3M", "53.53 %" of the whole network, or of a layer: "macs of conv1"); what
it does not print is absent. `counted`: what `tests/make_published_plans.py` counted when it wrote the file, dense and compact,
parameters without norms. In `plan` lists of units are text: numbers and ranges, both ends included ("0-15,18"), and sites
whose units are all alive are left out of `verdicts`. No torch until a plan is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import one_of

if TYPE_CHECKING:
    from core.structure import RemovalPlan

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "plans"
UNITS = {"G": 1e9, "M": 1e6, "K": 1e3, "": 1.0}
LISTS = ("removed", "removed_groups", "masked", "pins", "unread")  # parts of a plan that hold units by site


@dataclass(frozen=True)
class Published:
    """One published structure; `shape` is (channels, height, width) of an image."""

    name: str
    title: str
    network: str
    dataset: str
    shape: tuple[int, int, int]
    classes: int
    source: str
    published: dict[str, str]
    counted: dict[str, int]
    note: str
    packed_plan: dict[str, Any]

    def plan(self) -> RemovalPlan:
        """The removal plan, for `core.structure.apply`."""
        from core.structure import RemovalPlan

        return RemovalPlan.model_validate(unpacked(self.packed_plan))


def _names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


PLANS: tuple[str, ...] = _names()


def published(name: str) -> Published:
    """The published structure of that name; BadInput for another."""
    if name not in PLANS:
        raise one_of("published plan", name, PLANS)
    found = json.loads((FOLDER / f"{name}.json").read_text())
    shape, plan = tuple(found.pop("shape")), found.pop("plan")
    return Published(name, **found, shape=shape, packed_plan=plan)


def agrees(printed: str, left: int, dense: int) -> bool:
    """Whether a count is what was printed, to the printed digits: "25.3M" and "3.47G" of itself, "53.53 %" of `dense`."""
    number, unit = re.fullmatch(r"([\d.]+) ?([GMK%]?)", printed).groups()  # type: ignore[union-attr]
    digits = len(number.partition(".")[2])
    value = 100 * left / dense if unit == "%" else left / UNITS[unit]
    return f"{value:.{digits}f}" == number


def packed(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan's JSON with ranges for lists, without what is empty or says that all is alive."""
    out = {key: value for key, value in plan.items() if value not in (None, [], {}, "")}
    for key in LISTS:
        if key in out:
            out[key] = {site: in_ranges(units) for site, units in out[key].items()}
    if "shapes" in out:
        out["shapes"] = {path: cut | {"removed": in_ranges(cut["removed"])} for path, cut in out["shapes"].items()}
    out["verdicts"] = {
        site: {verdict: count for verdict, count in counts.items() if count}
        for site, counts in plan["verdicts"].items()
        if counts["alive"] != plan["total"][site]
    }
    return out


def unpacked(plan: dict[str, Any]) -> dict[str, Any]:
    """What `packed` was given."""
    out = dict(plan)
    for key in LISTS:
        if key in out:
            out[key] = {site: from_ranges(units) for site, units in out[key].items()}
    if "shapes" in out:
        out["shapes"] = {path: cut | {"removed": from_ranges(cut["removed"])} for path, cut in out["shapes"].items()}
    none = {"zero": 0, "uniform": 0, "field": 0, "alive": 0}
    out["verdicts"] = {
        site: none | plan["verdicts"].get(site, {"alive": total}) for site, total in plan["total"].items()
    }
    return out


def in_ranges(units: Iterable[int]) -> str:
    """Rising numbers as text: 0, 1, 2, 5 become "0-2,5"."""
    rising = list(units)
    starts = [i for i, (a, b) in enumerate(pairwise([-2, *rising])) if b != a + 1]
    runs = [(rising[i], rising[j - 1]) for i, j in pairwise([*starts, len(rising)])]
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def from_ranges(text: str) -> list[int]:
    """The numbers that `in_ranges` wrote."""
    ends = [[int(end) for end in run.split("-")] for run in text.split(",") if run]
    return [unit for run in ends for unit in range(run[0], run[-1] + 1)]
