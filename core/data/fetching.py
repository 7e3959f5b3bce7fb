"""Fetching a data set: its official archives, checked against their SHA-256, unpacked file by file. No torch.

An archive grows as ``ARCHIVE.part`` and goes on from there after a cut. A file gets its final name only when all its bytes
are those they should be. Nothing in an archive decides where a file goes: names come from ``official.ARCHIVES`` alone.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from core.atomic import replacing
from core.data.files import DATA_VARIABLE, folder
from core.data.names import DATASETS, NAMES, folder_named
from core.data.official import ARCHIVES, Archive, sizes
from core.errors import BadInput, WrongMoment, one_of

Watch = Callable[[str, int, int], None]  # file, bytes that are there, bytes in all
CHUNK = 2**18
TRIES = 5  # of a source that stops in the middle; each goes on where the last one stopped
PAUSE_S = 1.0  # before the next try
TIMEOUT_S = 30.0  # without a byte
SPARE = 2**24  # bytes of disk that must stay free


class NotFetched(RuntimeError):
    """A data set could not be fetched: one sentence with what was tried, why it failed, and what to do."""


class _Cut(Exception):
    """A source did not give what it should; what came is kept. ``again``: whether asking it once more may help."""

    def __init__(self, reason: str, again: bool) -> None:
        super().__init__(reason)
        self.again = again


def listed(data_dir: Path | None) -> list[dict[str, Any]]:
    """Every data set: name, title, whether it is there, where, its bytes, and those of a download."""
    base = folder(data_dir)
    rows = []
    for name, info in DATASETS.items():
        states = {_state(base, path, size) for path, size in info.files}
        state = next((s for s in ("missing", "damaged") if s in states), "there") if info.files else "built in"
        rows.append(
            {
                "name": name,
                "title": info.title,
                "state": state,
                "there": state in ("there", "built in"),
                "where": str(base / info.files[0][0].split("/")[0]) if info.files and base else None,
                "bytes": sum(size for _, size in info.files),
                "download_bytes": sum(archive.size for archive in ARCHIVES.get(name, ())),
                "source": info.source,
            }
        )
    return rows


def fetch(name: str, data_dir: Path | None, watch: Watch = lambda file, done, size: None) -> dict[str, Any]:
    """Bring data set ``name`` into the folder of data sets, or find that all its files are there and sound.

    A file that is there and not as it should be is replaced. Raises ``NotFetched`` where the network or the disk fails
    (what came is kept), ``BadInput`` for a name or a folder that will not do, ``WrongMoment`` while another fetches there.
    """
    base = _place(name, data_dir)
    digests = {path: sha256 for archive in ARCHIVES[name] for path, sha256 in archive.files.items()}
    lacking = [
        archive
        for archive in ARCHIVES[name]
        if not all(_is_sound(base / path, size, digests[path]) for path, size in _held(name, archive))
    ]
    downloaded = 0
    if lacking:
        base.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(base / ".fetching.lock", timeout=0):
                downloaded = sum(_bring(name, archive, base, watch) for archive in lacking)
        except Timeout:
            raise WrongMoment(
                f"one process at a time may fetch into {base}; another one does now; wait for it to end"
            ) from None
    files = [{"file": str(base / path), "bytes": size, "sha256": digests[path]} for path, size in sizes(name).items()]
    return {"name": name, "folder": str(base), "downloaded_bytes": downloaded, "files": files}


def _place(name: str, data_dir: Path | None) -> Path:
    if folder_named(name) is not None:
        raise BadInput(
            f"only the data sets of `python -m core data` can be fetched; got {name!r}, a folder of your own"
        )
    if name not in DATASETS:
        raise one_of("data set", name, NAMES)
    if name not in ARCHIVES:
        raise BadInput(f"data set {name} is built in; there is nothing to fetch")
    base = folder(data_dir)
    if base is None:
        raise BadInput(
            f"a folder for data sets must be named to fetch {name} into; got none; "
            f"set the variable {DATA_VARIABLE}, where every command looks, or add --data FOLDER"
        )
    if base.exists() and not base.is_dir():
        raise BadInput(f"the place for data sets must be a folder; got {base}, which is a file; name another one")
    return base


def _held(name: str, archive: Archive) -> list[tuple[str, int]]:
    """Path and bytes of the files in ``archive``."""
    return [(path, size) for path, size in sizes(name).items() if path in archive.files]


def _state(base: Path | None, path: str, size: int) -> str:
    if base is None or not (base / path).is_file():
        return "missing"
    return "there" if (base / path).stat().st_size == size else "damaged"


def _is_sound(file: Path, size: int, sha256: str) -> bool:
    return file.is_file() and file.stat().st_size == size and _digest(file) == sha256


def _digest(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _bring(name: str, archive: Archive, base: Path, watch: Watch) -> int:
    """Fetch ``archive``, unless it lies where it would be put by hand, and unpack it; returns the bytes that were lacking."""
    whole, part = base / archive.place, base / f"{archive.place}.part"
    whole.parent.mkdir(parents=True, exist_ok=True)
    had = part.stat().st_size if part.is_file() else 0
    needed = sum(size for _, size in _held(name, archive)) + (0 if whole.is_file() else max(0, archive.size - had))
    with _room(base, needed):
        if whole.is_file():
            if not _is_sound(whole, archive.size, archive.sha256):
                raise NotFetched(
                    f"{whole} must be the official archive, {archive.size:,} bytes with SHA-256 {archive.sha256}; got "
                    f"another; take it away to have it fetched, or put the official one there"
                )
            _unpack(name, archive, whole, base)
            return 0
        _download(name, archive, part, watch)
        _unpack(name, archive, part, base)
        part.unlink()
        return max(0, archive.size - had)


@contextmanager
def _room(base: Path, needed: int) -> Iterator[None]:
    """Refuse where the disk has too little room; a disk that fills up or fails in the meantime is one sentence too."""
    free = shutil.disk_usage(base).free
    if free < needed + SPARE:
        raise NotFetched(
            f"{base} must have {needed + SPARE:,} bytes free; got {free:,}; make room, or name another folder with --data"
        )
    try:
        yield
    except OSError as error:
        raise NotFetched(
            f"{base} must take all of the data; got {error.strerror or error} in the middle; make room or name another "
            f"folder with --data, and run the command again: what came is kept"
        ) from error


def _download(name: str, archive: Archive, part: Path, watch: Watch) -> None:
    """Make ``part`` the whole archive, from wherever it stands, from the first source that gives it."""
    failures = []
    for source in archive.sources:
        for attempt in range(TRIES):
            try:
                if part.is_file() and part.stat().st_size > archive.size:
                    part.unlink()
                before = part.stat().st_size if part.is_file() else 0
                _go_on(source, archive, part, watch)
                if _digest(part) == archive.sha256:
                    return
                part.unlink()
                # Of a file that was gone on with, the old half may be to blame: once more, from the beginning.
                raise _Cut(f"a file with another SHA-256 than {archive.sha256}", again=before > 0)
            except _Cut as cut:
                if not cut.again or attempt == TRIES - 1:
                    failures.append(f"{cut} from {source}")
                    break
                time.sleep(PAUSE_S)
    kept = part.stat().st_size if part.is_file() else 0
    far = f" ({kept:,} of {archive.size:,} bytes are kept)" if kept else ""
    raise NotFetched(
        f"{Path(archive.place).name} of data set {name} must come from the network; got {'; '.join(failures)}; "
        f"run the command again when it can be reached{far}, or put the official file into {part.parent} yourself and run it then"
    )


def _go_on(source: str, archive: Archive, part: Path, watch: Watch) -> None:
    """Append to ``part`` what is missing. Raises ``_Cut`` where less or something else comes."""
    start = part.stat().st_size if part.is_file() else 0
    if start == archive.size:
        return
    asked = urllib.request.Request(source, headers={"User-Agent": "espalier", "Accept-Encoding": "identity"})
    if start:
        asked.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.urlopen(asked, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            part.unlink()
            raise _Cut("416, no such part of the file,", again=True) from error
        raise _Cut(f"{error.code} {error.reason}", again=error.code >= 500) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _Cut(f"no answer ({getattr(reason, 'strerror', None) or reason})", again=False) from error
    with answer:
        if start and answer.status != 206:
            start = 0  # ranges are not supported there: from the beginning, over what was kept
        elif start and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise _Cut("another part of the file than was asked for", again=False)
        length = answer.headers.get("Content-Length")
        if length is not None and length.isdigit() and int(length) != archive.size - start:
            raise _Cut(f"{int(length) + start:,} bytes where {archive.size:,} belong", again=False)
        with part.open("r+b" if start else "wb") as output:
            output.seek(start)
            _copy(answer, output, archive, start, watch)


def _copy(answer: IO[bytes], output: IO[bytes], archive: Archive, start: int, watch: Watch) -> None:
    done, file = start, Path(archive.place).name
    while done < archive.size:
        watch(file, done, archive.size)
        try:
            chunk = answer.read(min(CHUNK, archive.size - done))
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"{done:,} of {archive.size:,} bytes ({_words(error)})", again=True) from error
        if not chunk:
            raise _Cut(f"{done:,} of {archive.size:,} bytes (the connection ended)", again=True)
        output.write(chunk)
        done += len(chunk)
    watch(file, done, archive.size)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _unpack(name: str, archive: Archive, packed: Path, base: Path) -> None:
    """Write the files of ``archive``, each checked before it gets its name; whatever else is inside is left there."""
    wanted = dict(_held(name, archive))
    try:
        if packed.name.removesuffix(".part").endswith(".tar.gz"):
            with tarfile.open(packed, "r|gz") as bundle:
                for member in bundle:
                    path = member.name.removeprefix("./")
                    if path in wanted and member.isreg() and (inner := bundle.extractfile(member)):
                        _write(inner, base / path, wanted.pop(path), archive.files[path])
        else:
            with gzip.open(packed) as content:
                path, size = wanted.popitem()
                _write(content, base / path, size, archive.files[path])
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise NotFetched(
            f"{packed} must be an archive that can be unpacked; got {_words(error)}; take it away"
        ) from error
    if wanted:
        raise NotFetched(f"{packed} must hold {min(wanted)}; got an archive without it; take it away")


def _write(content: IO[bytes] | gzip.GzipFile, file: Path, size: int, sha256: str) -> None:
    """``content`` as ``file``, if it has that size and digest; else nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    told, done = hashlib.sha256(), 0
    with replacing(file) as beside:
        with beside.open("wb") as output:
            while chunk := content.read(min(CHUNK, size + 1 - done)):
                done += len(chunk)
                told.update(chunk)
                output.write(chunk)
        if done != size or told.hexdigest() != sha256:
            raise NotFetched(
                f"{file} must have {size:,} bytes with SHA-256 {sha256}; got {told.hexdigest()} in the archive; "
                f"fetch it from the official page by hand"
            )
