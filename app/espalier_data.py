"""From a run's records to what the signature view draws (see `components.espalier` for the data)."""

from __future__ import annotations

from typing import Any

import numpy as np

from app import sentences
from app.components.espalier import packed
from app.runs import RunView

MAX_SAYS = 300  # epochs up to which every epoch has its sentence
MAX_SHARES = 2000  # epochs up to which exact shares travel; beyond, the browser estimates


def espalier_data(view: RunView, *, selected: dict[str, str], follow: bool, playing: bool = False) -> dict[str, Any]:
    """The espalier of a run: everything it needs for all epochs, so that scrubbing never asks the server.

    The part that only grows with epochs is made once an epoch, packed; a look between epochs costs next to nothing.
    """
    epoch = selected.get("epoch", "")
    chosen = {"site": selected.get("site"), "epoch": int(epoch) if epoch.isdigit() else None}
    return view.kept("espalier", lambda: _history(view)) | {"selected": chosen, "follow": follow, "playing": playing}


def _history(view: RunView) -> dict[str, Any]:
    counts, layout, table = view.counts(), view.layout, view.table()
    alive = {str(site): row for site, row in zip(counts.index, counts.to_numpy(), strict=True)}
    factors = {
        s["site"]: view.values[:, s["offset"]] for s in view.sites if s["kind"] == "block" and view.learns(s["site"])
    }
    data: dict[str, Any] = {
        "network": layout["network"], "input": view.started["config"]["dataset"], "classes": layout["head"][-1]["total"],
        "epoch_now": view.newest_epoch, "total_epochs": view.total_epochs, "stages": _stages(view, alive), "alive": alive,
        "factor": factors, "died": {site: died(row) for site, row in alive.items()}, "markers": view.markers(), "run": view.name,
    }  # fmt: skip
    if len(table) <= MAX_SHARES:
        data["macs_share"] = (table["macs"] / layout["macs"]).round(4).tolist()
    data["says"], data["say"] = _says(view, data)
    return packed(data)


def _says(view: RunView, data: dict[str, Any]) -> tuple[list[str], str]:
    """The sentence of every epoch (none where there are very many), so that it follows the scrubber; and the newest."""
    table = view.table()
    last = min(view.newest_epoch, len(table) - 1)

    def said(at: int) -> str:
        row = table.iloc[at]
        return sentences.network(
            data, at, macs=row["macs"], macs_dense=view.layout["macs"], accuracy=row["val_accuracy"]
        )

    if last < 0:
        return [], "Before training everything is alive."
    if last >= MAX_SAYS:
        return [], said(last)
    view.says += [said(at) for at in range(len(view.says), last + 1)]
    return list(view.says), view.says[-1]


def _stages(view: RunView, alive: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The layout as the view draws it; a layer whose filters this run does not learn has no site and keeps its width."""
    stages = []
    for stage in view.layout["stages"]:
        blocks = []
        for block in stage["blocks"]:
            convs = [
                {**conv, "site": conv["site"] if conv["site"] in alive and _shown(view, conv["site"]) else None}
                for conv in block["convs"]
                if conv["label"] != "shortcut"
            ]
            blocks.append(
                {**block, "convs": convs, "block_site": block["block_site"] if block["block_site"] in alive else None}
            )
        note = f"{stage['channels']} channels · {stage['size']}×{stage['size']}"
        stages.append({"name": stage["name"], "path": stage["path"], "note": note, "blocks": blocks})
    return stages


def _shown(view: RunView, site: str) -> bool:
    return any(p["method"] != "dense" for p in view.started["config"]["phases"]) or site.endswith("/block")


def died(counts: np.ndarray) -> int | None:
    """The epoch since which nothing lives; None while something does."""
    if not len(counts) or counts[-1]:
        return None
    living = np.flatnonzero(counts)
    return int(living[-1]) + 1 if len(living) else 0
