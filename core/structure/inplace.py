"""In-place writes of a followed network: who reads the overwritten value later, and the same operation out of place."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.errors import TraceError

IN_PLACE_FUNCTIONS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
    operator.ipow: operator.pow,
}
Write = tuple[fx.Node, list[fx.Node]]  # the writing node, and the nodes whose value it overwrites


def written_value(model: nn.Module, node: fx.Node) -> fx.Node | None:
    """The node whose value `node` overwrites, if it is an in-place operation."""
    name = str(getattr(node.target, "__name__", node.target))
    in_place = node.target in IN_PLACE_FUNCTIONS or inplace_flag(node)
    if node.op == "call_module":
        in_place = bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    elif node.op in ("call_function", "call_method"):
        in_place = in_place or (name.endswith("_") and not name.endswith("__"))
    first = node.args[0] if node.args else next(iter(node.all_input_nodes), None)
    return first if in_place and isinstance(first, fx.Node) else None


def inplace_flag(node: fx.Node) -> bool:
    """Whether a function is called with inplace=True, by name or by position."""
    if node.op != "call_function" or not callable(node.target):
        return False
    return bool(node.kwargs.get("inplace", False)) or flag_position(node) is not None


def flag_position(node: fx.Node) -> int | None:
    try:
        names = list(inspect.signature(node.target).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    position = names.index("inplace") if "inplace" in names else len(node.args)
    return position if position < len(node.args) and node.args[position] else None


def later_readers(
    node: fx.Node, target: fx.Node, values: dict[fx.Node, Any], order: dict[fx.Node, int]
) -> list[fx.Node]:
    """Who reads the overwritten value after `node`; a reader through a view of it cannot be followed."""
    written = values[target]
    if target.op == "get_attr" or not isinstance(written, Tensor):
        raise TraceError(f"{node.name} writes into {target.name}, a parameter or buffer; compute a new tensor instead")
    readers: list[fx.Node] = []
    for other, value in values.items():
        if not any(same_storage(part, written) for part in tensors_in(value)):
            continue
        later = [u for u in other.users if order[u] > order[node]]
        if later and not (isinstance(value, Tensor) and same_view(value, written)):
            raise TraceError(f"{node.name} overwrites a part of {other.name}, which is read later; write out of place")
        readers.append(other)
    return readers


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors of a result: itself, or those of a tuple or list."""
    parts = value if isinstance(value, tuple | list) else [value]
    return [part for part in parts if isinstance(part, Tensor)]


def same_view(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.stride(), a.storage_offset()) == (b.shape, b.stride(), b.storage_offset())


def same_storage(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage()._cdata == b.untyped_storage()._cdata  # also of tensors without data


def remove_write(model: nn.Module, node: fx.Node, overwritten: list[fx.Node]) -> None:
    """Make `node` return a new tensor; what read an overwritten value later now reads the new one."""
    order = {n: i for i, n in enumerate(node.graph.nodes)}
    for value in overwritten:
        value.replace_all_uses_with(node, delete_user_cb=lambda user: order[user] > order[node])
    if node.op == "call_method" and str(node.target).endswith("_"):
        if not hasattr(Tensor, str(node.target)[:-1]):
            raise TraceError(f"{node.name} ({node.target}) writes in place and has no other form; write out of place")
        node.target = str(node.target)[:-1]
    elif node.op == "call_function":
        node.target = out_of_place(node)
        position = flag_position(node)
        if position is not None:
            node.update_arg(position, False)
        if "inplace" in node.kwargs:
            node.update_kwarg("inplace", False)


def out_of_place(node: fx.Node) -> Any:
    """The function that computes the same and returns a new tensor."""
    target: Any = node.target
    name = str(getattr(target, "__name__", ""))
    if target in IN_PLACE_FUNCTIONS:
        return IN_PLACE_FUNCTIONS[target]
    if not name.endswith("_"):
        return target
    for namespace in (torch, nn.functional):
        if hasattr(namespace, name[:-1]):
            return getattr(namespace, name[:-1])
    raise TraceError(f"{node.name} ({name}) writes in place and has no other form; write out of place")
