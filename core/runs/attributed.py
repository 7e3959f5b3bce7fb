"""What `python -m core attribute` left in a run's folder. No torch.

attribution/EPOCH.json       what the command printed; `in-CONTROL-EPOCH.json` where it measured in another run
attribution/EPOCH.npz        of every unit, sites one after another: `conductance`, `taylor` (means over the images), `norm`,
                             `norm_now` (effective, when measured and at the end), `death` (epoch, infinite of the living),
                             `then` (whether it was alive when measured)
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from core.runs.folder import RunFolder

FOLDER = "attribution"


def kept_epochs(folder: RunFolder) -> list[int]:
    """Epochs after which a checkpoint is there."""
    return sorted(int(file.stem) for file in folder.checkpoints.glob("[0-9]*.safetensors"))


def attributed(folder: RunFolder) -> list[dict[str, Any]]:
    """The documents that are there, those of the run's own network first, by epoch."""
    documents = [json.loads(file.read_text()) for file in sorted((folder.path / FOLDER).glob("*.json"))]
    return sorted(documents, key=lambda told: (not told["own"], told["epoch"]))


def arrays_of(folder: RunFolder, document: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a document."""
    with np.load(folder.path / FOLDER / document["file"]) as arrays:
        return dict(arrays)
