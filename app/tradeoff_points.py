"""The points of the trade-offs, as one table: one's own runs, levels of nested ones, recorded evidence, the papers.

Fractions are 0-1, times milliseconds; `low` and `high` are what a bar spans, none where there is nothing to span.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from app import sentences
from app.runs import final_accuracy, strength_words
from core.evidence.counting import recorded, summary
from core.evidence.tables import TABLES
from core.evidence.wanted import ALONE, DENSE, Table
from core.papers import points_beside
from core.runs.families import strengths_of
from core.runs.tables import Run

METHOD, RANDOM = "method", "random masks"
ROLES = {
    "dense control": "dense control", "scratch control": "same shape from scratch", "level alone": "level alone",
    "student": "core, taught by the dense network", RANDOM: "random masks", "L1-norm filters": "L1-norm filters",
    "random mask": "random mask of this shape", "baseline": "baseline, before", "ResNet-32": "ResNet-32",
}  # fmt: skip
BEHIND = {"scratch control": "from scratch", "random mask": "random mask"}  # of a point that is named in front
CROWD = 1 / 8
LOOKS = {
    "scratch control": "scratch",
    "dense control": "dense",
    "baseline": "dense",
    "ResNet-32": "dense",
    "random mask": RANDOM,
}  # fmt: skip; the other roles look like themselves
WHERE_KEYS = ("cpu", "device", "threads", "batch", "precision")


def own_points(runs: Sequence[Run]) -> pd.DataFrame:
    """A row for every setting and level of the finished ones among `runs`; runs of one row differ by seed alone."""
    groups: dict[str, list[Run]] = {}
    for row in runs:
        if row.result:
            groups.setdefault(_settings_of(row), []).append(row)
    settings = list(groups.values())
    paths = Counter(family for rows in settings for family in {row.family for row in rows if row.role == METHOD})
    tried = _tried(runs)
    return pd.DataFrame(told_apart([point for rows in settings for point in _points_of(rows, paths, tried)]))


def _one_a_seed(rows: Sequence[Run]) -> list[Run]:
    """The newest run of each seed, as they came: the same seed again is no other sample."""
    newest = {row.seed: row for row in sorted(rows, key=lambda row: row.created)}
    return [row for row in rows if newest[row.seed] is row]


def told_apart(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Levels of several nested settings get their preset's name, and whatever would still have the same name the end of its run's."""
    nested: dict[tuple[str, str], set[str]] = {(point["network"], point["dataset"]): set() for point in points}
    for point in points:
        if "preset" in point:
            nested[point["network"], point["dataset"]].add(point["path"])
    for point in points:
        preset = point.pop("preset", "")
        if preset and len(nested[point["network"], point["dataset"]]) > 1:
            point["label"] = f"{preset} {point['label'].partition(' (')[0]}"
    count = Counter((point["label"], point["network"], point["dataset"]) for point in points)
    for point in points:
        if count[point["label"], point["network"], point["dataset"]] > 1:
            point["label"] += f" {point['runs'][0].rpartition('-')[2]}"
    return points


def _settings_of(row: Run) -> str:
    """What the runs of one point have in common."""
    key = {k: v for k, v in row.config.items() if k not in ("seed", "source", "threads", "device", "precision")}
    return json.dumps([key, row.role], sort_keys=True)


def _tried(runs: Sequence[Run]) -> dict[str, int]:
    """How many settings of the method each family has, whatever became of their runs."""
    found: dict[str, set[str]] = {}
    for row in runs:
        if row.role == METHOD:
            found.setdefault(row.family, set()).add(_settings_of(row))
    return {family: len(settings) for family, settings in found.items()}


def _points_of(rows: list[Run], paths: Counter[str], tried: Mapping[str, int]) -> list[dict[str, Any]]:
    """`paths`: how many settings of the method itself each family has; two or more are a path over strengths."""
    every, rows = rows, _one_a_seed(rows)
    config, role = rows[0].config, rows[0].role
    family = max((row.family for row in rows), key=lambda name: paths[name])
    results = [row.result or {} for row in rows]
    about = {
        "role": role, "source": "ours", "n": len(rows), "network": config["network"], "dataset": config["dataset"], "runs": list(dict.fromkeys(row.id for row in [*rows, *every])),
        "epochs": sum(p["epochs"] for p in config["phases"]), "seconds": _mean([r.get("seconds") for r in results]),
        "tried": tried.get(family, 1) if role == METHOD else 1, "spread": "range of the seeds",
    }  # fmt: skip
    levels = [r["levels"] for r in results if r.get("levels")]
    if levels and len(levels) == len(rows):
        return _levels(rows[0], levels, about)
    strengths = strengths_of(config) if paths[family] > 1 and role == METHOD else {}
    label = rows[0].name or (strength_words(strengths) if strengths else ROLES.get(role) or rows[0].preset)
    alone = config["phases"][-1].get("alone")
    if role == "level alone" and alone is not None:
        label = f"level {alone} alone"
    counted = _counted(config, results)
    return [{
        "key": rows[0].id, "label": label, "path": family if strengths else None, "strength": max(strengths.values(), default=None),
        "method": _look(role, config), "level": alone, **about, "comparable": all(r["macs_per_image"]["compact"] > 0 for r in results), "counted": counted,
        **_spans("accuracy", [final_accuracy(r["accuracy"]) for r in results]),
        **_spans("macs", [_left(r["conv_macs" if counted == "conv_macs" else "macs_per_image"]) for r in results]), **_spans("params", [_left(r["params"]) for r in results]),
        **_speeds([r.get("speed") if r["macs_per_image"]["compact"] else None for r in results]),
        "certificate": sentences.listing(sorted({r["certificate"]["verdict"] for r in results})),
    }]  # fmt: skip


def _counted(config: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """What MACs are counted of: convolutions where the paper of that network does and all of these runs kept it, else all layers."""
    of_paper = any(point.counted == "conv MACs" for point in points_beside(config["network"], config["dataset"]))
    return "conv_macs" if of_paper and all("conv_macs" in result for result in results) else "macs"


def _look(role: str, config: Mapping[str, Any]) -> str:
    """The method whose colour and symbol a point has; of a control its own."""
    if role != METHOD:
        return LOOKS.get(role, role)
    learned = [p["method"] for p in config["phases"] if p["method"] not in ("dense", "masks")]
    return str(learned[0] if learned else config["phases"][-1]["method"])


def _levels(row: Run, levels: Sequence[Sequence[dict[str, Any]]], about: dict[str, Any]) -> list[dict[str, Any]]:
    """A point a level, core first; of random masks the full level is no control of anything and is left out."""
    found = []
    for k, here in enumerate(zip(*levels, strict=True)):
        full = [each[-1] for each in levels]
        last = k == len(levels[0]) - 1
        if last and row.role == RANDOM:
            continue
        name = f"level {k}" + (" (core)" if k == 0 else " (full)" if last else "")
        own = here[0]["classes"] == full[0]["classes"] and here[0]["dataset"] == full[0]["dataset"]
        label = f"random masks, level {k}" if row.role == RANDOM else f"{row.name}, {name}" if row.name else name
        speeds = [one["speed"] or _full_speed(each) for one, each in zip(here, levels, strict=True)]
        found.append({
            **({"preset": row.preset} if row.role == METHOD and not row.name else {}),
            "key": f"{row.id}/{k}", "label": label if own else f"{label}, {here[0]['classes']} classes", "path": row.id, "strength": float(k),
            "method": _look(row.role, row.config), "level": k, **about, "comparable": own,
            **_spans("accuracy", [one["accuracy"]["test"] for one in here]),
            **_spans("macs", [one["macs"] / every["macs"] for one, every in zip(here, full, strict=True)]),
            **_spans("params", [one["density"] for one in here]), **_speeds(speeds),
            "certificate": sentences.listing(sorted({one["certificate"]["verdict"] for one in here})),
        })  # fmt: skip
    return found


def _full_speed(levels: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The full level is what the others were timed against: once as fast as itself, in the median of those times."""
    timed = [level["speed"] for level in levels if level["speed"]]
    if not timed:
        return None
    ms = sum(speed["dense_ms"] for speed in timed) / len(timed)
    return {**timed[0], "measured": 1.0, "low": 1.0, "high": 1.0, "dense_ms": ms, "compact_ms": ms}


def _spans(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """Mean, and where there are several values their range: NAME, NAME_low, NAME_high."""
    several = len(values) > 1
    return {
        name: sum(values) / len(values), f"{name}_low": min(values) if several else None, f"{name}_high": max(values) if several else None,
    }  # fmt: skip


def _speeds(speeds: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Times as fast and milliseconds a batch: over seeds means with ranges, of one run the quartiles of its pairs."""
    known = [speed for speed in speeds if speed and speed.get("measured")]
    if not known or len(known) < len(speeds):
        return {}
    where = {tuple(speed.get(key) for key in WHERE_KEYS) for speed in known}
    found: dict[str, Any] = {"where": next(iter(where)) if len(where) == 1 else None}
    found |= _spans("times", [speed["measured"] for speed in known]) | _spans(
        "ms", [speed["compact_ms"] for speed in known]
    )
    if len(known) == 1 and known[0]["low"]:
        one = known[0]
        found |= {"times_low": one["low"], "times_high": one["high"]}
        compact = one["compact_ms"] * one["measured"]  # the quartiles of the pairs' ratios, as of this median
        found |= {"ms_low": compact / one["high"], "ms_high": compact / one["low"]}
    return found


def _left(pair: Mapping[str, float]) -> float:
    return pair["compact"] / pair["dense"]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value]
    return sum(known) / len(known) if known else None


def evidence_points() -> pd.DataFrame:
    """Recorded runs of the project itself, means over seeds; bars are one sample standard deviation either way."""
    found = []
    told: set[frozenset[str]] = set()
    for table in TABLES.values():
        configs = {wanted.point: wanted.config for wanted in table.wanted if wanted.role == METHOD}
        rows = recorded(table)
        machine = _machine([row["conditions"] for row in rows.values() if row.get("conditions")])
        for line in _told_once(table, summary(table, rows), told):
            config, level = configs[line["point"]], line["label"].removeprefix("level ")
            nested = config.phases[-1].method == "nested"
            found.append({
                "key": f"{table.name}/{line['point']}/{line['label']}/{line['role']}", "label": line["name"],
                "method": _look(line["role"], config.model_dump()), "role": line["role"], "source": "recorded", "network": config.network,
                "dataset": config.dataset, "n": line["n"], "epochs": line["epochs"], "seconds": line["seconds"][0] if line["seconds"] else None,
                "tried": line["tried"], "certificate": sentences.listing(line["verdicts"]), "spread": "± 1 standard deviation", "machine": machine, "counted": table.cost,
                "path": f"{table.name}/{line['point']}/{line['role']}" if nested and line["role"] == METHOD else None,
                "strength": float(level) if level.isdigit() else None, "level": int(level) if level.isdigit() else None, "comparable": True,
                **_deviations("accuracy", line["accuracy"]), **_deviations("macs", line["macs"]), **_deviations("params", line["params"]),
                **(_deviations("times", line["speed"]) if line["macs"][0] <= 1 else {}),  # a larger network was timed against itself
            })  # fmt: skip
    return pd.DataFrame(found)


def _told_once(table: Table, lines: Sequence[dict[str, Any]], told: set[frozenset[str]]) -> Iterator[dict[str, Any]]:
    """The lines of networks that leave, named; a control that several points share comes once, without a point's name, and not at all where
    another line has its runs among more seeds. `told`: the dense networks of the tables before, by their runs; those of this one join."""
    several = len({line["point"] for line in lines}) > 1
    shared = Counter((line["role"], line["accuracy"], line["macs"]) for line in lines if line["role"] != METHOD)
    runs: dict[tuple[str, str], set[str]] = {}
    for wanted in table.wanted:
        runs.setdefault((wanted.point, wanted.role), set()).add(wanted.name)
    seen: set[Any] = set()
    for line in lines:
        same, own = (line["role"], line["accuracy"], line["macs"]), runs[line["point"], line["role"]]
        among = any(own < more for (_, role), more in runs.items() if role == line["role"])
        if line["macs"] is None or same in seen or among or (line["role"] == DENSE and own in told):
            continue  # all levels together, or said before
        name = ROLES.get(line["role"], line["point"])
        if shared[same] > 1:
            seen.add(same)
        elif several and line["role"] in ROLES:
            name = f"{line['point']}: {BEHIND.get(line['role'], name)}"
        if line["role"] == DENSE:
            told.add(frozenset(own))
        yield line | {"name": _with_level(name, line)}


def _with_level(name: str, line: Mapping[str, Any]) -> str:
    """`masks, level 0`; `masks, level 0 alone`; the dense network, which is the full level alone, with its epochs."""
    role, label = line["role"], line["label"]
    if not label or role == "student":
        return name
    if role == DENSE:
        return f"{name}, {line['epochs']} epochs"
    return f"{line['point']}, {label} alone" if role == ALONE else f"{name}, {label}"


def crowded(table: pd.DataFrame, cost: str) -> bool:
    """Whether a log axis reads better: more than half of the points, none of them at 0, lie in the lowest eighth of the linear one."""
    known = pd.to_numeric(table[cost]).dropna() if cost in table else pd.Series(dtype=float)
    return len(known) > 2 and bool(known.min() > 0 and known.median() < CROWD * known.max())


def _machine(told: Sequence[Mapping[str, Any]]) -> str:
    """`AMD EPYC, float32, torch 2.13.0+cpu`: where recorded runs were made."""
    each = {
        key: ", ".join(sorted({str(one[key]) for one in told if key in one})) for key in ("cpu", "precision", "torch")
    }
    return ", ".join(f"torch {text}" if key == "torch" else text for key, text in each.items() if text)


def _deviations(name: str, value: tuple[float, float | None] | None) -> dict[str, float | None]:
    if value is None:
        return {}
    mean, deviation = value
    if not deviation:
        return {name: mean}
    return {name: mean, f"{name}_low": mean - deviation, f"{name}_high": mean + deviation}


def paper_points(network: str, dataset: str) -> pd.DataFrame:
    """The papers' points on a network and data set; what they print as left counts as they counted it."""
    return pd.DataFrame([
        {
            "key": f"paper/{number}", "label": point.point, "method": point.method, "role": "", "source": "paper", "accuracy": 1 - point.error / 100,
            "macs": point.macs_left if point.counted not in ("parameters", "weights") else None,
            "params": point.params_left if point.params_left is not None else point.macs_left if point.counted in ("parameters", "weights") else None,
            "network": network, "dataset": dataset, "comparable": True,
            "citation": f"{point.source}; {point.counted}" + (f": {point.note}" if point.note else ""),
        }
        for number, point in enumerate(points_beside(network, dataset))
    ])  # fmt: skip


def one_place(table: pd.DataFrame) -> tuple[Any, ...] | None:
    """Processor, device, threads, batch and precision, where all timed points that are not a paper's share them."""
    own = table[table["source"] != "paper"]
    if own.empty or "where" not in own or "ms" not in own:
        return None
    places = {place for place, ms in zip(own["where"], own["ms"], strict=True) if ms == ms and ms is not None}
    timed = own["ms"].notna() if "times" not in own else own["ms"].notna() | own["times"].isna()
    return next(iter(places)) if len(places) == 1 and bool(timed.all()) and None not in places else None


def of_one_count(table: pd.DataFrame) -> pd.DataFrame:
    """The points, with those that count the MACs of convolutions off the frontier where a run of one's own has those of all layers alone."""
    if "counted" not in table or not ((table["source"] == "ours") & (table["counted"] != "conv_macs")).any():
        return table
    return table.assign(comparable=table["comparable"].astype(bool) & (table["counted"] != "conv_macs"))


def frontier(table: pd.DataFrame, cost: str) -> list[str]:
    """Keys of the points that no other of one's own points beats: none is as cheap and as accurate, and better in one of the two.

    From the cheapest on. `cost`: a column; of `times` more is cheaper. Papers' points and levels of other classes do not count.
    """
    own = table[(table["source"] != "paper") & table["comparable"].astype(bool)].dropna(subset=[cost, "accuracy"])
    price = own[cost] * (-1 if cost == "times" else 1)
    order = own.assign(price=price).sort_values(["price", "accuracy"], ascending=[True, False])
    best, kept = -1.0, []
    for key, accuracy in zip(order["key"], order["accuracy"], strict=True):
        if accuracy > best:
            best = accuracy
            kept.append(str(key))
    return kept
