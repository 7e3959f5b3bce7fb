"""Runs as the pages see them: rows of the store, and what each run's folder recorded, read only as far as it is new."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import BadInput
from core.phases import KIND_WORDS
from core.runs.collapses import Report, report
from core.runs.control import adopt
from core.runs.folder import RunFolder
from core.runs.home import runs_root
from core.runs.recorded import is_recorded, recorded
from core.runs.store import Store
from core.runs.tables import LIVING, Run

KEPT = ("collapsed", "revived", "steered", "notice", "paused", "continued", "stopped", "checkpointed")


def store() -> Store:
    """The store of this machine's runs."""
    return _store(str(runs_root()))


@st.cache_resource(max_entries=4)
def _store(root: str) -> Store:
    opened = Store(Path(root))
    adopt(opened)
    return opened


def newest_run() -> str | None:
    """The run made last; None where there is none."""
    rows, _ = store().recent(1)
    return rows[0].id if rows else None


def strength_words(strengths: dict[str, float]) -> str:
    """`filters 0.003, blocks 0.02`: how hard a penalty pushes each kind; of one kind, `strength 0.003`."""
    if len(strengths) == 1:
        return f"strength {next(iter(strengths.values())):.3g}"
    return ", ".join(f"{KIND_WORDS[kind]} {value:.3g}" for kind, value in strengths.items())


METHOD_WORDS = {
    "sss": "SSS", "ssl": "SSL", "slimming": "network slimming", "l1": "l1", "prune": "pruning by size", "masks": "search for masks",
    "nested": "NestedNet", "dense": "dense control",
}  # fmt: skip


def methods_of(config: dict[str, Any]) -> str:
    """`SSL`, or several; of a run that only trains, `dense control`."""
    found = dict.fromkeys(p["method"] for p in config["phases"] if p["method"] != "dense")
    return " and ".join(METHOD_WORDS[m] for m in found or ("dense",))


def final_accuracy(accuracy: dict[str, float | None]) -> float:
    """The test accuracy of the network that a run ends with: fine-tuned, where it was."""
    return float(accuracy.get("finetuned") or accuracy["test"] or 0.0)


def learned_kinds(phase: dict[str, Any]) -> set[str]:
    """The kinds of site that a phase drives to zero; neurons go with filters."""
    if phase.get("method", "dense") in ("dense", "prune"):
        return set()
    return set(phase["kinds"]) | ({"neuron"} if "filter" in phase["kinds"] else set())


class RunView:
    """What a run recorded so far, kept between looks; `refresh` reads only what is newer."""

    def __init__(self, name: str, folder: RunFolder) -> None:
        self.name, self.folder = name, folder
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._offset, self._file_id = 0, 0
        self.started: dict[str, Any] = {}
        self.sites: list[dict[str, Any]] = []
        self.epochs: list[dict[str, Any]] = []
        self.speeds: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self.result: dict[str, Any] | None = None
        self.values = np.zeros((0, 0), "f4")
        self.alive = np.zeros((0, 0), "u1")
        self._counts = np.zeros((0, 0), "i8")
        self.says: list[str] = []
        self._tables: dict[str, tuple[Any, Any]] = {}

    def refresh(self) -> RunView:
        """Take in what was recorded since the last look; start over where a new attempt rolled back."""
        with self._lock:
            file = self.folder.path / "events.jsonl"
            found = file.stat() if file.exists() else None
            identity = found.st_ino if found else 0
            if identity != self._file_id or (found and found.st_size < self._offset):
                self._forget()
                self._file_id = identity
            events, self._offset = self.folder.events(self._offset)
            for event in events:
                self._take(event)
            if len(self.values) < len(self.epochs) and self.sites:
                values, alive = self.folder.history(len(self.values))
                counts = np.add.reduceat(alive.astype("i8"), [s["offset"] for s in self.sites], axis=1)
                first = not len(self.values)
                self.values = values if first else np.concatenate([self.values, values])
                self.alive = alive if first else np.concatenate([self.alive, alive])
                self._counts = counts if first else np.concatenate([self._counts, counts])
        return self

    def kept(self, name: str, make: Callable[[], Any], of: Any = None) -> Any:
        """What `make` gives, made anew only when something was recorded since, or `of` (an epoch, a choice) is another."""
        done = (len(self.epochs), len(self.alive), len(self.log), len(self.speeds), self.result is not None, of)
        if name not in self._tables or self._tables[name][0] != done:
            self._tables[name] = (done, make())
        return self._tables[name][1]

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "started":
            self.started, self.sites = event, self.folder.sites()
        elif kind == "epoch_done":
            self.epochs.append(event)
        elif kind == "speed":
            self.speeds.append({"epoch": event["epoch"], **event["speed"]})
        elif kind == "finished":
            self.result = event["result"]
        elif kind in KEPT and kind != "checkpointed":
            self.log.append(event)

    # what the views need

    @property
    def layout(self) -> dict[str, Any]:
        """The network's layout; empty before the start."""
        return self.started.get("layout", {})

    @property
    def total_epochs(self) -> int:
        """Epochs the run will have."""
        return sum(p["epochs"] for p in self.started["config"]["phases"]) if self.started else 0

    @property
    def newest_epoch(self) -> int:
        """The last epoch whose structure is recorded."""
        return max(0, len(self.alive) - 1)

    def counts(self) -> pd.DataFrame:
        """Living units, sites x epochs."""
        index = [s["site"] for s in self.sites]
        return self.kept(
            "counts",
            lambda: pd.DataFrame(self._counts.T, index=index) if index and self._counts.size else pd.DataFrame(),
        )

    def survival(self) -> pd.DataFrame:
        """Living fraction 0-1, sites x epochs: filters and neurons, and whatever else some phase learns, but no blocks."""
        return self.kept("survival", self._survival)

    def _survival(self) -> pd.DataFrame:
        kinds = {"filter", "neuron", "group"}.union(*(learned_kinds(p) for p in self._phases())) - {"block"}
        sites = [s for s in self.sites if s["kind"] in kinds] or self.sites
        table = self.counts().loc[[s["site"] for s in sites]] if sites else pd.DataFrame()
        return table.div([s["total"] for s in sites], axis=0) if sites else table

    def thinnest(self) -> str | None:
        """The site that lost most so far; None where there is none."""
        share = self.survival()
        if share.empty:
            return self.sites[0]["site"] if self.sites else None
        return self.kept("thinnest", lambda: str(share.iloc[:, -1].idxmin()))

    def streams(self, site: str) -> pd.DataFrame:
        """Values of one site's units, epochs x units."""
        for s in self.sites:
            if s["site"] == site:
                return pd.DataFrame(self.values[:, s["offset"] : s["offset"] + s["total"]])
        return pd.DataFrame()

    def effective_streams(self, site: str) -> pd.DataFrame:
        """Effective norms of one site's units, epochs x units; empty where they were not recorded."""
        place = next((s for s in self.sites if s["site"] == site), None)
        if place is None:
            return pd.DataFrame()
        of_all = self.kept("effective", self.folder.effectives)[: len(self.alive)]
        return pd.DataFrame(of_all[:, place["offset"] : place["offset"] + place["total"]])

    def living(self, site: str) -> np.ndarray:
        """Alive flags of one site's units, (epochs, units)."""
        place = next(s for s in self.sites if s["site"] == site)
        return self.alive[:, place["offset"] : place["offset"] + place["total"]]

    def collapses(self) -> Report:
        """Which sites collapsed, when, in which order, at what price."""
        return self.kept("collapses", lambda: report(self.started, self.sites, self._counts, self.epochs, self.log))

    def threshold(self, site: str) -> float | None:
        """The value at or below which the method cuts a unit of that site at the end; None where it has no such bound."""
        slims = self.phase().get("method") == "slimming" and self.learns(site)
        return self.phase()["slim_below"] if slims else None

    def block_factors(self) -> dict[str, np.ndarray]:
        """Factor of every block over epochs."""
        return {s["site"]: self.values[:, s["offset"]] for s in self.sites if s["kind"] == "block"}

    def table(self) -> pd.DataFrame:
        """One row an epoch: losses, accuracies, MACs left: an estimate, after the cut what was counted."""
        return self.kept("table", self._table)

    def _table(self) -> pd.DataFrame:
        columns = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "macs", "seconds"]
        table = pd.DataFrame([{c: e[c] for c in columns} for e in self.epochs], columns=columns)
        if len(table) and (counted := self.macs_counted()) is not None:
            table.loc[table.index[-1], "macs"] = counted
        return table

    def macs_counted(self) -> float | None:
        """MACs of an image in the cut network; None before the cut, and where levels leave instead."""
        if self.result is None or self.result.get("levels"):
            return None
        return float(self.result["macs_per_image"]["compact"])

    def _phases(self) -> list[dict[str, Any]]:
        return self.started["config"]["phases"] if self.started else []

    def phase(self) -> dict[str, Any]:
        """The settings of the phase of the newest epoch; empty before the start."""
        return self._phases()[self.epochs[-1]["phase"] if self.epochs else 0] if self.started else {}

    def learns_structure(self) -> bool:
        """Whether any phase of the run removes or learns structure."""
        return any(phase["method"] != "dense" for phase in self._phases())

    def learns(self, site: str) -> bool:
        """Whether the phase of the newest epoch drives that site's units to zero."""
        kind = next((s["kind"] for s in self.sites if s["site"] == site), site.rpartition("/")[2])
        return bool(self.started) and kind in learned_kinds(self.phase())

    def steerable(self) -> list[str]:
        """The kinds whose strength a person can change now."""
        present = {"filter" if s["kind"] == "neuron" else s["kind"] for s in self.sites} | {"weight"}
        return [kind for kind in self.phase().get("kinds", ()) if kind in learned_kinds(self.phase()) & present]

    def penalised(self) -> str:
        """What the penalty of the phase acts on."""
        return {"sss": "factor", "slimming": "scale", "l1": "weight"}.get(self.phase().get("method", ""), "norm")

    def noun(self, site: str) -> str:
        """What a site's recorded values are."""
        return self.penalised() if self.learns(site) else "norm"

    def markers(self) -> list[dict[str, Any]]:
        """Steering events on the epoch axis."""
        steps = max(1, self.epochs[1]["step"]) if len(self.epochs) > 1 else 1
        merged: list[dict[str, Any]] = []
        for event in (e for e in self.log if e["type"] == "steered"):
            last = merged[-1] if merged else None
            if last and last["kind"] == event["kind"] and event["epoch"] == last["epoch"]:
                last["value"] = event["value"]  # several small moves in one epoch are one change
            else:
                merged.append(dict(event))
        return [
            {
                "epoch": e["step"] / steps,
                "label": f"strength on {KIND_WORDS.get(e['kind'], e['kind'])} {e['before']:g} → {e['value']:g}",
            }
            for e in merged
        ]

    def measured(self) -> dict[str, Any] | None:
        """The newest speed result: one taken afterwards, unless training has gone on since."""
        newest = self.speeds[-1] if self.speeds else None
        file = self.folder.path / "measured.json"
        if file.exists():
            later = json.loads(file.read_text())
            if newest is None or later["epoch"] >= newest["epoch"]:
                return later["speed"]
        return newest or (self.result or {}).get("speed")

    def can_continue(self) -> bool:
        """Whether the newest checkpoint holds everything to train on (an export holds weights only)."""
        return not self.folder.about().get("weights_only", False)


@st.cache_resource(max_entries=32)
def _view(name: str, path: str) -> RunView:
    return RunView(name, RunFolder(Path(path)))


def view_of(name: str) -> RunView:
    """What the run of that name, of the store or one that comes with the program, recorded so far."""
    path = recorded()[name].folder if is_recorded(name) else store().root / name
    return _view(name, str(path)).refresh()


def row_of(name: str) -> Run | None:
    """The store's row; None for a recorded run. BadInput where there is no such run."""
    if is_recorded(name):
        return None
    try:
        return store().get(name)
    except BadInput:
        raise BadInput(
            f"this run is not here; choose one on the left, or start a new one; the address asks for {name!r}"
        ) from None


def config_of(row: Run | None, view: RunView) -> dict[str, Any]:
    """A run's settings: of its row, of a recorded run as it began; empty where nothing is recorded yet."""
    return row.config if row is not None else view.started.get("config", {})


def control_of(row: Run) -> Run | None:
    """The finished dense control of a run: of its family and its seed. None where there is none, or it is one itself."""
    kin = [] if row.role == "dense control" else store().family(row.family)
    return next((r for r in kin if r.role == "dense control" and r.seed == row.seed and r.state == "finished"), None)


def is_living(row: Run | None) -> bool:
    """Whether something may still change: queued, starting, running or paused."""
    return row is not None and (row.state in LIVING or row.state == "queued")
