"""Evidence: tables of numbers that the project stands by, each row a run that anyone can repeat.

A table is `assets/evidence/NAME.json`: settings, seeds, versions, conditions, a row for each run and the paired
differences. `python -m core evidence NAME` runs the rows that are still missing and writes after each.
"""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import RunConfig, checked, with_settings
from core.errors import BadInput, one_of
from core.presets import dense_control, preset
from core.runs.folder import write_atomically
from core.runs.home import PROJECT

FOLDER = PROJECT / "assets" / "evidence"


@dataclass(frozen=True)
class Table:
    """A preset and its dense control over the same seeds, so that differences are paired."""

    name: str
    title: str
    preset: str
    seeds: tuple[int, ...]

    @property
    def file(self) -> Path:
        """Where the table lies."""
        return FOLDER / f"{self.name}.json"

    def configs(self) -> dict[str, RunConfig]:
        """The settings of every row, by name."""
        base = preset(self.preset).config
        rows = {}
        for seed in self.seeds:
            config = with_settings(base, {"seed": seed})
            rows[f"sss-{seed}"] = config
            rows[f"dense-{seed}"] = dense_control(config)
        return rows


TABLES = {
    t.name: t
    for t in (Table("digits", "ResNet-20 on digits: SSS against its dense control", "digits-sss", (0, 1, 2, 3, 4)),)
}


def listed() -> list[dict[str, Any]]:
    """Every table: {name, complete, rows, missing}; a row of other settings than today's counts as missing."""
    return [_state(table) for table in TABLES.values()]


def complete(name: str, say: Callable[[str], None], data: Path | None = None) -> dict[str, Any]:
    """Run what the table still lacks; returns its state."""
    if name not in TABLES:
        raise one_of("table", name, TABLES)
    table = TABLES[name]
    rows = _rows(table)
    for row, config in table.configs().items():
        if row not in rows:
            say(f"{name}: {row}")
            rows[row] = _row(config, data)
            _write(table, rows)
    return _state(table)


def _state(table: Table) -> dict[str, Any]:
    rows = _rows(table)
    missing = [row for row in table.configs() if row not in rows]
    return {
        "name": table.name,
        "title": table.title,
        "complete": not missing,
        "rows": len(rows),
        "missing": missing,
        "file": str(table.file),
    }


def _rows(table: Table) -> dict[str, Any]:
    """The rows on disk that were made with today's settings."""
    if not table.file.exists():
        return {}
    kept = json.loads(table.file.read_text())["rows"]
    wanted = table.configs()
    return {name: row for name, row in kept.items() if name in wanted and _is(row["settings"], wanted[name])}


def _is(settings: dict[str, Any], config: RunConfig) -> bool:
    """Whether recorded settings are those of `config`; what an older version did not know has its default."""
    try:
        return checked(settings) == config
    except BadInput:
        return False


def _settings(config: RunConfig) -> dict[str, Any]:
    return json.loads(config.model_dump_json())


def _row(config: RunConfig, data: Path | None) -> dict[str, Any]:
    from core import training

    deaths: list[int] = []
    alive_before, epochs = None, []
    for event in training.run(config, data=data):
        if event.type == "epoch_done":
            alive = sum(event.alive.values())  # type: ignore[attr-defined]
            if alive_before is not None and alive < alive_before:
                deaths.append(event.epoch)
            alive_before = alive
            epochs.append(event.seconds)  # type: ignore[attr-defined]
        elif event.type == "finished":
            result = event.result  # type: ignore[attr-defined]
    kept = ("accuracy", "macs_per_image", "params", "removed", "certificate", "weights_sha256", "conditions")
    speed = {k: v for k, v in result["speed"].items() if k != "layers"}
    seconds = {"training": round(sum(epochs), 1)}
    return {
        "settings": _settings(config),
        **{k: result[k] for k in kept},
        "speed": speed,
        "deaths": deaths,
        "seconds": seconds,
    }


def _write(table: Table, rows: dict[str, Any]) -> None:
    pairs = [(rows[f"sss-{s}"], rows[f"dense-{s}"]) for s in table.seeds if f"sss-{s}" in rows and f"dense-{s}" in rows]
    table.file.parent.mkdir(parents=True, exist_ok=True)
    document = {"title": table.title, "python": platform.python_version(), "summary": _summary(pairs), "rows": rows}
    write_atomically(table.file, json.dumps(document, indent=1))


def _summary(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Means and sample standard deviations over the seeds that have both rows; fractions 0-1."""
    if not pairs:
        return {"n": 0}

    def spread(values: list[float]) -> dict[str, float]:
        return {"mean": statistics.fmean(values), "sd": statistics.stdev(values) if len(values) > 1 else 0.0}

    thirds = [
        (min(a["deaths"]), max(a["deaths"]), sum(p["epochs"] for p in a["settings"]["phases"]))
        for a, _ in pairs
        if a["deaths"]
    ]
    return {
        "n": len(pairs),
        "first_death_epoch": [first for first, _, _ in thirds],
        "last_death_epoch": [last for _, last, _ in thirds],
        "epochs": [total for _, _, total in thirds],
        "sss_test": spread([a["accuracy"]["test"] for a, _ in pairs]),
        "compact_test": spread([a["accuracy"]["compact"] for a, _ in pairs]),
        "dense_test": spread([b["accuracy"]["test"] for _, b in pairs]),
        "paired_difference": spread([a["accuracy"]["compact"] - b["accuracy"]["test"] for a, b in pairs]),
        "macs_left": spread([a["macs_per_image"]["compact"] / a["macs_per_image"]["dense"] for a, _ in pairs]),
        "params_left": spread([a["params"]["compact"] / a["params"]["dense"] for a, _ in pairs]),
        "measured_speed": spread([a["speed"]["measured"] for a, _ in pairs]),
        "promised_speed": spread([a["speed"]["promised"] for a, _ in pairs]),
        "largest_certificate_max_rel": max(a["certificate"]["max_rel"] or 0.0 for a, _ in pairs),
        "verdicts": sorted({a["certificate"]["verdict"] for a, _ in pairs}),
    }


def markdown(name: str) -> str:
    """The table's summary as the README shows it: means ± sample standard deviations over seeds."""
    kept = json.loads(TABLES[name].file.read_text())
    s, rows = kept["summary"], kept["rows"]
    speed, told = rows["sss-0"]["speed"], rows["sss-0"]["conditions"]

    def percent(key: str, digits: int = 1) -> str:
        return f"{100 * s[key]['mean']:.{digits}f} ± {100 * s[key]['sd']:.{digits}f} %"

    def times(key: str) -> str:
        return f"{s[key]['mean']:.2f} ± {s[key]['sd']:.2f} x"

    epochs = s["epochs"][0]
    lines = [
        f"| over {s['n']} seeds, mean ± sd | SSS, after the cut | dense control |",
        "|---|---|---|",
        f"| test accuracy (360 images) | {percent('compact_test')} | {percent('dense_test')} |",
        f"| paired difference in test accuracy | {100 * s['paired_difference']['mean']:+.2f} ± {100 * s['paired_difference']['sd']:.2f} points | |",
        f"| MACs left | {percent('macs_left')} | 100 % |",
        f"| parameters left | {percent('params_left')} | 100 % |",
        f"| speed promised by MACs | {times('promised_speed')} | 1 x |",
        f"| speed measured ({speed['n']} pairs a seed, batch {speed['batch']}, {told['threads']} thread, {told['cpu']}) | {times('measured_speed')} | 1 x |",
        f"| removal | {', '.join(s['verdicts'])}; largest difference {s['largest_certificate_max_rel']:.0e} of the output's spread | |",
        f"| epochs of the first and last deaths, of {epochs} | {min(s['first_death_epoch'])}-{max(s['first_death_epoch'])} and {min(s['last_death_epoch'])}-{max(s['last_death_epoch'])} | |",
    ]
    return "\n".join(lines)
