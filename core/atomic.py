"""Files that are either the old one or the new one, never half of each, and errors that name them. No torch."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room: of the disk, of a quota, for one file
SPOKEN = re.compile(r"\(os error (\d+)\)")  # how libraries in Rust end what the system told them


def no_room(error: OSError) -> str | None:
    """The sentence for a disk, a quota or a file that is full; None for any other error."""
    if error.errno not in FULL:
        return None
    return f"the disk of {error.filename or 'a file'} is full ({error.strerror}); free some space, then try again"


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to; when the block ends it is flushed to disk and renamed to `file`.

    Where the block raises (a full disk, say), `file` stays as it was and nothing is left behind. Raises as `naming`.
    """
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with naming(file):
            yield beside
            with beside.open("rb+") as written:
                os.fsync(written.fileno())
            os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """A full disk inside is an OSError that names `file`, even where a library tells it in words only."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OSError(error.errno, os.strerror(error.errno), str(file)) from None
        raise
    except Exception as error:
        told = SPOKEN.search(str(error))
        if told is None or int(told[1]) not in FULL:
            raise
        raise OSError(int(told[1]), os.strerror(int(told[1])), str(file)) from None
