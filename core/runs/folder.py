"""The folder of a run: what it recorded, in files that only grow. A live run, a recorded demo and an export are alike.

    run.json            settings and kinship, written once; the state when the run is over
    events.jsonl        one event a line, appended (`core.events`)
    history.json        the sites, in order: site, kind, total, offset of their units
    values.f32          one record an epoch: the factor (or norm) of every unit, float32
    effective.f32       one record an epoch: the effective norm of every unit (missing in runs of older versions)
    alive.u8            one record an epoch: 1 where the unit is alive
    checkpoints/        one at step 0, then after every epoch
    compact.safetensors the network after the cut, rebuilt without pickle; certificate.json beside it
    search.json         of a family's first run: the search for a strength that it belongs to (`core.runs.searching`)
    measured.json       the newest speed that was measured afterwards; measured-sweep.json: by batch, threads and engine
    worker.log          what the process printed

Readers need no lock: a half-written last line or record is not there yet. No torch.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from core.atomic import replacing
from core.errors import DamagedFile, WrongMoment
from core.events import Checkpointed, Event, Started, Structure

FORMAT = 1
SWEEPS = "measured-sweep.json"
HISTORY = {"values.f32": 4, "effective.f32": 4, "alive.u8": 1}  # bytes of a unit in each


def write_atomically(file: Path, text: str) -> None:
    """Replace `file` by `text` in one move; a crash leaves the old or the new one."""
    with replacing(file) as beside:
        beside.write_text(text)


class RunFolder:
    """Reads what a run recorded; every read takes only what is newer than a given place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def compact(self) -> Path:
        """The compact network's file."""
        return self.path / "compact.safetensors"

    def lacks(self, what: str) -> WrongMoment | DamagedFile:
        """The error for a run that has no `what` yet; another one where its whole folder is gone."""
        if not self.path.is_dir():
            return DamagedFile(
                f"run {self.path.name} must have its folder; {self.path} is gone; put it back, or delete the run and train it again"
            )
        return WrongMoment(f"run {self.path.name} must have {what}; it has none yet; wait for its first epoch")

    def about(self) -> dict[str, Any]:
        """`run.json`; DamagedFile where it is missing, cut short or of a newer format."""
        file = self.path / "run.json"
        try:
            about = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise DamagedFile(
                f"{file} must be a run's JSON description; got {type(error).__name__}; copy the whole folder again"
            ) from None
        if not isinstance(about, dict) or about.get("format", 0) > FORMAT:
            raise DamagedFile(
                f"{file} must have format {FORMAT} or older; got {about.get('format') if isinstance(about, dict) else about!r}; update Espalier"
            )
        return about

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events after byte `offset`, and the offset to go on from. Starts over where the file became shorter."""
        file = self.path / "events.jsonl"
        if not file.exists():
            return [], 0
        with file.open("rb") as lines:
            if offset > file.stat().st_size:
                offset = 0
            lines.seek(offset)
            chunk = lines.read()
        whole = chunk[: chunk.rfind(b"\n") + 1]
        try:
            return [json.loads(line) for line in whole.splitlines()], offset + len(whole)
        except json.JSONDecodeError as error:
            rule = f"must hold one JSON event a line; got {error.msg} in {error.doc[:40]!r}"
            raise DamagedFile(f"{file} {rule}; copy the run's folder again, or delete the run") from None

    def sites(self) -> list[dict[str, Any]]:
        """The sites in the order of the history's units: {site, kind, total, offset}; empty before the start."""
        file = self.path / "history.json"
        try:
            return json.loads(file.read_text())["sites"] if file.exists() else []
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFile(
                f"{file} must list the sites of the run; got {type(error).__name__}; copy the run's folder again, or delete the run"
            ) from None

    def effectives(self) -> np.ndarray:
        """The effective norms (float32) of all epochs recorded, (epochs, units); no epochs where none were."""
        return _records(self.path / "effective.f32", "f4", sum(site["total"] for site in self.sites()), 0)

    def sweeps(self) -> dict[str, dict[str, Any]]:
        """The newest sweep of each kind (`core.sweeps`); none where nothing was measured, or the file is not whole."""
        try:
            kept: dict[str, dict[str, Any]] = json.loads((self.path / SWEEPS).read_text())
        except (OSError, ValueError):
            return {}
        return kept

    def history(self, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Values (float32) and alive flags (uint8) of the epochs from `start` on, each (epochs, units)."""
        units = sum(site["total"] for site in self.sites())
        values, alive = (
            _records(self.path / name, kind, units, start) for name, kind in (("values.f32", "f4"), ("alive.u8", "u1"))
        )
        both = min(len(values), len(alive))
        return values[:both], alive[:both]


def _records(file: Path, kind: str, units: int, start: int) -> np.ndarray:
    """(records, units) from `start` on."""
    if not units or not file.exists():
        return np.zeros((0, units), kind)
    size = units * np.dtype(kind).itemsize
    with file.open("rb") as records:
        records.seek(start * size)
        data = records.read()
    return np.frombuffer(data[: len(data) // size * size], kind).reshape(-1, units)


class Recorder:
    """Writes what a run records; one process at a time. A new attempt first rolls back to its checkpoint."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        folder.path.mkdir(parents=True, exist_ok=True)

    def describe(self, **about: Any) -> None:
        """Write `run.json`."""
        write_atomically(self.folder.path / "run.json", json.dumps({"format": FORMAT, **about}, indent=1))

    def record(self, event: Event) -> None:
        """Append `event`; arrays of a Structure go to the history files, flushed to disk."""
        if isinstance(event, Started) and not event.resumed:
            self._start_history(event.sites)
        if isinstance(event, Structure):
            _append(self.folder.path / "values.f32", event.values.astype("f4").tobytes())
            _append(self.folder.path / "effective.f32", event.effective.astype("f4").tobytes())
            _append(self.folder.path / "alive.u8", event.alive.astype("u1").tobytes())
        _append(self.folder.path / "events.jsonl", (json.dumps(event.to_json(), allow_nan=True) + "\n").encode())

    def roll_back(self, step: int, epoch: int) -> None:
        """Forget what was recorded after the checkpoint at `step` (after `epoch` epochs), so no epoch appears twice."""
        path, kept = self.folder.path / "events.jsonl", []
        for event in self.folder.events()[0]:
            if event["step"] > step:
                break
            kept.append(event)
            if event["type"] == "checkpointed" and event["step"] == step:
                break
        if kept and kept[-1]["type"] != "checkpointed":  # killed between the file and its event
            kept.append(Checkpointed(step=step, epoch=epoch, file=f"{epoch:05d}.safetensors").to_json())
        write_atomically(path, "".join(json.dumps(event) + "\n" for event in kept))
        units = sum(site["total"] for site in self.folder.sites())
        for name, width in HISTORY.items():
            file = self.folder.path / name
            if file.exists():
                os.truncate(file, min(file.stat().st_size, (epoch + 1) * units * width))

    def _start_history(self, sites: list[dict[str, Any]]) -> None:
        offset, placed = 0, []
        for site in sites:
            placed.append({**site, "offset": offset})
            offset += site["total"]
        for name in (*HISTORY, "events.jsonl"):
            (self.folder.path / name).unlink(missing_ok=True)
        write_atomically(self.folder.path / "history.json", json.dumps({"format": FORMAT, "sites": placed}))


def _append(file: Path, data: bytes) -> None:
    with file.open("ab") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
