"""The tables: which kind of operation a node is, and the rule of each kind."""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import fx, nn

from core.structure import rules_channelwise, rules_layers, rules_opaque, rules_sums
from core.structure.rule import Rule
from core.structure.rules_moves import CATS, FLATTENS, PADS
from core.structure.values import Flow

RULES: dict[str, Rule] = {
    "input": rules_opaque.INPUT,
    "output": rules_opaque.OUTPUT,
    "opaque": rules_opaque.OPAQUE,
    "fill": rules_opaque.FILL,
    "conv": rules_layers.CONV,
    "linear": rules_layers.LINEAR,
    "norm": rules_channelwise.NORM,
    "pointwise": rules_channelwise.POINTWISE,
    "plane": rules_channelwise.PLANE,
    "sum": rules_sums.SUM,
}

POINTWISE_MODULES = (
    *(nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU),
    *(nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish),
)
PLANE_MODULES = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
MODULES: dict[type, str] = {
    nn.Conv2d: "conv",
    nn.Linear: "linear",
    nn.BatchNorm1d: "norm",
    nn.BatchNorm2d: "norm",
    nn.Flatten: "flatten",
    **dict.fromkeys(POINTWISE_MODULES, "pointwise"),
    **dict.fromkeys(PLANE_MODULES, "plane"),
}
POINTWISE_FUNCTIONS: tuple[Callable, ...] = (
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus, F.softsign),
    *(F.hardtanh, F.hardsigmoid, F.hardswish, F.sigmoid, F.tanh, F.dropout),
    *(torch.relu, torch.sigmoid, torch.tanh, torch.clamp, torch.abs, torch.exp, torch.square),
    *(operator.neg, operator.mul, operator.truediv, operator.sub, torch.mul),
)
PLANE_FUNCTIONS: tuple[Callable, ...] = (F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d)
FUNCTIONS: dict[Callable, str] = {
    **dict.fromkeys(POINTWISE_FUNCTIONS, "pointwise"),
    **dict.fromkeys(PLANE_FUNCTIONS, "plane"),
    **dict.fromkeys((operator.add, torch.add), "sum"),
    **dict.fromkeys((torch.mean, torch.amax), "mean"),
    operator.getitem: "slice",
    **dict.fromkeys(PADS, "pad"),
    **dict.fromkeys(CATS, "cat"),
    **{function: "flatten" for function in FLATTENS if callable(function)},
}
METHODS: dict[str, str] = {
    **dict.fromkeys(("relu", "sigmoid", "tanh", "clamp", "abs", "exp", "square", "mul"), "pointwise"),
    **dict.fromkeys(("mean", "amax"), "mean"),
    "add": "sum",
    **{name: "flatten" for name in FLATTENS if isinstance(name, str)},
}
SHARED = ("conv", "linear", "norm")


def kind_of(flow: Flow, node: fx.Node) -> tuple[str, str]:
    """The node's kind, or "opaque" and the reason for not knowing it."""
    if node.op == "call_module":
        return kind_of_module(flow, node)
    kind = FUNCTIONS.get(node.target) if node.op == "call_function" else METHODS.get(str(node.target))  # type: ignore[arg-type]
    if kind is None:
        return "opaque", "the knife has no rule for this operation"
    tensors = [n for n in node.all_input_nodes if n in flow.traced.shapes]
    if kind == "sum" and len(node.all_input_nodes) == 1 and node.args.count(tensors[0] if tensors else node) == 1:
        kind = "pointwise"  # a number is added
    if kind == "pointwise" and len(node.all_input_nodes) != 1:
        return "opaque", "a product of two values has no rule"
    if node.target is F.dropout and node.kwargs.get("training") is not False:
        return "opaque", "a dropout that is on in eval mode is random"
    if kind == "mean":
        return ("plane", "") if keeps_channels(flow, node) else ("opaque", "it works across channels or the batch")
    if kind == "slice":
        return ("plane", "") if plane_slice(node) else ("opaque", "only slices of height and width are followed")
    return kind, ""


def kind_of_module(flow: Flow, node: fx.Node) -> tuple[str, str]:
    module = flow.traced.module(node)
    kind = MODULES.get(type(module))
    if kind is None:
        return "opaque", f"the knife has no rule for {type(module).__name__}"
    if module._forward_hooks or module._forward_pre_hooks:
        return "opaque", "it has forward hooks, which may change its weights or its result"
    calls = sum(n.op == "call_module" and n.target == node.target for n in node.graph.nodes) if kind in SHARED else 1
    if calls > 1:
        return "opaque", f"its weights are used {calls} times"
    return kind, ""


def keeps_channels(flow: Flow, node: fx.Node) -> bool:
    """mean(dim) and amax(dim) over height or width only."""
    source = node.all_input_nodes[0]
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    dims = (dims,) if isinstance(dims, int) else dims
    rank = len(flow.traced.shapes.get(source, ()))
    if not isinstance(dims, list | tuple) or not dims or len(node.all_input_nodes) != 1 or "dtype" in node.kwargs:
        return False
    return all(isinstance(d, int) and (d >= 2 or -rank + 2 <= d < 0) for d in dims)


def plane_slice(node: fx.Node) -> bool:
    """x[:, :, a:b:c, d:e:f] with plain integers."""
    index = node.args[1]
    if not isinstance(index, tuple) or len(node.all_input_nodes) != 1:
        return False
    return all(isinstance(i, slice) for i in index) and all(i == slice(None) for i in index[:2])
