"""What the file of a checkpoint says, read without torch: its document, whether it is whole, the fingerprint of its weights.

A checkpoint is a safetensors file, `EPOCH.safetensors`, with a JSON document in its metadata and the network's weights under `weights/`.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

VERSION = 1
DOCUMENT = "espalier"  # its key in the metadata
WEIGHTS = "weights/"
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32", "I16": "int16",
    "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def facts_in(metadata: dict[str, str] | None) -> dict[str, Any]:
    """The document in a checkpoint's metadata, of version 0 where it names none; ValueError where there is none, or no sound one."""
    try:
        facts = json.loads((metadata or {})[DOCUMENT])
    except (KeyError, RecursionError) as error:
        raise ValueError(f"no document of a checkpoint: {type(error).__name__}") from None
    if not isinstance(facts, dict) or type(facts.get("version", 0)) is not int:
        raise ValueError("a document of another kind")
    return {"version": 0, **facts}


def whole(folder: Path) -> Iterator[Path]:
    """The checkpoints in `folder` that can be read, newest first; damaged ones are passed over."""
    for file in sorted(folder.glob("[0-9]*.safetensors"), reverse=True):
        try:
            with safe_open(file, "np") as opened:
                found = DOCUMENT in (opened.metadata() or {})
        except (OSError, SafetensorError):
            continue
        if found:
            yield file


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`; None where there is none."""
    return next(whole(folder), None)


def fingerprint(file: Path) -> str:
    """`checkpoint.weights_sha256` of the weights in a checkpoint, from its bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        start = struct.unpack("<Q", handle.read(8))[0]
        header = json.loads(handle.read(start))
        named = {name.removeprefix(WEIGHTS): entry for name, entry in header.items() if name.startswith(WEIGHTS)}
        for name, entry in sorted(named.items()):
            dtype = DTYPES.get(entry["dtype"], entry["dtype"])
            digest.update(f"{name} torch.{dtype} {tuple(entry['shape'])}\n".encode())
            begin, end = entry["data_offsets"]
            handle.seek(8 + start + begin)
            digest.update(handle.read(end - begin))
    return digest.hexdigest()
