"""What rows of evidence say: means over seeds with sample standard deviations, and paired differences to every control.

A pure function of the rows: the README, the dashboard and the tests have the same numbers from it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from core.evidence.rows import row_of
from core.evidence.wanted import METHOD, RANDOM, Table, Wanted
from core.intervals import half_width

Row = Mapping[str, Any]
Difference = tuple[float, float | None, int]
CONSENSUS = "consensus, "
Key = tuple[str, str, str]  # point, label, role


def outcomes(wanted: Wanted, row: Row) -> list[dict[str, Any]]:
    """What a row says, one entry for each network that leaves it: of a nested run every level and the consensus of all; of random masks
    the levels that have one.

    Each has `label`, `accuracy` on test images, `macs` and `params` left (0-1), `verdict`, `max_rel` and `speed`.
    """
    if row.get("levels"):
        full = row["levels"][-1]
        found = [
            {
                "label": f"level {one['level']}", "accuracy": one["accuracy"]["test"], "macs": one["macs"] / full["macs"],
                "params": _kept(one, full), "verdict": one["certificate"]["verdict"], "max_rel": one["certificate"]["max_rel"],
                "speed": (one.get("speed") or {}).get("measured"),
            }
            for one in row["levels"]
        ]  # fmt: skip
        together = [
            {"label": f"{CONSENSUS}{name}", "accuracy": value}
            for name, value in row["consensus"].items()
            if value is not None
        ]
        return found[:-1] if wanted.role == RANDOM else found + together
    accuracy, proof, speed = row["accuracy"], row["certificate"], row.get("speed") or {}
    after = {
        "label": "" if wanted.level is None else f"level {wanted.level}", "accuracy": accuracy.get("finetuned") or accuracy["compact"],
        "macs": row["macs_per_image"]["compact"] / row["macs_per_image"]["dense"],
        "params": _left(row), "verdict": proof["verdict"], "max_rel": proof["max_rel"],
        "speed": speed.get("measured"), "conv_macs": row["conv_macs"] / row["conv_macs_dense"] if row.get("conv_macs_dense") else None,
    }  # fmt: skip
    return [after]


def _left(row: Row) -> float:
    """The share of parameters that the compact network has; where zeros are scattered in it, of weights that are not zero."""
    share = float(row["params"]["compact"] / row["params"]["dense"])
    return share if share < 1 else float(row.get("density", 1.0))


def _kept(level: Row, full: Row) -> float:
    """The share of parameters that a level has; where masks leave it all of them, of weights that are not zero."""
    share = float(level["params"] / full["params"])
    return share if share < 1 else float(level["density"])


def summary(table: Table, rows: Mapping[str, Row]) -> list[dict[str, Any]]:
    """A line for every point, label and role, in the table's order, over the seeds that have it.

    `n` seeds; `accuracy`, `macs` (as `table.cost` counts them), `params`, `speed` as (mean, sd) or None; `difference`: the method's
    accuracy less this line's, seed by seed, as (mean, sd, n); `over_full`: of a consensus, its accuracy less the full level's, likewise;
    `verdicts` and the largest `max_rel`; `epochs` with those of the run it starts from, `seconds` of training, `tried`.
    """
    said: dict[Key, dict[int, dict[str, Any]]] = {}
    for wanted in table.wanted:
        if wanted.name in rows:
            row = rows[wanted.name]
            about = {"epochs": epochs_of(wanted, table), "seconds": row.get("seconds"), "tried": wanted.tried}
            for one in outcomes(wanted, row):
                one["macs"] = one.get(table.cost)
                for cost, scale in _larger(table, wanted, rows).items():
                    one[cost] *= scale
                said.setdefault((wanted.point, one["label"], wanted.role), {})[wanted.config.seed] = one | about
    order = sorted(said, key=lambda key: _place(key, list(said)))
    return [_line(key, said) for key in order]


def _larger(table: Table, wanted: Wanted, rows: Mapping[str, Row]) -> dict[str, float]:
    """Of a control that is another network: by how much its dense MACs and parameters are more than those of the method's network."""
    methods = (w for w in table.wanted if (w.point, w.role) == (wanted.point, METHOD) and w.name in rows)
    method = next(methods, None)
    if method is None or method.config.network == wanted.config.network:
        return {}
    own, theirs = rows[wanted.name], rows[method.name]
    counted = {"macs": "macs_per_image", "params": "params"}
    return {cost: own[key]["dense"] / theirs[key]["dense"] for cost, key in counted.items()}


def epochs_of(wanted: Wanted, table: Table) -> int:
    """Epochs behind a row, with those of the run whose weights it starts from."""
    first = wanted.config.phases[0].starts_from == "source"
    return wanted.config.epochs + (epochs_of(table.by_name[wanted.config.source], table) if first else 0)


def _place(key: Key, keys: Sequence[Key]) -> tuple[int, int, int]:
    """Point by point, label by label, the method first, each in the order in which it came."""
    points, labels = [k[0] for k in keys], [k[1] for k in keys]
    return points.index(key[0]), labels.index(key[1]), 0 if key[2] == METHOD else keys.index(key) + 1


def _line(key: Key, said: Mapping[Key, dict[int, dict[str, Any]]]) -> dict[str, Any]:
    own, ones = said[key], list(said[key].values())
    method = said.get((key[0], key[1], METHOD), {}) if key[2] != METHOD else {}
    full = _full(key, said) if key[2] == METHOD and key[1].startswith(CONSENSUS) else {}
    return {
        "point": key[0], "label": key[1], "role": key[2], "n": len(ones),
        **{name: spread([one[name] for one in ones if one.get(name) is not None]) for name in ("accuracy", "macs", "params", "speed")},
        "difference": paired(method, own), "over_full": paired(own, full),
        "verdicts": sorted({one["verdict"] for one in ones if one.get("verdict")}),
        "max_rel": max((one["max_rel"] for one in ones if one.get("max_rel") is not None), default=None),
        "epochs": ones[0]["epochs"], "seconds": spread([one["seconds"] for one in ones if one["seconds"] is not None]),
        "tried": ones[0]["tried"],
    }  # fmt: skip


def _full(key: Key, said: Mapping[Key, dict[int, dict[str, Any]]]) -> dict[int, dict[str, Any]]:
    """The full level beside a consensus, by seed."""
    levels = [k for k in said if (k[0], k[2]) == (key[0], METHOD) and k[1].startswith("level")]
    return said[levels[-1]]


def paired(a: Mapping[int, Row], b: Mapping[int, Row]) -> Difference | None:
    """Accuracy of `a` less that of `b`, seed by seed: (mean, sd, n); None where they share no seed."""
    both = sorted(a.keys() & b.keys())
    return (*spread([a[seed]["accuracy"] - b[seed]["accuracy"] for seed in both]), len(both)) if both else None


def judged(difference: Difference) -> int | None:
    """1 better, -1 worse, 0 neither: the 95 % interval of the mean of the pairs holds zero. None of one pair, which says nothing on chance."""
    mean, deviation, n = difference
    if deviation is None:
        return None
    return 0 if abs(mean) <= half_width(deviation, n) else 1 if mean > 0 else -1


def signed(points: float) -> str:
    """Points of a difference with their sign, a minus and not a hyphen: `+0.57`, `−0.28`, `+0.00`."""
    return f"{round(points, 2) + 0.0:+.2f}".replace("-", "−")


def spread(values: Sequence[float]) -> tuple[float, float | None] | Any:
    """(mean, sample standard deviation); the second None of one value; None of none."""
    if not values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def recorded(table: Table) -> dict[str, Row]:
    """The rows that are there, by name."""
    found = {wanted.name: row_of(wanted) for wanted in table.wanted}
    return {name: row for name, row in found.items() if row is not None}
