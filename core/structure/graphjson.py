"""A network's graph and modules as JSON: whitelisted operations by name, torch.nn classes by their settings.

Nothing of it is executed when it is read: names are looked up in the tables below, settings go to constructors.
"""

from __future__ import annotations

import inspect
import keyword
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from core.errors import BadInput, DamagedFile

OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "neg", "getitem", "matmul", "mod", "pow")
TORCH = (
    *("add", "sub", "mul", "div", "neg", "matmul", "bmm", "cat", "concat", "stack", "narrow", "index_select", "chunk"),
    *("index_add", "index_copy", "flatten", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "split", "mean"),
    *("sum", "amax", "relu", "sigmoid", "tanh", "softmax", "log_softmax", "clamp", "abs", "exp", "square", "sqrt"),
    *("rsqrt", "pow", "clone", "maximum", "minimum", "var", "std", "logsumexp", "einsum", "channel_shuffle"),
)
FUNCTIONAL = (
    *("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign", "hardtanh"),
    *("hardsigmoid", "hardswish", "sigmoid", "tanh", "dropout", "avg_pool2d", "max_pool2d", "adaptive_avg_pool2d"),
    *("adaptive_max_pool2d", "pad", "conv2d", "linear", "batch_norm", "layer_norm", "group_norm", "softmax", "prelu"),
    *(
        "log_softmax",
        "normalize",
        "interpolate",
        "pixel_shuffle",
        "scaled_dot_product_attention",
        "local_response_norm",
    ),
)
METHODS = {
    *("size", "dim", "expand", "view", "reshape", "flatten", "permute", "transpose", "contiguous", "mean", "sum"),
    *("amax", "relu", "sigmoid", "tanh", "clamp", "abs", "exp", "square", "mul", "add", "sub", "div", "neg", "chunk"),
    *("split", "squeeze", "unsqueeze", "softmax", "log_softmax", "matmul", "bmm", "sqrt", "rsqrt", "pow", "clone", "t"),
    *(
        "repeat",
        "expand_as",
        "view_as",
        "type_as",
        "float",
        "double",
        "unflatten",
        "max",
        "min",
        "var",
        "std",
        "detach",
    ),
}
ATTRIBUTES = {"shape", "ndim", "T"}
CLASSES = {
    *(
        "Conv1d",
        "Conv2d",
        "Conv3d",
        "ConvTranspose2d",
        "Linear",
        "BatchNorm1d",
        "BatchNorm2d",
        "LayerNorm",
        "GroupNorm",
    ),
    *("InstanceNorm2d", "LocalResponseNorm", "Identity", "Dropout", "Dropout2d", "Flatten", "Unflatten", "Softmax"),
    *("LogSoftmax", "ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid"),
    *("Tanh", "Softplus", "Softsign", "Hardtanh", "Hardsigmoid", "Hardswish", "MaxPool2d", "AvgPool2d", "Upsample"),
    *("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "PixelShuffle"),
    *("ChannelShuffle", "Embedding"),
}


def table() -> dict[str, Callable]:
    """Every function a file may name."""
    found: dict[str, Callable] = {"builtins.getattr": getattr}
    for prefix, home, names in (
        ("operator", operator, OPERATORS),
        ("torch", torch, TORCH),
        ("functional", F, FUNCTIONAL),
    ):
        found |= {f"{prefix}.{name}": getattr(home, name) for name in names if hasattr(home, name)}
    return found


FUNCTIONS = table()
NAMES = {function: name for name, function in reversed(FUNCTIONS.items())}


# ---- values --------------------------------------------------------------------------------------------------------


def encode(value: Any) -> Any:
    """JSON for an argument; everything but plain scalars and lists is a one-key object."""
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, slice):
        return {"slice": [encode(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
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
    if isinstance(value, list):
        return [decode(part, nodes) for part in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise DamagedFile(f"an argument of the saved graph is malformed: {str(value)[:60]}; save the network again")
    (kind, inner), *_ = value.items()
    if kind == "node" and inner in nodes:
        return nodes[inner]
    if kind == "slice" and isinstance(inner, list) and len(inner) == 3:
        return slice(*(decode(part, nodes) for part in inner))
    if kind == "dtype" and isinstance(getattr(torch, str(inner), None), torch.dtype):
        return getattr(torch, inner)
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
            target = NAMES.get(node.target, "")
            refuse(not target, BadInput, getattr(node.target, "__name__", node.target))
        if node.op == "call_method":
            refuse(target not in METHODS, BadInput, target)
        entry = {"op": node.op, "name": node.name, "target": target}
        out.append(
            entry | {"args": [encode(a) for a in node.args], "kwargs": {k: encode(v) for k, v in node.kwargs.items()}}
        )
    return out


def decode_graph(entries: list[dict[str, Any]]) -> fx.Graph:
    """Raises DamagedFile for an operation outside the tables or a malformed entry."""
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}
    for entry in entries:
        if not isinstance(entry, dict) or set(entry) != {"op", "name", "target", "args", "kwargs"}:
            raise DamagedFile(f"an entry of the saved graph is malformed: {str(entry)[:60]}; save the network again")
        op, name, target = str(entry["op"]), str(entry["name"]), str(entry["target"])
        check_name(name)
        args = tuple(decode(entry["args"], nodes))
        kwargs = {key: decode(value, nodes) for key, value in entry["kwargs"].items()}
        for key in kwargs:
            check_name(key)
        nodes[name] = graph.create_node(op, target_of(op, target, args), args, kwargs, name=name)
    graph.lint()
    return graph


def target_of(op: str, target: str, args: tuple) -> Any:
    """What a node calls; only what the tables hold."""
    if op == "call_function":
        refuse(target not in FUNCTIONS, DamagedFile, target)
        bad = target == "builtins.getattr" and (len(args) != 2 or args[1] not in ATTRIBUTES)
        refuse(bad, DamagedFile, f"{target} {args[1:]}")
        return FUNCTIONS[target]
    if op == "call_method":
        refuse(target not in METHODS, DamagedFile, target)
    elif op in ("call_module", "get_attr", "placeholder"):
        for part in target.split("."):
            check_name(part, digits=True)
    elif op != "output":
        refuse(True, DamagedFile, op)
    return target


def refuse(wrong: bool, error: type[Exception], what: object) -> None:
    if wrong:
        raise error(
            f"operation {what!s} is not one that a compact file may hold; keep this network as code and weights"
        )


def check_name(name: str, digits: bool = False) -> None:
    pattern = r"[A-Za-z0-9_]+" if digits else r"[A-Za-z_][A-Za-z0-9_]*"
    if not re.fullmatch(pattern, name) or keyword.iskeyword(name):
        raise DamagedFile(f"name {name[:60]!r} of the saved graph is not a plain name; save the network again")


# ---- modules -------------------------------------------------------------------------------------------------------


def encode_module(module: nn.Module) -> dict[str, Any]:
    """A plain torch.nn module as class and settings; any other as something the network's factory must give."""
    name = type(module).__name__
    plain = name in CLASSES and type(module) is getattr(nn, name)
    settings = settings_of(module) if plain else None
    if settings is None:
        return {"class": f"{type(module).__module__}.{type(module).__qualname__}", "factory": True}
    return {"class": name, "settings": settings}


def settings_of(module: nn.Module) -> dict[str, Any] | None:
    """Constructor arguments read back from attributes of the same name; None if one cannot be."""
    out: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(module).__init__).parameters.items():
        if name in ("self", "device", "dtype", "_weight", "_freeze"):
            continue
        if name in ("args", "kwargs") and parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name == "init":  # PReLU's first value, replaced by its weight
            continue
        if not hasattr(module, name):
            return None
        value = getattr(module, name)
        out[name] = encode(value is not None if name == "bias" and not isinstance(value, bool) else value)
    return out


def decode_module(entry: dict[str, Any]) -> nn.Module:
    """Built on the meta device: its tensors are put in from the file."""
    name = entry.get("class")
    if name not in CLASSES or not isinstance(entry.get("settings"), dict):
        raise DamagedFile(f"module class {name!r} is not one that a compact file may hold; save the network again")
    settings = {key: decode(value, {}) for key, value in entry["settings"].items()}
    try:
        with torch.device("meta"):
            return getattr(nn, name)(**settings)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DamagedFile(f"the settings of a {name} in the file are wrong: {error}; save the network again") from error
