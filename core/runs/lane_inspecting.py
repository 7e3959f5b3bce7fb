"""The lane's answers about files that a person brought: which network the weights belong to, and a cut in other forms."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from core.errors import BadInput
from core.forms import rewrite
from core.runs.folder import write_atomically
from core.weightfile import our_own, read_weights
from core.weightguess import candidates
from core.weightmatch import classes_and_channels


def belongs(file: str) -> dict[str, Any]:
    """What a file holds: {kind: compact}, or {kind: weights, tensors, params, classes, channels, candidates}.

    {refused: sentence} where it is neither; nothing in the file is run, whatever it holds.
    """
    if our_own(file) == "compact":
        return {"kind": "compact"}
    try:
        tensors = read_weights(file)
        classes, channels = classes_and_channels(tensors, Path(file).name)
        likely = [asdict(one) for one in candidates(tensors)]
    except BadInput as error:
        return {"refused": str(error).replace(file, Path(file).name)}
    params = sum(tensor.numel() for tensor in tensors.values())
    return {
        "kind": "weights", "tensors": len(tensors), "params": params, "classes": classes, "channels": channels,
        "candidates": likely,
    }  # fmt: skip


def reshape(file: str, output: str, shape: list[int]) -> dict[str, Any]:
    """A compact file written again to `output` in the form of its suffix; what was checked also stands in `output`.json.

    `shape`: of an input, batch first.
    """
    told = rewrite(Path(file), Path(output), torch.zeros(1, *shape[1:]))
    write_atomically(Path(f"{output}.json"), json.dumps(told))
    return told
