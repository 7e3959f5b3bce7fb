"""A compact file: tensors and, as JSON beside them, the graph that computes with them. One .safetensors file, no pickle."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, fx, nn

from core.atomic import replacing
from core.errors import BadInput, DamagedFile
from core.structure.build import put
from core.structure.certificate import Certificate
from core.structure.graphjson import check_target, decode_graph, decode_module, encode_graph, encode_module
from core.structure.plan import RemovalPlan

KEY = "espalier"
VERSION = 1
LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format


def save(
    file: str | Path,
    compact: nn.Module,
    *,
    source: dict[str, Any],
    plan: RemovalPlan,
    certificate: Certificate | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write `compact` (from `apply`) to `file`; a reader finds the old file or the whole new one, never a part.

    `source` says what it was cut from; `extra` is any JSON. BadInput if the graph has an operation no file may hold.
    """
    if not isinstance(compact, fx.GraphModule):
        raise BadInput(f"compact must be a network made by apply(plan, model, example); got {type(compact).__name__}")
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in compact.state_dict().items()}
    paths = dict.fromkeys(str(n.target) for n in compact.graph.nodes if n.op == "call_module")
    header = {
        "version": VERSION,
        "source": source,
        "plan": plan.model_dump(mode="json"),
        "certificate": certificate.model_dump(mode="json") if certificate is not None else None,
        "extra": extra,
        "graph": encode_graph(compact.graph),
        "modules": {path: encode_module(compact.get_submodule(path)) for path in paths},
        "parameters": {name: p.requires_grad for name, p in compact.named_parameters(remove_duplicate=False)},
        "training": compact.training,
        "sha256": digest(tensors),
    }
    header["header_sha256"] = header_digest(header)
    with replacing(Path(file)) as beside:
        beside.write_bytes(save_tensors(tensors, {KEY: json.dumps(header)}))


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return sha.hexdigest()


def header_digest(header: dict[str, Any]) -> str:
    """SHA-256 of everything a header says but this: JSON with sorted keys."""
    said = {key: value for key, value in json.loads(json.dumps(header)).items() if key != "header_sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def read_header(file: str | Path) -> dict[str, Any]:
    """The JSON of a compact file, without reading its tensors. Raises DamagedFile."""
    path = Path(file)
    try:
        with path.open("rb") as handle:
            start = handle.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 0 < length <= min(LARGEST_HEADER, path.stat().st_size - 8):
                raise DamagedFile(f"{path} is not a safetensors file, or is cut short; write it again")
            header = json.loads(handle.read(length))
        text = header.get("__metadata__", {}).get(KEY)
        if text is None:
            raise DamagedFile(
                f"{path} holds tensors but no compact network; pass a file that compact or cut has written"
            )
        about = json.loads(text)
        return check_header(path, about)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, AttributeError, RecursionError) as error:
        raise DamagedFile(f"{path} cannot be read as a compact network: {error}; write it again") from error


def check_header(path: Path, about: Any) -> dict[str, Any]:
    if not isinstance(about, dict) or about.get("version") != VERSION:
        got = about.get("version") if isinstance(about, dict) else type(about).__name__
        raise DamagedFile(
            f"{path} must be a compact file of version {VERSION}; got {got}; update Espalier or write it again"
        )
    wanted = {"graph": list, "modules": dict, "parameters": dict, "training": bool, "sha256": str, "source": dict}
    for key, kind in wanted.items():
        if not isinstance(about.get(key), kind):
            raise DamagedFile(f"{path} lacks a sound {key!r} in its header; write it again")
    if "header_sha256" in about and about["header_sha256"] != header_digest(about):  # files of before have none
        raise DamagedFile(f"{path} is damaged: its header is not the one that was written; write it again")
    return about


def load(file: str | Path, factory: Callable[[], nn.Module] | None = None) -> fx.GraphModule:
    """The network of a compact file, on the CPU. `factory` gives the source network for modules outside torch.nn."""
    about = read_header(file)
    try:
        tensors = load_tensors(Path(file).read_bytes())
    except (SafetensorError, OSError) as error:
        raise DamagedFile(f"{file} is damaged: {error}; write it again") from error
    if digest(tensors) != about["sha256"]:
        raise DamagedFile(f"{file} is damaged: its tensors are not those that were written; write it again")
    root = nn.Module()
    try:
        graph = decode_graph(about["graph"])
        for path, entry in about["modules"].items():
            place(root, path, entry, factory, str(file))
    except RecursionError:
        raise DamagedFile(f"{file} holds a graph that is nested too deep to be one; write it again") from None
    for name in [str(n.target) for n in graph.nodes if n.op == "get_attr"]:
        reserve(root, name, tensors, name in about["parameters"], str(file))
    try:
        network = fx.GraphModule(root, graph, "Compact")
    except (AttributeError, IndexError, SyntaxError) as error:
        raise DamagedFile(f"{file} does not fit its own graph: {error}; write it again") from error
    return fill(network, tensors, about, str(file))


def place(root: nn.Module, path: str, entry: Any, factory: Callable[[], nn.Module] | None, file: str) -> None:
    """The module that an entry describes, at its path."""
    check_target("call_module", path, DamagedFile)
    if not isinstance(entry, dict):
        raise DamagedFile(f"{file} does not say what stands at {path}; write it again")
    module = from_factory(file, path, entry, factory) if entry.get("factory") else decode_module(entry)
    try:
        put(root, path, module)
    except (KeyError, AttributeError) as error:
        raise DamagedFile(f"{file} holds a module at {path}, where none can stand: {error}; write it again") from error


def from_factory(file: str, path: str, entry: dict[str, Any], factory: Callable[[], nn.Module] | None) -> nn.Module:
    if factory is None:
        raise BadInput(f"{file} holds {entry.get('class')} at {path}, which is not plain torch.nn; pass factory=")
    try:
        return factory().get_submodule(path)
    except AttributeError as error:
        raise BadInput(
            f"{file} needs a module at {path}; the factory's network has none; pass the right factory"
        ) from error


def reserve(root: nn.Module, name: str, tensors: dict[str, Tensor], parameter: bool, file: str) -> None:
    """A place for a tensor the graph reads by name."""
    if name not in tensors:
        raise DamagedFile(f"{file} lacks the tensor {name}; write it again")
    *parents, last = name.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = getattr(root, parent)
    if parameter:
        root.register_parameter(last, nn.Parameter(tensors[name], requires_grad=False))
    else:
        root.register_buffer(last, tensors[name])


def fill(network: fx.GraphModule, tensors: dict[str, Tensor], about: dict[str, Any], file: str) -> fx.GraphModule:
    """Every tensor to its place, with its type, and nothing left over."""
    try:
        network.load_state_dict(tensors, strict=True, assign=True)
    except (RuntimeError, KeyError) as error:
        raise DamagedFile(f"{file} does not fit its own graph: {error}; write it again") from error
    for name, parameter in network.named_parameters(remove_duplicate=False):
        parameter.requires_grad_(bool(about["parameters"].get(name, True)) and parameter.is_floating_point())
    return network.train(about["training"])
