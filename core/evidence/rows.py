"""Rows of evidence: what a finished run leaves, as a small JSON file, `assets/evidence/rows/NAME.json`."""

from __future__ import annotations

import hashlib
import json
import time
from itertools import pairwise
from typing import Any

from core.config import RunConfig, checked
from core.data.names import DATASETS
from core.errors import BadInput
from core.evidence.wanted import Wanted
from core.runs.folder import RunFolder, write_atomically
from core.runs.home import PROJECT
from core.runs.tables import Run

FOLDER = PROJECT / "assets" / "evidence" / "rows"
KEPT = (
    "accuracy",
    "macs",
    "macs_per_image",
    "params",
    "removed",
    "certificate",
    "weights_sha256",
    "conditions",
    "seconds",
    "processor_seconds",
)
ANYWHERE: dict[str, Any] = {
    "device": "auto",
    "precision": "auto",
    "threads": 0,
}  # fixed by the machine, told in the conditions


def alike(a: RunConfig, b: RunConfig) -> bool:
    """Whether two runs learn by the same settings, wherever they run."""
    return a.model_copy(update=ANYWHERE) == b.model_copy(update=ANYWHERE)


def row_of(wanted: Wanted) -> dict[str, Any] | None:
    """The recorded row; None where there is none, or its settings are not today's."""
    file = FOLDER / f"{wanted.name}.json"
    if not file.exists():
        return None
    row: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    try:
        return row if alike(checked(row["settings"]), wanted.config) else None
    except BadInput:
        return None


def write_row(wanted: Wanted, run: Run, folder: RunFolder) -> None:
    """Keep what a finished run leaves. `settings` name another row where the run names another run."""
    result = run.result or {}
    settings = json.loads(wanted.config.model_dump_json())
    row = {
        "name": wanted.name, "role": wanted.role, "seed": wanted.config.seed, "tried": wanted.tried, "epochs": wanted.config.epochs,
        "settings": settings, "settings_sha256": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        **{key: result.get(key) for key in KEPT}, "speed": _without_layers(result.get("speed")), "date": time.strftime("%Y-%m-%d"),
        **_of_compact(folder, wanted.config), "deaths": _deaths(folder), "collapsed": _collapsed(folder), "left": _left(folder, result),
    }  # fmt: skip
    if result.get("levels"):
        row["levels"] = [one | {"speed": _without_layers(one["speed"])} for one in result["levels"]]
        row["consensus"] = result["consensus"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_atomically(FOLDER / f"{wanted.name}.json", json.dumps(row, indent=1))


def _without_layers(speed: dict[str, Any] | None) -> dict[str, Any] | None:
    return {key: value for key, value in speed.items() if key != "layers"} if speed else None


def _deaths(folder: RunFolder) -> list[int]:
    """The epochs after which fewer units lived than before."""
    alive = [
        (event["epoch"], sum(event["alive"].values())) for event in folder.events()[0] if event["type"] == "epoch_done"
    ]
    return [epoch for (_, before), (epoch, now) in pairwise(alive) if now < before]


def _left(folder: RunFolder, result: dict[str, Any]) -> dict[str, list[int]]:
    """[alive at the end, of how many] of every site that was learned last; what was cut before the first epoch counts, too."""
    alive = [event["alive"] for event in folder.events()[0] if event["type"] == "epoch_done"]
    whole = {one["site"]: one["total"] for one in (result.get("why") or {}).get("sites", [])}
    last = alive[-1] if alive else {}
    return {site: [left, whole.get(site, max(each.get(site, 0) for each in alive))] for site, left in last.items()}


def _collapsed(folder: RunFolder) -> list[list[Any]]:
    """[epoch, site] of everything that collapsed and did not come back, in order."""
    dead: dict[str, int] = {}
    for event in folder.events()[0]:
        if event["type"] == "collapsed":
            dead[event["site"]] = event["epoch"]
        elif event["type"] == "revived":
            dead.pop(event["site"], None)
    return sorted([epoch, site] for site, epoch in dead.items())


def _of_compact(folder: RunFolder, config: RunConfig) -> dict[str, float]:
    """MACs of the convolutions for one image, `conv_macs` of the compact network and `conv_macs_dense`: what SSL's tables count; and `density`,
    weights of it that are not zero over those of the dense network (0-1)."""
    if not folder.compact.exists():
        return {}
    import torch

    from core.levels import living
    from core.networks import build
    from core.structure import cost, load

    shape, classes = DATASETS[config.dataset].shape, DATASETS[config.dataset].num_classes
    dense = build(config.network, num_classes=classes, in_channels=shape[0], image_size=shape[1])
    small = load(folder.compact).eval()
    left, whole = (cost(network, torch.zeros(1, *shape)).conv_macs for network in (small, dense.eval()))
    return {"conv_macs": left, "conv_macs_dense": whole, "density": living(small) / living(dense)}
