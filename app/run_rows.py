"""The table of runs as data: one row a run, what differs between several, and the curves that a row and a comparison draw."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import sentences
from app.app_pages.parts import clock
from app.runs import final_accuracy, methods_of
from core.networks.names import shown
from core.runs.tables import Run

SPARK_POINTS = 40
LEFT_OUT = {"threads", "device", "precision", "source"}  # of settings that differ: no choice of what is learned


def table_of(rows: Sequence[Run], root: Path) -> pd.DataFrame:
    """One row a run: name, state, accuracy over its epochs, what it ended with. Fractions are 0-1, None where unknown."""
    return pd.DataFrame([_row(row, root) for row in rows])


def _row(row: Run, root: Path) -> dict[str, Any]:
    result = row.result or {}
    macs = result.get("macs_per_image")
    alive = survival(result)
    return {
        "run": row.name or row.id, "state": row.state, "validation": spark(root / row.id), "accuracy": final_accuracy(result["accuracy"]) if "accuracy" in result else None,
        "MACs left": macs["compact"] / macs["dense"] if macs else None, "alive": alive, "data": row.config["dataset"], "network": shown(row.config["network"]),
        "method": row.role if row.role != "method" else methods_of(row.config), "seed": row.seed, "tags": list(row.tags or ()),
        "created": pd.Timestamp(row.created, unit="s", tz="UTC"), "id": row.id,
    }  # fmt: skip


def survival(result: dict[str, Any]) -> float | None:
    """The share of filters and neurons that live at the end; of a run that learned none of them, of what it did learn."""
    rows = result.get("survival") or []
    counted = [r for r in rows if r["kind"] in ("filter", "neuron")] or rows
    total = sum(r["total"] for r in counted)
    return sum(r["alive"] for r in counted) / total if total else None


def spark(folder: Path) -> list[float]:
    """Validation accuracy (0-1) over the epochs, at most 40 points; read again only when the events have grown."""
    try:
        found = (folder / "events.jsonl").stat()
    except OSError:
        return []
    return _spark(str(folder), found.st_mtime_ns, found.st_size)


@st.cache_data(max_entries=4096, show_spinner=False)
def _spark(folder: str, changed: int, size: int) -> list[float]:
    values = []
    with (Path(folder) / "events.jsonl").open("rb") as lines:
        for line in lines:
            if b'"epoch_done"' in line[:40] and line.endswith(b"\n"):
                value = json.loads(line).get("val_accuracy")
                values.append(value if isinstance(value, float | int) and math.isfinite(value) else 0.0)
    every = max(1, math.ceil(len(values) / SPARK_POINTS))
    return [round(v, 4) for v in values[::-1][::every][::-1]]  # from the newest back: the end is always shown


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Settings under flat names: `epochs of phase 1`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if key == "phases":
            for number, phase in enumerate(value, 1):
                flat |= {f"{name} of phase {number}" if len(value) > 1 else name: each for name, each in phase.items()}
        elif key not in LEFT_OUT:
            flat[key] = value
    return flat


def differing(rows: Sequence[Run], labels: Sequence[str]) -> pd.DataFrame:
    """The settings in which the runs differ, one row each, one column a run; text, as they are of many kinds."""
    each = [settings_of(row.config) for row in rows]
    names = dict.fromkeys(name for flat in each for name in flat)
    told = {name: [_told(flat.get(name, "")) for flat in each] for name in names}
    found = {name: values for name, values in told.items() if len(set(values)) > 1}
    return pd.DataFrame.from_dict(found, orient="index", columns=list(labels)).rename_axis("setting")


def _told(value: Any) -> str:
    if value is None or value == "":
        return "—"
    return f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def results_of(rows: Sequence[Run], labels: Sequence[str]) -> pd.DataFrame:
    """What each run ended with, one row a number, one column a run; each with its spread or conditions."""
    return pd.DataFrame({label: _result(row) for row, label in zip(rows, labels, strict=True)}).rename_axis("result")


def _result(row: Run) -> dict[str, str]:
    result = row.result or {}
    said = {"state": row.state, "seed": str(row.seed)}
    if not result:
        return said
    macs, params, speed, proof = (result[key] for key in ("macs_per_image", "params", "speed", "certificate"))
    said |= {
        "test accuracy": f"{100 * final_accuracy(result['accuracy']):.2f} %",
        "after the cut": f"{100 * (result['accuracy'].get('compact') or 0):.2f} %",
        "MACs left": f"{100 * macs['compact'] / macs['dense']:.1f} % of {macs['dense'] / 1e6:.3g} M",
        "parameters left": f"{100 * params['compact'] / params['dense']:.1f} % of {params['dense'] / 1e3:.4g} k",
        "removal": proof["verdict"],
    }
    if speed and macs["compact"]:
        said["measured speed"] = f"{speed['measured']:.2f} × (promised {speed['promised']:.2f} ×)"
        said["quartiles"] = f"{speed['low']:.2f}–{speed['high']:.2f}, n = {speed['n']} pairs"
        said["measured on"] = f"{speed['cpu']}, {sentences.plural(speed['threads'], 'thread')}, batch {speed['batch']}"
    seconds = result.get("seconds")
    return said | ({"time": clock(seconds)} if seconds else {})


def labels_of(rows: Sequence[Run]) -> list[str]:
    """A short name for each: its own; where two are alike, with the end of its id."""
    names = [row.name or row.id for row in rows]
    return [
        name if names.count(name) == 1 else f"{name} ({row.id[-6:]})" for name, row in zip(names, rows, strict=True)
    ]


def tail(file: Path, lines: int = 200, most: int = 200_000) -> str:
    """The last lines of a log; empty where there is none."""
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - most))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
