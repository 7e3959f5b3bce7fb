"""The recorded answers of the lessons: a document each, with what they were made of and on."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from core.errors import one_of
from core.latency import processor
from core.lessons import RECORDED
from core.machine import cores
from core.runs.folder import write_atomically

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "lessons"


def record(names: Iterable[str], folder: Path = FOLDER) -> Iterator[Path]:
    """Compute and write `folder`/NAME.json for each name of a lesson; the files, one after another."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name not in RECORDED:
            raise one_of("lesson to record", name, RECORDED)
        torch.set_num_threads(1)
        file = folder / f"{name}.json"
        write_atomically(file, json.dumps(about(name) | RECORDED[name](), separators=(",", ":")) + "\n")
        yield file


def about(name: str) -> dict[str, Any]:
    """What every document says of itself; `load`: how many processes wanted a core in the minute before."""
    return {
        "name": name, "versions": {"torch": torch.__version__, "python": platform.python_version()}, "cpu": processor(), "cores": cores(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
