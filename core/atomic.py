"""Files that are either the old one or the new one, never half of each. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to; when the block ends it is flushed to disk and renamed to `file`.

    Where the block raises (a full disk, say), `file` stays as it was and nothing is left behind.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        yield beside
        with beside.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
