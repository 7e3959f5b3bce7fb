"""A run as one file: a zip of what `core.runs.export` writes, and its certificate. Taken in, it is checked before anything is kept.

Nothing in such a file is unpickled or run: settings are checked as any are, numbers are raw or safetensors, and a member of any
other name, an absolute one, one that leads out of the folder, or a link is refused. No torch.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError, safe_open

from core.atomic import replacing
from core.config import RunConfig
from core.errors import BadInput, DamagedFile
from core.networks.names import own_named
from core.runs.control import row_from
from core.runs.export import RECORDS, export
from core.runs.folder import FORMAT, RunFolder, write_atomically
from core.runs.received import check_received
from core.runs.recorded import recorded
from core.runs.store import Store

SUFFIX = ".zip"
CERTIFICATE = "certificate.json"
KNOWN = {*RECORDS, CERTIFICATE}
CHECKPOINT = re.compile(r"checkpoints/\d{5}\.safetensors")
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}", re.ASCII)
MAX_MEMBERS, MAX_BYTES = 64, 2**31  # of all members together, unpacked
MAX_JSON, MAX_EVENTS = 64 * 2**20, 512 * 2**20  # bytes of a JSON file, and of the events
TAKEN = {"uploads", "inspected", "forms"}  # names in the folder of runs that are no run's


def pack(folder: RunFolder, target: Path) -> None:
    """Write `folder` to the file `target`; BadInput where it exists already, WrongMoment or DamagedFile as `export`."""
    if target.exists():
        raise BadInput(f"{target} must not exist yet, so that nothing is overwritten; choose another name or remove it")
    name = folder.path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target.parent) as scratch, replacing(target) as beside:
        copy = Path(scratch) / name
        export(folder, copy)
        certificate = (RunFolder(copy).about().get("result") or {}).get("certificate")
        if certificate is not None:
            (copy / CERTIFICATE).write_text(json.dumps(certificate, indent=1))
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(path for path in copy.rglob("*") if path.is_file()):
                archive.write(file, f"{name}/{file.relative_to(copy).as_posix()}")


def unpack(store: Store, source: Path | IO[bytes], called: str = "the file") -> str:
    """Take in a file that `pack` wrote; the new run's name, another where its own is taken. Messages call the file `called`.

    BadInput or DamagedFile in one sentence, and nothing kept, where it is anything else.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".import-", dir=store.root))
    try:
        about = _members(source, scratch, called)
        return _taken_in(store, scratch, about, called)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DamagedFile(
            f"{called} must be a whole file that `python -m core export RUN -o FILE.zip` wrote; got {_told(error)}; export or copy it again"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _members(source: Path | IO[bytes], scratch: Path, called: str) -> dict[str, Any]:
    """Every member, checked, in `scratch`, but for run.json, which is returned: without it a folder is no run's."""
    about: dict[str, Any] | None = None
    with zipfile.ZipFile(source) as archive:
        for member, place in _checked(archive.infolist(), called):
            if place == "run.json":
                about = _json(archive.read(member), called, place)
                continue
            target = scratch / place
            target.parent.mkdir(exist_ok=True)
            with archive.open(member) as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out)
            _check_content(target, place, called)
    if about is None:
        raise BadInput(f"{called} must hold a run.json; got none; export the run again")
    return about


def _checked(members: Iterable[zipfile.ZipInfo], called: str) -> list[tuple[zipfile.ZipInfo, str]]:
    """Each member and its place in the folder, all of one top folder; BadInput for any that is not a run's."""
    found: dict[str, zipfile.ZipInfo] = {}
    tops, total = set(), 0
    for member in members:
        if member.is_dir() and not member.file_size:
            continue
        top, slash, place = member.filename.partition("/")
        wrong = None
        if not slash or not NAME.fullmatch(top) or (place not in KNOWN and not CHECKPOINT.fullmatch(place)):
            wrong = "which no run has"
        elif stat.S_ISLNK(member.external_attr >> 16):
            wrong = "which is a link"
        elif member.flag_bits & 1:
            wrong = "which is encrypted"
        elif place in found:
            wrong = "twice"
        elif place.endswith((".json", ".jsonl")) and member.file_size > (
            MAX_EVENTS if place.endswith("l") else MAX_JSON
        ):
            wrong = f"of {member.file_size:,} bytes"
        if wrong:
            raise BadInput(f"{called} must hold the files of one run; got {member.filename[:80]!r}, {wrong}; nothing was taken in")  # fmt: skip
        found[place] = member
        tops.add(top)
        total += member.file_size
    if len(tops) > 1 or len(found) > MAX_MEMBERS or total > MAX_BYTES:
        got = f"{len(tops)} folders, {len(found)} files, {total / 2**20:,.0f} MiB unpacked"
        raise BadInput(f"{called} must hold one run, at most {MAX_MEMBERS} files and {MAX_BYTES // 2**20:,} MiB; got {got}; nothing was taken in")  # fmt: skip
    return [(member, place) for place, member in found.items()]


def _check_content(file: Path, place: str, called: str) -> None:
    """JSON is JSON, events have a type, weights are whole safetensors; raw numbers need no check: a part of one is not read."""
    if place.endswith(".safetensors"):
        try:
            with safe_open(file, "np") as opened:
                marked = "espalier" in (opened.metadata() or {})
        except (OSError, SafetensorError) as error:
            raise DamagedFile(f"{place} in {called} must be a whole safetensors file; got {_told(error)}; export the run again") from None  # fmt: skip
        if not marked:
            raise BadInput(f"{place} in {called} must be a file of Espalier; got a safetensors file of another kind; nothing was taken in")  # fmt: skip
    elif place == "events.jsonl":
        with file.open("rb") as lines:
            for line in lines:
                event = _json(line, called, place)
                if not isinstance(event.get("type"), str) or not isinstance(event.get("step"), int):
                    raise BadInput(f"{place} in {called} must hold one event a line, with type and step; got {line[:40]!r}; nothing was taken in")  # fmt: skip
    elif place.endswith(".json"):
        document = _json(file.read_bytes(), called, place)
        if place == "history.json" and not _is_history(document.get("sites")):
            raise BadInput(f"{place} in {called} must list sites with their units, one after the other; got {str(document)[:60]}; nothing was taken in")  # fmt: skip


def _is_history(sites: Any) -> bool:
    """Whether these are sites as a run records them: units of each follow on those before."""
    offset = 0
    for site in sites if isinstance(sites, list) else [None]:
        if not isinstance(site, dict) or not isinstance(site.get("site"), str) or not isinstance(site.get("kind"), str):
            return False
        if site.get("offset") != offset or not isinstance(site.get("total"), int) or site["total"] < 1:
            return False
        offset += site["total"]
    return True


def _json(data: bytes, called: str, place: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{place} in {called} must be JSON; got {_told(error)}; export the run again") from None
    if not isinstance(document, dict):
        raise BadInput(f"{place} in {called} must hold JSON objects; got a {type(document).__name__}; nothing was taken in")  # fmt: skip
    return document


def _taken_in(store: Store, scratch: Path, about: dict[str, Any], called: str) -> str:
    """Give the run its name, its place and its row; what fails leaves no trace."""
    old = about.get("run")
    try:
        if not isinstance(about.get("format", 0), int) or about.get("format", 0) > FORMAT:
            raise ValueError(f"format {about.get('format')!r}; update Espalier")
        row = row_from(about, _free(store, old))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise BadInput(f"run.json in {called} must describe a run; got {_told(error)}; nothing was taken in") from None
    if own_named(str(row.config.get("network"))) is not None:
        raise BadInput(
            f"run.json in {called} must name a built-in network; got a person's own, whose code does not travel with the run and is not run "
            "for a stranger; bring its compact file to Inspect"
        )
    check_received(sorted(scratch.glob("checkpoints/*")), RunConfig.model_validate(row.config), row.result, called)
    row.family = row.id if row.family == old else row.family
    kept = {key: value for key, value in about.items() if key not in ("run", "family", "weights_only")}
    whole = {"run": row.id, "family": row.family, "weights_only": True, **kept}
    write_atomically(scratch / "run.json", json.dumps(whole, indent=1))
    place = store.root / row.id
    scratch.rename(place)
    if not store.add(row):
        shutil.rmtree(place)
        raise BadInput(f"{called} must have a name of its own here; got {row.id}, just taken; import it again")
    return row.id


def _free(store: Store, name: Any) -> str:
    """The run's own name, or one beside it where a run or a folder here has it."""
    wanted = name if isinstance(name, str) and NAME.fullmatch(name) else "imported"
    known = store.names() | TAKEN | recorded().keys()
    while wanted in known or (store.root / wanted).exists():
        base = re.sub(r"-from-[0-9a-f]{4}$", "", wanted)[:70]
        wanted = f"{base}-from-{secrets.token_hex(2)}"
    return wanted


def _told(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
