"""From a run's records to what the signature view draws (see `components.espalier` for the data)."""

from __future__ import annotations

from typing import Any

from app import sentences
from app.runs import RunView


def espalier_data(view: RunView, *, selected: dict[str, str], follow: bool, playing: bool = False) -> dict[str, Any]:
    """The espalier of a run: everything it needs for all epochs, so that scrubbing never asks the server."""
    counts = view.counts()
    alive = {str(site): [int(n) for n in row] for site, row in zip(counts.index, counts.to_numpy(), strict=True)}
    dataset, layout = view.started["config"]["dataset"], view.layout
    table = view.table()
    epoch = selected.get("epoch", "")
    data: dict[str, Any] = {
        "network": layout["network"], "input": dataset, "classes": layout["head"][-1]["total"],
        "epoch_now": view.newest_epoch, "total_epochs": view.total_epochs, "stages": _stages(layout, alive),
        "alive": alive, "factor": view.block_factors(), "died": {site: _died(row) for site, row in alive.items()},
        "markers": view.markers(), "selected": {"site": selected.get("site"), "epoch": int(epoch) if epoch.isdigit() else None},
        "follow": follow, "playing": playing, "run": view.name,
        "macs_share": [round(m / layout["macs"], 4) for m in table["macs"]],
    }  # fmt: skip
    data["say"] = say(view, data)
    return data


def say(view: RunView, data: dict[str, Any], epoch: int | None = None) -> str:
    """The sentence of the espalier at an epoch (None: the newest)."""
    table = view.table()
    if table.empty:
        return "Before training everything is alive."
    at = min(view.newest_epoch if epoch is None else epoch, len(table) - 1)
    row = table.iloc[at]
    return sentences.network(data, at, macs=row["macs"], macs_dense=view.layout["macs"], accuracy=row["val_accuracy"])


def _stages(layout: dict[str, Any], alive: dict[str, list[int]]) -> list[dict[str, Any]]:
    stages = []
    for stage in layout["stages"]:
        blocks = []
        for block in stage["blocks"]:
            convs = [
                {**conv, "site": conv["site"] if conv["site"] in alive else None}
                for conv in block["convs"]
                if conv["label"] != "shortcut"
            ]
            blocks.append(
                {**block, "convs": convs, "block_site": block["block_site"] if block["block_site"] in alive else None}
            )
        size = f"{stage['size']}×{stage['size']}"
        stages.append(
            {
                "name": stage["name"],
                "path": stage["path"],
                "note": f"{stage['channels']} channels · {size}",
                "blocks": blocks,
            }
        )
    return stages


def _died(counts: list[int]) -> int | None:
    """The epoch since which nothing lives; None while something does."""
    if not counts or counts[-1]:
        return None
    epoch = len(counts)
    while epoch and counts[epoch - 1] == 0:
        epoch -= 1
    return epoch
