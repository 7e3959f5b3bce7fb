"""Files that a person brought, kept in the folder of runs under the hash of their content. No torch, and nothing is read.

uploads/SHA/NAME          the file, under the name it came with (only letters, digits, dots and dashes of it)
uploads/SHA/upload.json   {name, file, bytes, kept}: its own name and the one here, its size, and when it came
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from core.atomic import replacing
from core.errors import BadInput

LARGEST_MIB = 200
NOTE = "upload.json"
KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Upload:
    """One kept file: `key` is the beginning of its SHA-256, `name` the one it came with, `kept` when, in seconds of the epoch."""

    key: str
    name: str
    path: Path
    bytes: int
    kept: float


def keep(root: Path, name: str, data: bytes) -> Upload:
    """Store `data`; the same content is kept once. BadInput where it is empty or too large."""
    if not 0 < len(data) <= LARGEST_MIB * 2**20:
        raise BadInput(
            f"{name} must hold 1 byte to {LARGEST_MIB} MiB; got {len(data) / 2**20:,.0f} MiB; use `python -m core inspect` for a larger file"
        )
    key = hashlib.sha256(data).hexdigest()[:16]
    folder = root / "uploads" / key
    if (known := _read(folder)) is not None:
        return known
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / _plain(name)) as beside:
        beside.write_bytes(data)
    upload = Upload(key, Path(name).name[:120], folder / _plain(name), len(data), time.time())
    with replacing(folder / NOTE) as beside:
        beside.write_text(
            json.dumps({"name": upload.name, "file": upload.path.name, "bytes": upload.bytes, "kept": upload.kept})
        )
    return upload


def kept(root: Path) -> list[Upload]:
    """Every kept file, newest first."""
    folders = (root / "uploads").iterdir() if (root / "uploads").is_dir() else ()
    found = [upload for folder in folders if (upload := _read(folder)) is not None]
    return sorted(found, key=lambda upload: (-upload.kept, upload.key))


def forget(root: Path, key: str) -> None:
    """Delete a kept file; nothing happens where there is none."""
    if KEY.fullmatch(key):
        shutil.rmtree(root / "uploads" / key, ignore_errors=True)


def _read(folder: Path) -> Upload | None:
    try:
        note = json.loads((folder / NOTE).read_text())
        file = folder / note["file"]
        return Upload(folder.name, note["name"], file, note["bytes"], note["kept"]) if file.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plain(name: str) -> str:
    """A name that is safe on every system and keeps its suffix."""
    return re.sub(r"[^\w.-]", "_", Path(name).name, flags=re.ASCII).lstrip(".")[-80:] or "weights"
