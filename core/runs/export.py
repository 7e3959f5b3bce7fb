"""A run's folder as it travels: a recorded demo, a download. Smaller, and still a run's folder. No torch."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file

from core.atomic import naming
from core.checkpoint_file import WEIGHTS, whole
from core.errors import BadInput
from core.runs.folder import HISTORY, SWEEPS, Recorder, RunFolder

RECORDS = ("run.json", "events.jsonl", "history.json", *HISTORY, "compact.safetensors", "measured.json", SWEEPS)


def export(folder: RunFolder, target: Path, *, checkpoints: int = 1) -> None:
    """Copy the records and the newest `checkpoints` (weights only: they can be asked and cut, not trained on).

    BadInput where `target` exists already; OSError names it where the disk is full. Nothing is left of an export that failed.
    """
    if target.exists():
        raise BadInput(f"{target} must not exist yet, so that nothing is overwritten; choose another name or remove it")
    try:
        with naming(target):
            _copy(folder, target, checkpoints)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def _copy(folder: RunFolder, target: Path, checkpoints: int) -> None:
    (target / "checkpoints").mkdir(parents=True)
    for name in RECORDS:
        if (folder.path / name).exists():
            shutil.copyfile(folder.path / name, target / name)
    about = {k: v for k, v in folder.about().items() if k != "format"}
    Recorder(RunFolder(target)).describe(**about | {"weights_only": True})
    for file in islice(whole(folder.checkpoints), checkpoints):
        with safe_open(file, "np") as opened:
            weights = {name: opened.get_tensor(name) for name in opened.keys() if name.startswith(WEIGHTS)}  # noqa: SIM118
            save_file(weights, target / "checkpoints" / file.name, metadata=opened.metadata())
