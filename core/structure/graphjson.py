"""A network's graph and modules as JSON: whitelisted operations by name, torch.nn classes by their settings.

Nothing of it is executed when it is read: names are looked up in the vocabulary, settings go to constructors.
"""

from __future__ import annotations

import inspect
import keyword
import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from core.errors import BadInput, DamagedFile
from core.structure.operations import ATTRIBUTE_NAMES, CLASS_OF, FUNCTION_OF, METHOD_NAMES, NAME_OF
from core.structure.trace import altered

GETATTR = "builtins.getattr"

# ---- values --------------------------------------------------------------------------------------------------------


def encode(value: Any) -> Any:
    """JSON for an argument; everything but plain scalars and lists is a one-key object."""
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, slice):
        return {"slice": [encode(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, torch.memory_format):
        return {"memory_format": str(value).removeprefix("torch.")}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, tuple):
        return {"tuple": [encode(part) for part in value]}
    if isinstance(value, list):
        return [encode(part) for part in value]
    if isinstance(value, dict):
        return {"dict": {str(key): encode(part) for key, part in value.items()}}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadInput(
        f"an argument of type {type(value).__name__} cannot be saved; use numbers, tuples and tensors' names"
    )


def decode(value: Any, nodes: dict[str, fx.Node]) -> Any:
    """The argument; a name that stands for a node is looked up in `nodes`. Raises DamagedFile."""
    if isinstance(value, list):
        return [decode(part, nodes) for part in value]
    if not isinstance(value, dict):
        return value
    kind, inner = next(iter(value.items()), ("", None)) if len(value) == 1 else ("", None)
    if kind == "node" and isinstance(inner, str) and inner in nodes:
        return nodes[inner]
    if kind == "slice" and isinstance(inner, list) and len(inner) == 3:
        return slice(*(decode(part, nodes) for part in inner))
    for name, type_ in (("dtype", torch.dtype), ("memory_format", torch.memory_format)):
        if kind == name and isinstance(found := getattr(torch, str(inner), None), type_):
            return found
    if kind == "ellipsis":
        return Ellipsis
    if kind == "tuple" and isinstance(inner, list):
        return tuple(decode(part, nodes) for part in inner)
    if kind == "dict" and isinstance(inner, dict):
        return {key: decode(part, nodes) for key, part in inner.items()}
    if kind == "float" and inner in ("inf", "-inf", "nan"):
        return float(inner)
    raise DamagedFile(f"an argument of the saved graph is malformed: {str(value)[:60]}; save the network again")


# ---- graph ---------------------------------------------------------------------------------------------------------


def encode_graph(graph: fx.Graph) -> list[dict[str, Any]]:
    """One object per node, in order. BadInput for an operation that no file may name."""
    out = []
    for node in graph.nodes:
        target = str(node.target)
        if node.op == "call_function":
            target = NAME_OF.get(node.target, "")
            refuse(not target, BadInput, getattr(node.target, "__name__", node.target))
            refuse(target == GETATTR and not plain_attribute(node.args), BadInput, f"{target} {node.args[1:]}")
        elif node.op == "call_method":
            refuse(target not in METHOD_NAMES, BadInput, target)
        elif node.op != "output":
            check_target(node.op, target, BadInput)
        entry = {"op": node.op, "name": node.name, "target": target}
        out.append(
            entry | {"args": [encode(a) for a in node.args], "kwargs": {k: encode(v) for k, v in node.kwargs.items()}}
        )
    return out


def decode_graph(entries: list[dict[str, Any]]) -> fx.Graph:
    """Raises DamagedFile for an operation outside the vocabulary or a malformed entry."""
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}
    for entry in entries:
        check_entry(entry)
        op, name, target = (str(entry[key]) for key in ("op", "name", "target"))
        check_name(name, DamagedFile)
        args = tuple(decode(entry["args"], nodes))
        kwargs = {key: decode(value, nodes) for key, value in entry["kwargs"].items()}
        for key in kwargs:
            check_name(key, DamagedFile)
        nodes[name] = graph.create_node(op, target_of(op, target, args), args, kwargs, name=name)
    if [node.op for node in graph.nodes].count("output") != 1 or next(iter(reversed(graph.nodes))).op != "output":
        raise DamagedFile("the saved graph must end in its one output; save the network again")
    graph.lint()
    return graph


def check_entry(entry: Any) -> None:
    kinds = {"op": str, "name": str, "target": str, "args": list, "kwargs": dict}
    sound = isinstance(entry, dict) and set(entry) == set(kinds)
    if not sound or not all(isinstance(entry[key], kind) for key, kind in kinds.items()):
        raise DamagedFile(f"an entry of the saved graph is malformed: {str(entry)[:60]}; save the network again")


def target_of(op: str, target: str, args: tuple) -> Any:
    """What a node calls; only what the vocabulary holds."""
    if op == "call_function":
        refuse(target not in FUNCTION_OF, DamagedFile, target)
        refuse(target == GETATTR and not plain_attribute(args), DamagedFile, f"{target} {args[1:]}")
        return FUNCTION_OF[target]
    if op == "call_method":
        refuse(target not in METHOD_NAMES or not args or not isinstance(args[0], fx.Node), DamagedFile, target)
    elif op in ("call_module", "get_attr", "placeholder"):
        check_target(op, target, DamagedFile)
    elif op != "output":
        refuse(True, DamagedFile, op)
    return target


def plain_attribute(args: tuple) -> bool:
    """Whether getattr is asked of a value of the graph, for one of the few attributes a file may name."""
    return len(args) == 2 and isinstance(args[0], fx.Node) and args[1] in tuple(ATTRIBUTE_NAMES)


def refuse(wrong: bool, error: type[Exception], what: object) -> None:
    if wrong:
        raise error(
            f"operation {what!s} is not one that a compact file may hold; keep this network as code and weights"
        )


def check_name(name: str, error: type[Exception], part: bool = False) -> None:
    """Letters, digits, underscores; a `part` of a path may begin with a digit and hold hyphens, as in `block1-0`."""
    pattern = r"[A-Za-z0-9_-]+" if part else r"[A-Za-z_][A-Za-z0-9_]*"
    if not re.fullmatch(pattern, name) or keyword.iskeyword(name):
        raise error(f"name {name[:60]!r} is not a plain name of letters, digits and underscores; rename that part")


def check_target(op: str, target: str, error: type[Exception]) -> None:
    """The path of a module or tensor, or the name of an input."""
    for part in target.split("."):
        check_name(part, error, part=op != "placeholder")


# ---- modules -------------------------------------------------------------------------------------------------------

REPLACED = ("device", "dtype", "_weight", "_freeze", "init")  # said by the tensors of the file
DEPRECATED = ("min_value", "max_value")  # of Hardtanh
READ_BACK: dict[str, dict[str, Callable[[Any], Any]]] = {  # settings that are no attribute of the same name
    "MultiheadAttention": {
        "bias": lambda module: module.in_proj_bias is not None,
        "add_bias_kv": lambda module: module.bias_k is not None,
    }
}


def encode_module(module: nn.Module) -> dict[str, Any]:
    """A plain torch.nn module as class and settings; any other as something the network's factory must give."""
    settings = settings_of(module)
    if settings is None:
        return {"class": f"{type(module).__module__}.{type(module).__qualname__}", "factory": True}
    return {"class": type(module).__name__, "settings": {name: encode(value) for name, value in settings.items()}}


def settings_of(module: nn.Module) -> dict[str, Any] | None:
    """Constructor arguments read back from attributes of the same name; None if one cannot be, or for other classes."""
    name = type(module).__name__
    if CLASS_OF.get(name) is not type(module) or altered(module):
        return None
    out: dict[str, Any] = {}
    for setting, parameter in list(inspect.signature(type(module).__init__).parameters.items())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or setting in REPLACED + DEPRECATED:
            continue
        if setting in READ_BACK.get(name, {}):
            out[setting] = READ_BACK[name][setting](module)
        elif not hasattr(module, setting):
            return None
        else:
            value = getattr(module, setting)
            out[setting] = value is not None if setting == "bias" and not isinstance(value, bool) else value
    return out


def decode_module(entry: dict[str, Any]) -> nn.Module:
    """Built on the meta device: its tensors are put in from the file."""
    name, settings = entry.get("class"), entry.get("settings")
    if not isinstance(name, str) or name not in CLASS_OF or not isinstance(settings, dict):
        raise DamagedFile(f"module class {name!r} is not one that a compact file may hold; save the network again")
    try:
        with torch.device("meta"):
            return CLASS_OF[name](**{key: decode(value, {}) for key, value in settings.items()})
    except (TypeError, ValueError, RuntimeError, AssertionError, IndexError) as error:
        raise DamagedFile(f"the settings of a {name} in the file are wrong: {error}; save the network again") from error
