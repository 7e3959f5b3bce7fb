"""From a run's records to what the signature view draws (see `components.espalier` for the data)."""

from __future__ import annotations

from typing import Any

import numpy as np

from app import network_words
from app.components.espalier import packed
from app.level_words import is_masked, nested_phase
from app.runs import RunView, learned_kinds

MAX_SAYS = 300  # epochs up to which every epoch has its sentence
MAX_SHARES = 2000  # epochs up to which exact shares travel; beyond, the browser estimates
MAX_BYTES = 42_000  # of a history with all its units; a longer one carries those of the selected site only
PACE_EPOCHS = 2  # a living unit is dying if, falling on as in these epochs,
LEFT_EPOCHS = 5  # it is zero within so many more
DEAD, DYING, ALIVE = 0, 1, 2


def espalier_data(
    view: RunView,
    *,
    selected: dict[str, str],
    follow: bool,
    playing: bool = False,
    whole: bool = False,
    bands: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The espalier of a run: everything it needs for all epochs, so that scrubbing never asks the server.

    The part that only grows with epochs is made once an epoch, packed; a look between epochs costs next to nothing.
    `whole`: with the units of every site, however long that is. `bands`: of a nested run, who contains whom (`core.nested.bands`).
    """
    epoch, unit = selected.get("epoch", ""), selected.get("unit", "")
    chosen = {
        "site": selected.get("site"),
        "unit": int(unit) if unit.isdigit() else None,
        "epoch": int(epoch) if epoch.isdigit() else None,
    }
    live: dict[str, Any] = {"selected": chosen, "follow": follow, "playing": playing}
    if levels := _levels(view, bands):
        live["levels"] = levels
    full, thin = view.kept("espalier", lambda: _histories(view))
    if thin is None or whole:
        return full | live
    return thin | _near(view, selected.get("site")) | live


def newest_sentence(view: RunView) -> str:
    """What the newest picture shows."""
    return _says(view, _plain(view))[1]


def _histories(view: RunView) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The packed history with all units, and one without where that is too long for a tick."""
    data = _plain(view)
    data["says"], data["say"] = _says(view, data)
    states = {conv["site"]: unit_states(view, conv["site"]) for conv in _drawn(data["stages"]) if conv["site"]}
    full = packed(data | {"units": states})
    return full, None if len(full["bytes"]) <= MAX_BYTES else packed(data)


def _near(view: RunView, site: str | None) -> dict[str, Any]:
    """The units of one site, for the close-up."""
    if site not in [s["site"] for s in view.sites]:
        return {}
    return {"near": packed({"stages": [], "units": {site: unit_states(view, str(site))}})["bytes"]}


def _plain(view: RunView) -> dict[str, Any]:
    counts, layout, table = view.counts(), view.layout, view.table()
    alive = {str(site): row for site, row in zip(counts.index, counts.to_numpy(), strict=True)}
    factors = {
        s["site"]: view.values[:, s["offset"]] for s in view.sites if s["kind"] == "block" and view.learns(s["site"])
    }
    stages = _stages(view, alive)
    taps, tap_counts = _taps(view, stages)
    data: dict[str, Any] = {
        "network": layout["network"], "input": view.started["config"]["dataset"], "classes": layout["head"][-1]["total"],
        "epoch_now": view.newest_epoch, "total_epochs": view.total_epochs, "stages": stages, "alive": alive | tap_counts,
        "factor": factors, "died": {site: died(row) for site, row in alive.items()}, "markers": view.markers(), "run": view.name,
        "norms": {c["site"]: _mean_norm(view, c["site"]) for c in _drawn(stages) if c["site"]}, "noun": view.penalised(), "taps": taps,
    }  # fmt: skip
    if len(table) <= MAX_SHARES:
        data["macs_share"] = (table["macs"] / layout["macs"]).round(4).tolist()
    return data


def _drawn(stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [conv for stage in stages for block in stage["blocks"] for conv in block["convs"]]


def _place(view: RunView, site: str) -> slice:
    found = next(s for s in view.sites if s["site"] == site)
    return slice(found["offset"], found["offset"] + found["total"])


def unit_states(view: RunView, site: str) -> np.ndarray:
    """(epochs, units) uint8: 0 dead, 1 dying (alive, and zero within LEFT_EPOCHS at its pace, where the run learns it), 2 alive."""
    place = _place(view, site)
    alive, values = view.alive[:, place] > 0, np.abs(view.values[:, place])
    states = np.where(alive, ALIVE, DEAD).astype("u1")
    if _ever_learned(view, site) and len(values) > PACE_EPOCHS:
        pace = (values[:-PACE_EPOCHS] - values[PACE_EPOCHS:]) / PACE_EPOCHS
        falling = alive[PACE_EPOCHS:] & (pace > 0) & (values[PACE_EPOCHS:] <= LEFT_EPOCHS * pace)
        states[PACE_EPOCHS:][falling] = DYING
    return states


def _ever_learned(view: RunView, site: str) -> bool:
    kind = next(s["kind"] for s in view.sites if s["site"] == site)
    return any(kind in learned_kinds(phase) for phase in view.started["config"]["phases"])


def _mean_norm(view: RunView, site: str) -> np.ndarray:
    """Mean norm (or factor) of a site's living units at every epoch; 0 where none lives."""
    place = _place(view, site)
    alive = view.alive[:, place] > 0
    total = np.where(alive, np.abs(view.values[:, place]), 0).sum(1)
    return total / np.maximum(1, alive.sum(1))


def _taps(view: RunView, stages: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Of every drawn convolution whose filter shapes are watched: its grid of taps, and the living shapes of each tap."""
    watched = {s["site"] for s in view.sites}
    taps: dict[str, Any] = {}
    counts: dict[str, np.ndarray] = {}
    for conv in _drawn(stages):
        site, side = f"{conv['path']}/shape", conv["kernel"]
        if site in watched and side > 1 and _ever_learned(view, site):
            alive = view.alive[:, _place(view, site)].reshape(len(view.alive), -1, side * side)
            names = [f"{site}/{tap}" for tap in range(side * side)]
            taps[conv["path"]] = {"side": side, "total": alive.shape[1], "sites": names}
            counts |= dict(zip(names, (alive > 0).sum(1).T, strict=True))
    return taps, counts


def _levels(view: RunView, bands: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """What every level of a nested run has of each layer, as fractions; of levels made of leading filters, how many."""
    phase = nested_phase(view.started["config"])
    if phase is None or not bands:
        return None
    what = "weights" if is_masked(phase["levels"]) else "units"
    kept = {b["layer"]: [round(k / b[what]["total"], 4) for k in b[what]["kept"]] for b in bands}
    levels: dict[str, Any] = {"count": len(bands[0]["units"]["kept"]), "what": what, "kept": kept}
    if what == "units" and phase["order"] == "leading":
        levels["units"] = {b["layer"]: b["units"]["kept"] for b in bands}
    return levels


def _says(view: RunView, data: dict[str, Any]) -> tuple[list[str], str]:
    """The sentence of every epoch (none where there are very many), so that it follows the scrubber; and the newest."""
    table, phase = view.table(), nested_phase(view.started["config"])
    data = data | {"nested": len(phase["levels"])} if phase else data
    last = min(view.newest_epoch, len(table) - 1)

    def said(at: int) -> str:
        row = table.iloc[at]
        return network_words.network(
            data, at, macs=row["macs"], macs_dense=view.layout["macs"], accuracy=row["val_accuracy"]
        )

    if last < 0:
        return [], "Before training everything is alive."
    if last >= MAX_SAYS:
        return [], said(last)
    view.says += [said(at) for at in range(len(view.says), last + 1)]
    return list(view.says), view.says[-1]


def _stages(view: RunView, alive: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The layout as the view draws it; a layer whose filters this run does not learn has no site and keeps its width.

    Layers between the last stage and the class scores are a stage of their own."""
    stages = []
    hidden = [
        {"path": conv["path"], "label": conv["path"], "skip": "none", "block_site": None, "convs": [conv]}
        for conv in view.layout["head"][:-1]
    ]
    ends = [{"name": "Head", "path": "head", "blocks": hidden}] if hidden else []
    for stage in [*view.layout["stages"], *ends]:
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
        stages.append({"name": stage["name"], "path": stage["path"], "note": _note(stage), "blocks": blocks})
    return stages


def _note(stage: dict[str, Any]) -> str:
    if "channels" not in stage:
        return "behind the stages"
    if not stage["channels"]:  # every block appends some
        return f"{stage['size']}×{stage['size']}"
    if stage["size"] == 1:
        return f"{stage['channels']} wide"
    return f"{stage['channels']} channels · {stage['size']}×{stage['size']}"


def _shown(view: RunView, site: str) -> bool:
    return any(p["method"] != "dense" for p in view.started["config"]["phases"]) or site.endswith("/block")


def died(counts: np.ndarray) -> int | None:
    """The epoch since which nothing lives; None while something does."""
    if not len(counts) or counts[-1]:
        return None
    living = np.flatnonzero(counts)
    return int(living[-1]) + 1 if len(living) else 0
