"""Runs behind the lessons on depth and on curves: the default run on digits over five seeds, and its shape from scratch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.config import RunConfig
from core.presets import preset, scratch_control
from core.training import run

SEEDS = (0, 1, 2, 3, 4)


def trained() -> dict[str, Any]:
    """Trains ten runs, about ten minutes on one core: {runs: one row a run}, each with what `row_of` says."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for config in (preset("digits-sss").config.model_copy(update={"seed": seed}) for seed in SEEDS):
            name = f"sss-{config.seed}"
            rows.append(row_of("SSS", config, Path(folder) / name))
            rows.append(row_of("from scratch", scratch_control(config, name), Path(folder) / f"scratch-{config.seed}"))
    return {"config": {"preset": "digits-sss"}, "seed": list(SEEDS), "runs": rows}


def row_of(role: str, config: RunConfig, folder: Path) -> dict[str, Any]:
    """Train a run and keep: role, seed, epochs, test accuracy (0-1), MACs an image, parameters, and the blocks that died.

    `blocks`: [site, epoch of its last death] of every block that is dead at the end, in the order of their deaths.
    """
    events = list(run(config, folder=folder))
    result = next(event.result for event in events if event.type == "finished")  # type: ignore[attr-defined]
    return {
        "role": role, "seed": config.seed, "epochs": config.epochs, "accuracy": result["accuracy"]["compact"],
        "macs": result["macs_per_image"]["compact"], "params": result["params"]["compact"], "verdict": result["certificate"]["verdict"],
        "blocks": dead_blocks((e.type, e.site, e.epoch) for e in events if e.type in ("collapsed", "revived")),  # type: ignore[attr-defined]
    }  # fmt: skip


def dead_blocks(turns: Iterable[tuple[str, str, int]]) -> list[tuple[str, int]]:
    """Of (collapsed or revived, site, epoch) in order: the blocks that stayed dead, each with its last death, first deaths first."""
    dead: dict[str, int] = {}
    for kind, site, epoch in turns:
        if kind == "collapsed" and site.endswith("/block"):
            dead[site] = epoch
        elif kind == "revived":
            dead.pop(site, None)
    return sorted(dead.items(), key=lambda item: item[1])
