"""The forward pass: what every channel of every operation is (a number, a field, alive), from the inputs onward."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn

from core.structure.layers import CONVS
from core.structure.rules import FUNCTIONS, METHODS, MODULES, RULES, dims_of, is_random, keeps_dims, plane_rank
from core.structure.rules_channelwise import made_norm, made_pointwise
from core.structure.rules_crossing import INSTANCE, made_group_norm, made_layer_norm
from core.structure.rules_joins import concatenated, pad_arguments, padded, pads_channels
from core.structure.rules_layers import made_layer
from core.structure.rules_moves import moved
from core.structure.rules_pairs import made_pair
from core.structure.rules_plane import made_plane
from core.structure.trace import Traced, altered, eval_mode
from core.structure.values import Flow, Raw, Val, Value, whole

KINDS = {"placeholder": "input", "output": "output", "get_attr": "opaque"}


def provenance(traced: Traced, masked: dict[str, list[int]], kept: dict[str, list[int]]) -> Flow:
    """Operations with states. `masked` units count as zero; `kept` units stay alive though they are constant."""
    flow = Flow(traced, masked, kept)
    with eval_mode(traced.root):
        for node in traced.graph.nodes:
            if node.op in KINDS:
                record(flow, node, KINDS[node.op], "")
                continue
            made = made_value(flow, node)
            if isinstance(made, str):
                record(flow, node, "opaque", made)
            else:
                flow.values[node] = made
    return flow


def record(flow: Flow, node: fx.Node, kind: str, reason: str) -> None:
    """An operation on the full width of its inputs."""
    inputs = [flow.values[source] for source in node.all_input_nodes]
    shapes = flow.traced.shapes_of(node)
    shapes = shapes if shapes and len(shapes[0]) > 1 and node.op != "get_attr" else ()
    op = flow.new_op(kind, node, inputs, shapes, likely_axis(flow, inputs, shapes), reason)
    RULES[kind].forward(flow, op)
    flow.values[node] = whole(op) if shapes else Raw(op.index)


def likely_axis(flow: Flow, inputs: list[Value], shapes: tuple) -> int:
    """The dimension of an unknown operation's channels: that of an input whose own is known, where the shape allows it."""
    alike = [value for value in inputs if isinstance(value, Val) and shapes and len(value.shape) == len(shapes[0])]
    if alike:
        return min(alike, key=lambda v: flow.ops[v.like].kind in ("opaque", "recast")).axis
    steady = [d for d in range(1, len(shapes[0]) if shapes else 0) if len({shape[d] for shape in shapes}) == 1]
    return steady[0] if steady else 1


def made_value(flow: Flow, node: fx.Node) -> Value | str:
    """The node's value by its rule; or why it has none."""
    module = flow.traced.module(node) if node.op == "call_module" else None
    kind = kind_of(node, module)
    if kind not in MAKERS:
        return kind
    tensors = [n for n in node.all_input_nodes if not isinstance(flow.values[n], Raw)]
    if not tensors:
        return "its input has no channels"
    if kind == "pair" and len(node.all_input_nodes) == 1:
        kind = "pointwise"  # a number, or the value itself, is the other operand
    if kind not in ("pair", "move", "cat") and len(tensors) != 1:
        return "it takes several tensors"
    if is_random(node, module):
        return "a dropout that is on in eval mode is random"
    return MAKERS[kind](flow, node)


def kind_of(node: fx.Node, module: nn.Module | None) -> str:
    """The node's kind, or why it has none."""
    if module is not None:
        kind = MODULES.get(type(module))
        if kind is None:
            return f"the knife has no rule for {type(module).__name__}"
        if why := altered(module):
            return why
        tracked = isinstance(module, INSTANCE) and module.running_mean is not None
        return "norm" if tracked else kind
    kind = FUNCTIONS.get(node.target) if node.op == "call_function" else METHODS.get(str(node.target))  # type: ignore[arg-type]
    return kind or "the knife has no rule for this operation"


def layer(flow: Flow, node: fx.Node) -> Value | str:
    if len(node.args) != 1 or node.kwargs:
        return "it is called with more than its input"
    path = str(node.target)
    return made_layer(flow, node, flow.traced.module(node), path, {n: f"{path}.{n}" for n in ("weight", "bias")})


def plane(flow: Flow, node: fx.Node) -> Value | str:
    module = flow.traced.module(node) if node.op == "call_module" else None
    rank = len(flow.traced.shapes_of(node.all_input_nodes[0])[0])
    return made_plane(flow, node, plane_rank(node, module, rank))


def reduction(flow: Flow, node: fx.Node) -> Value | str:
    dims = dims_of(node)
    return made_plane(flow, node, dims, keeps_dims(node)) if dims else "it works across channels or the batch"


def over_dim(flow: Flow, node: fx.Node) -> Value | str:
    if node.op == "call_module":
        dim: Any = flow.traced.module(node).dim
        dims: tuple[int, ...] | None = (int(dim),) if dim is not None else None
    else:
        dims = dims_of(node)
    return made_plane(flow, node, dims) if dims else "the dimension it works along is not given"


def pad(flow: Flow, node: fx.Node) -> Value | str:
    if pads_channels(flow, node):
        return padded(flow, node)
    widths = pad_arguments(node).get("pad")
    rank = len(flow.traced.shapes_of(node.all_input_nodes[0])[0])
    if not isinstance(widths, list | tuple):
        return "its widths are computed"
    return made_plane(flow, node, tuple(range(rank - len(widths) // 2, rank)))


def raw_layer(flow: Flow, node: fx.Node) -> Value | str:
    """F.conv2d and the like on raw parameters: a layer that holds them."""
    made = layer_of_call(flow.traced.root, node)
    if isinstance(made, str):
        return made
    module, parameters = made
    return made_layer(flow, node, module, parameters["weight"], parameters)


def layer_of_call(root: nn.Module, node: fx.Node) -> tuple[nn.Module, dict[str, str]] | str:
    """The layer that a call on raw parameters amounts to, and their names; or why it is none."""
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given: dict[str, Any] = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    held = {name: source for name in ("weight", "bias") if (source := given.pop(name, None)) is not None}
    given.pop("input", None)
    raw = all(isinstance(source, fx.Node) and source.op == "get_attr" for source in held.values())
    if not raw or "weight" not in held or any(isinstance(value, fx.Node) for value in given.values()):
        return "its weight or its settings are computed"
    parameters = {name: str(source.target) for name, source in held.items()}
    tensors = {name: as_parameter(operator.attrgetter(path)(root)) for name, path in parameters.items()}
    if tensors["weight"].dim() < 2:
        return "its weight is a vector"
    out, inputs, *kernel = tensors["weight"].shape
    settings: dict[str, Any] = {"bias": "bias" in tensors, "device": "meta"}
    if kernel:
        conv: Any = CONVS[len(kernel) - 1]
        module: nn.Module = conv(inputs * given.get("groups", 1), out, kernel, **settings, **given)
    else:
        module = nn.Linear(inputs, out, **settings)
    for name, tensor in tensors.items():
        setattr(module, name, tensor)
    return module, parameters


def as_parameter(tensor: Tensor) -> nn.Parameter:
    return tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)


MAKERS: dict[str, Callable[[Flow, fx.Node], Value | str]] = {
    "layer": layer,
    "raw layer": raw_layer,
    "norm": made_norm,
    "group norm": made_group_norm,
    "layer norm": made_layer_norm,
    "pointwise": made_pointwise,
    "plane": plane,
    "over dim": over_dim,
    "reduction": reduction,
    "pair": made_pair,
    "move": moved,
    "cat": concatenated,
    "pad": pad,
}
