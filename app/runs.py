"""Runs as the pages see them: rows of the store, and what each run's folder recorded, read only as far as it is new."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.runs.control import adopt
from core.runs.folder import RunFolder
from core.runs.home import PROJECT, runs_root
from core.runs.store import LIVING, Run, Store

DEMO = "demo"
DEMO_FOLDER = PROJECT / "assets" / "demo"
KEPT = ("collapsed", "revived", "steered", "notice", "paused", "continued", "stopped", "checkpointed")


def store() -> Store:
    """The store of this machine's runs."""
    return _store(str(runs_root()))


@st.cache_resource(max_entries=4)
def _store(root: str) -> Store:
    opened = Store(Path(root))
    adopt(opened)
    return opened


def all_runs() -> list[Run]:
    """Every run, newest first."""
    return store().all()


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

    def refresh(self) -> RunView:
        """Take in what was recorded since the last look; start over where a new attempt rolled back."""
        with self._lock:
            file = self.folder.path / "events.jsonl"
            identity = file.stat().st_ino if file.exists() else 0
            if identity != self._file_id:
                self._forget()
                self._file_id = identity
            events, self._offset = self.folder.events(self._offset)
            for event in events:
                self._take(event)
            if len(self.values) < len(self.epochs):
                values, alive = self.folder.history(len(self.values))
                fresh = not len(self.values)
                self.values = values if fresh else np.concatenate([self.values, values])
                self.alive = alive if fresh else np.concatenate([self.alive, alive])
        return self

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
        rows = {
            s["site"]: self.alive[:, s["offset"] : s["offset"] + s["total"]].sum(axis=1, dtype=int) for s in self.sites
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=range(len(self.alive))) if rows else pd.DataFrame()

    def survival(self) -> pd.DataFrame:
        """Living fraction 0-1, sites x epochs, blocks left out."""
        sites = [s for s in self.sites if s["kind"] != "block"] or self.sites
        table = self.counts().loc[[s["site"] for s in sites]] if sites else pd.DataFrame()
        return table.div([s["total"] for s in sites], axis=0) if sites else table

    def streams(self, site: str) -> pd.DataFrame:
        """Values of one site's units, epochs x units."""
        for s in self.sites:
            if s["site"] == site:
                return pd.DataFrame(self.values[:, s["offset"] : s["offset"] + s["total"]])
        return pd.DataFrame()

    def block_factors(self) -> dict[str, list[float]]:
        """Factor of every block over epochs."""
        return {s["site"]: [float(v) for v in self.values[:, s["offset"]]] for s in self.sites if s["kind"] == "block"}

    def table(self) -> pd.DataFrame:
        """One row an epoch: losses, accuracies, MACs left."""
        columns = ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "macs", "seconds"]
        return pd.DataFrame([{c: e[c] for c in columns} for e in self.epochs], columns=columns)

    def markers(self) -> list[dict[str, Any]]:
        """Steering events on the epoch axis."""
        steps = max(1, self.epochs[1]["step"]) if len(self.epochs) > 1 else 1
        words = {"filter": "filters", "block": "blocks"}
        return [
            {
                "epoch": e["step"] / steps,
                "label": f"strength on {words.get(e['kind'], e['kind'])} {e['before']:g} → {e['value']:g}",
            }
            for e in self.log
            if e["type"] == "steered"
        ]

    def measured(self) -> dict[str, Any] | None:
        """The newest speed result: measured afterwards, or while training."""
        file = self.folder.path / "measured.json"
        if file.exists():
            return json.loads(file.read_text())["speed"]
        return self.speeds[-1] if self.speeds else (self.result or {}).get("speed")


@st.cache_resource(max_entries=32)
def _view(name: str, path: str) -> RunView:
    return RunView(name, RunFolder(Path(path)))


def view_of(name: str) -> RunView:
    """What the run of that name (or the recorded demo) recorded so far."""
    path = DEMO_FOLDER if name == DEMO else store().root / name
    return _view(name, str(path)).refresh()


def row_of(name: str) -> Run | None:
    """The store's row; None for the demo. BadInput where there is no such run."""
    return None if name == DEMO else store().get(name)


def is_living(row: Run | None) -> bool:
    """Whether something may still change: queued, starting, running or paused."""
    return row is not None and (row.state in LIVING or row.state == "queued")
