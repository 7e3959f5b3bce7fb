"""Checkpoints: everything a run needs to go on bit-identically, in one safetensors file, without pickle.

Named tensors (weights, optimizer and method state, the random generator) and a JSON document (step, epoch, phase,
strengths …) in the file's metadata; written beside the target, flushed to disk, renamed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.atomic import replacing
from core.checkpoint_file import DOCUMENT, VERSION, facts_in
from core.errors import DamagedFile


def save(file: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write `tensors` and `facts` to `file` atomically. OSError (a full disk) leaves the old file as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with replacing(file) as beside:
        save_file(plain, beside, metadata={DOCUMENT: json.dumps({"version": VERSION, **facts})})


def load(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, facts) of a checkpoint; DamagedFile where it is missing, cut short, foreign or newer."""
    try:
        with safe_open(file, "pt") as opened:
            facts = facts_in(opened.metadata())
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise DamagedFile(
            f"{file} must be a whole checkpoint of Espalier; got {type(error).__name__}; use an earlier one"
        ) from None
    if facts["version"] > VERSION:
        raise DamagedFile(f"{file} must have version {VERSION} or older; got {facts['version']}; update Espalier")
    return tensors, facts


def weights_sha256(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in order of name: the fingerprint of a trained network."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
