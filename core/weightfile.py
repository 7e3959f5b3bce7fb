"""A file of weights as a stranger saved it: named tensors, read without running anything that is in the file.

Either safetensors, or what ``torch.save`` wrote of a ``state_dict``; torch's restricted reader (``weights_only``) builds
tensors and plain containers and refuses everything else. A file that needs more than that is not read at all.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from core.errors import BadInput, DamagedFile

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema", "state_dict_ema")
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "net.", "network.")
LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format
LARGEST_SPREAD = 2**20  # bytes that a tensor may seem to hold beyond those it has, as one that is expanded does

REMEDY = "save the network's state_dict alone, as .safetensors or with torch.save(network.state_dict(), FILE)"
# What torch's restricted reader raises on bytes that are no weights, found by feeding it damaged files.
UNREADABLE: tuple[type[Exception], ...] = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError),
    *(struct.error, AssertionError, ArithmeticError, OSError),
)

# Words of that reader's refusals, and what they mean.
NEEDS_CODE = {
    "TorchScript": "a TorchScript program",
    "legacy .tar": "torch's old tar format",
    "must be imported to load": "tensors spread over processes or nested",
}


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU, under the names its network gave them: wrappers and common prefixes are gone.

    The order is that of the file; a safetensors file keeps none, its names come sorted. Raises DamagedFile for what is
    missing, empty or cut short, BadInput for what would need code or is no set of named tensors.
    """
    file = Path(path)
    start = _beginning(file)
    if file.suffix == ".safetensors" or _is_safetensors(file, start):
        _refuse_our_own(file)
        found: Any = _read_safetensors(file)
    else:
        found = _read_torch(file)
    return without_prefixes(_checked(file, _unwrapped(file, found)))


def our_own(path: str | Path) -> Literal["compact", "checkpoint"] | None:
    """What kind of file of Espalier's own this is; None for a stranger's, or what cannot be read."""
    file = Path(path)
    try:
        start = _beginning(file)
        if not _is_safetensors(file, start):
            return None
        with file.open("rb") as handle:
            handle.seek(8)
            header = json.loads(handle.read(struct.unpack("<Q", start[:8])[0]))
        about = json.loads(header["__metadata__"]["espalier"])
        return "compact" if "graph" in about else "checkpoint"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under shorter names: `module.` and its like, wherever every name begins with it, again and again."""
    while prefix := next((p for p in PREFIXES if tensors and all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _beginning(file: Path) -> bytes:
    try:
        with file.open("rb") as handle:
            start = handle.read(9)
    except OSError as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or type(error).__name__
        raise DamagedFile(f"{file} must be a file of weights; got {got}; check the path") from None
    if not start:
        raise DamagedFile(f"{file} must be a file of weights; got an empty file; copy it again")
    return start


def _is_safetensors(file: Path, start: bytes) -> bool:
    """Eight bytes of length, then JSON of that length; neither a zip archive nor a pickle begins like this."""
    plausible = len(start) == 9 and start[8:] == b"{"
    return plausible and struct.unpack("<Q", start[:8])[0] <= min(LARGEST_HEADER, file.stat().st_size - 8)


def _refuse_our_own(file: Path) -> None:
    kind = our_own(file)
    if kind == "compact":
        raise BadInput(
            f"{file} must be the weights of a network; got a compact network of Espalier, which brings its own graph; "
            "core.structure.load(FILE) loads it, and inspect and cut take it without --network"
        )
    if kind == "checkpoint":
        raise BadInput(
            f"{file} must be the weights of a network; got a checkpoint of a run, with its optimizer; "
            "name the run itself: `python -m core inspect RUN`"
        )


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return dict(sorted(load_tensors(file.read_bytes()).items()))
    except (SafetensorError, ValueError, LookupError, TypeError) as error:
        raise DamagedFile(
            f"{file} must be a whole safetensors file; got one that is damaged or cut short ({_first_line(error)}); "
            "copy or save it again"
        ) from None


def _read_torch(file: Path) -> Any:
    _check_archive(file)
    try:
        with file.open("rb") as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickle protocols and TorchScript: the sentences below say it
            return torch.load(handle, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        told = str(error)
    if code := _wanted_code(told):
        raise BadInput(
            f"{file} must hold tensors only; got {code}, which needs code to be run, so it was not read; {REMEDY}"
        )
    raise DamagedFile(f"{file} must be a whole file of weights; got one that is damaged or of another kind; {REMEDY}")


def _check_archive(file: Path) -> None:
    """Every part of a zip archive against its checksum, which torch does not look at: a flipped bit is a wrong weight."""
    if not zipfile.is_zipfile(file):
        return
    packed = False
    try:
        with zipfile.ZipFile(file) as archive:
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist())
            wrong = None if packed else archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError, struct.error):
        wrong = "its table of contents"
    if packed:
        raise BadInput(f"{file} must be an archive as torch.save writes it; got one that was packed anew; {REMEDY}")
    if wrong is not None:
        part = re.sub(r"[^\w./ ]", "?", wrong)[:60]
        raise DamagedFile(
            f"{file} must be a whole file of weights; got one whose checksum fails in {part}; copy or save it again"
        )


def _wanted_code(told: str) -> str | None:
    """What the restricted reader would not build, from its message; None where that is not why it stopped."""
    if found := re.search(r"GLOBAL (\S+)", told):
        name = re.sub(r"[^\w.]", "?", found[1])[:60]  # it comes from the file: no control characters to a terminal
        return f"an object of {name}"
    for sign, what in NEEDS_CODE.items():
        if sign in told:
            return what
    return None


def _unwrapped(file: Path, found: Any) -> Any:
    """The dict of tensors inside `{"state_dict": …, "epoch": …}` and its like, nested once or twice."""
    for _ in range(2):
        inner = [key for key in WRAPPERS if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)]
        if len(inner) > 1:
            raise BadInput(
                f"{file} must hold one set of weights; got {' and '.join(map(repr, inner))}, which may differ; "
                "save the one you mean alone"
            )
        found = found[inner[0]] if inner else found
    return found


def _checked(file: Path, found: Any) -> dict[str, Tensor]:
    """Text to plain dense tensors and nothing else, and at least one."""
    if not isinstance(found, Mapping):
        raise BadInput(f"{file} must hold tensors by name; got {_a(found)}; {REMEDY}")
    for name, value in found.items():
        if not isinstance(name, str) or not name.isprintable():
            raise BadInput(f"{file} must name its tensors by plain text; got {name!r}; {REMEDY}")
        if not isinstance(value, Tensor):
            raise BadInput(f"{file} must hold tensors only; got {_a(value)} at {name!r}; {REMEDY}")
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_nested:
            kinds = ("a quantized tensor", value.is_quantized), ("a tensor without values", value.is_meta)
            got = next((words for words, so in kinds if so), f"a tensor of layout {value.layout}")
            raise BadInput(f"{file} must hold plain dense tensors; got {got} at {name!r}; convert it and save again")
        if value.nbytes > value.untyped_storage().nbytes() + LARGEST_SPREAD:
            raise BadInput(
                f"{file} must hold its numbers; got {value.untyped_storage().nbytes():,} bytes at {name!r} that claim to be {value.nbytes:,}; {REMEDY}"
            )
    if not found:
        raise BadInput(f"{file} must hold at least one tensor; got none; {REMEDY}")
    return {name: value.detach() for name, value in found.items()}


def _a(value: Any) -> str:
    """A value's type, and what a dict holds: enough to see what the file is."""
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(repr(key) for key in list(value)[:3])}" if value else "an empty dict"
    return f"a value of type {type(value).__name__}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
