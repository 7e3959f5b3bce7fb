"""Operations that treat every number by itself, channel by channel: batch norm and pointwise functions.

Constants are found by running the real operation on them; there is no table of f(0).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.structure.build import SUFFIX, Build, Origin, row_cut
from core.structure.layers import take_rows
from core.structure.rule import (
    Rule,
    channels_of,
    row_mask,
    row_reads,
    same_channels,
    same_plane,
    source_of,
    tensor_input,
)
from core.structure.trace import execute
from core.structure.values import ALIVE, CONST, FIELD, Flow, Layout, Op, Raw, Val, Value, along, whole

RELU = {nn.ReLU, F.relu, torch.relu, "relu"}
NONNEGATIVE = RELU | {nn.ReLU6, F.relu6, nn.Sigmoid, torch.sigmoid, F.sigmoid, "sigmoid"}
IDENTITIES = {nn.Identity, "contiguous", "clone", "detach", torch.clone}
KEEPS_SIGN = {nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, F.dropout, *IDENTITIES}


def name_of(flow: Flow, node: fx.Node) -> object:
    """What the tables are asked for: the module's type, the function, or the method's name."""
    return type(flow.traced.module(node)) if node.op == "call_module" else node.target


# ---- batch norm in eval mode: an affine map per channel ------------------------------------------------------------


def made_norm(flow: Flow, node: fx.Node) -> Value | str:
    module, value = flow.traced.module(node), tensor_input(flow, node)
    if getattr(module, "running_mean", None) is None:
        return "a batch norm without running statistics depends on the batch"
    refused = channels_of(flow, value, 1)
    if refused or not isinstance(value, Val):
        return refused
    op = flow.new_op("norm", node, [value], value.shapes)
    op.module, op.path = module, str(node.target)
    forward_norm(flow, op)
    return whole(op)


def forward_norm(flow: Flow, op: Op) -> None:
    """c becomes beta + gamma (c - mean) / sqrt(var + eps); gamma = 0 makes beta of anything finite, a mask makes 0."""
    norm: Any = op.module
    val = source_of(op)
    mean, var = norm.running_mean.cpu().double(), norm.running_var.cpu().double()
    gamma = torch.ones_like(mean) if norm.weight is None else norm.weight.detach().cpu().double().clone()
    beta = torch.zeros_like(mean) if norm.bias is None else norm.bias.detach().cpu().double().clone()
    masked = flow.masked.get(f"{op.path}/norm", [])
    gamma[masked], beta[masked] = 0, 0
    state = torch.where(gamma == 0, CONST, flow.state(val))
    op.fill_in(state, beta + torch.where(gamma == 0, 0.0, gamma * (flow.const(val) - mean) / (var + norm.eps).sqrt()))


def emit_norm(build: Build, op: Op) -> None:
    for stream in (FIELD, ALIVE):
        if op.rows(stream).numel():
            node, rows = build.gather_any(source_of(op), row_mask(op, stream), stream)
            build.place(op, stream, rows, narrow_call(build, op, rows, SUFFIX[stream], node))


def narrow_call(build: Build, op: Op, rows: Tensor, suffix: str, node: fx.Node) -> fx.Node:
    """The operation's module with the parameters and buffers of these channels, called on `node`."""
    assert op.module is not None
    names = [name for name, _ in op.module.named_parameters(recurse=False)]
    cuts = {name: Origin(f"{op.path}.{name}", row_cut(rows)) for name in names}
    return build.module(op.path, suffix, narrow_module(op.module, rows), node, cuts=cuts)


def narrow_module(module: Any, rows: Tensor) -> nn.Module:
    """The same batch norm, instance norm or PReLU for these channels only."""
    if isinstance(module, nn.PReLU):
        new: nn.Module = nn.PReLU(len(rows), device="meta")
    else:
        new = type(module)(
            len(rows), module.eps, module.momentum, module.affine, module.track_running_stats, device="meta"
        )
    take_rows(new, module, rows)
    for name, buffer in module.named_buffers(recurse=False):
        new.register_buffer(name, buffer[rows.to(buffer.device)] if buffer.dim() else buffer.clone())
    return new


# ---- pointwise functions -------------------------------------------------------------------------------------------


def made_pointwise(flow: Flow, node: fx.Node) -> Value | str:
    """A function of one tensor, element by element; of moved elements, the moved result of the function."""
    value = tensor_input(flow, node)
    if len(node.all_input_nodes) != 1:
        return "it takes a computed number"
    if isinstance(value, Layout):
        return arranged(flow, node, value)
    refused = same_channels(flow, node, value)
    if refused or not isinstance(value, Val):
        return refused
    if name_of(flow, node) in IDENTITIES:
        return value
    op = flow.new_op("pointwise", node, [value], flow.traced.shapes_of(node), value.axis)
    if node.op == "call_module":
        op.module, op.path = flow.traced.module(node), str(node.target)
        if per_channel(op) and value.axis != 1:
            flow.ops.pop()
            return "its parameters lie along another dimension than its input's channels"
    forward_pointwise(flow, op)
    return whole(op)


def arranged(flow: Flow, node: fx.Node, value: Layout) -> Layout | str:
    module = flow.traced.module(node) if node.op == "call_module" else None
    if flow.traced.shapes_of(node) != value.shapes or isinstance(module, nn.PReLU):
        return "it changes the shape"
    op = flow.new_op("pointwise", node, [value.base], value.base.shapes, value.base.axis)
    forward_pointwise(flow, op)
    return Layout(value.shapes, whole(op), value.ids, node)


def per_channel(op: Op) -> bool:
    """A PReLU with a slope for each channel."""
    return isinstance(op.module, nn.PReLU) and op.module.weight.numel() > 1


def forward_pointwise(flow: Flow, op: Op) -> None:
    """The real function on the float64 constants."""
    val, name = source_of(op), name_of(flow, op.node)
    const = flow.const(val)
    if name not in KEEPS_SIGN:
        const = probe(flow, op.node, along(const, len(val.shape), val.axis)).flatten()
    never_negative = name in NONNEGATIVE or softplus_above_zero(flow, op.node)
    sign = flow.nonneg(val) if name in KEEPS_SIGN else torch.full((op.width,), never_negative)
    op.fill_in(flow.state(val), const, sign)


def softplus_above_zero(flow: Flow, node: fx.Node) -> bool:
    """Whether this is a softplus, log(1 + exp(beta x)) / beta, with a beta above zero: only then it is never negative."""
    if name_of(flow, node) is nn.Softplus:
        beta: Any = flow.traced.module(node).beta
    elif node.target is F.softplus:
        beta = node.kwargs.get("beta", node.args[1] if len(node.args) > 1 else 1)
    else:
        return False
    return isinstance(beta, int | float) and beta > 0


def probe(flow: Flow, node: fx.Node, tensor: Tensor, run: int = 0) -> Tensor:
    """The real operation on a tensor of float64 values."""
    feed: dict[fx.Node, Any] = {}
    for source in node.all_input_nodes:
        raw = isinstance(flow.values[source], Raw)
        feed[source] = wide(flow.traced.runs[run].numbers[source]) if raw else tensor.clone()
    with torch.no_grad():
        if node.op == "call_module":  # its own parameters may be narrower
            module = copy.deepcopy(flow.traced.module(node)).double()
            return module(*fx.map_arg(node.args, feed.__getitem__), **fx.map_arg(node.kwargs, feed.__getitem__))
        return execute(flow.traced.root, node, feed, iter(()))


def wide(value: Any) -> Any:
    """A tensor of numbers in float64; anything else as it is."""
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


def emit_pointwise(build: Build, op: Op) -> None:
    """Nothing for a ReLU whose input cannot be negative."""
    val, name = source_of(op), name_of(build.flow, op.node)
    for stream in (FIELD, ALIVE):
        rows = op.rows(stream)
        if not len(rows):
            continue
        if name in RELU and bool(build.flow.nonneg(val)[rows].all()):
            build.alias(op, stream, rows, val, rows)
            continue
        node, rows = build.gather_any(val, row_mask(op, stream), stream)
        if per_channel(op):
            build.place(op, stream, rows, narrow_call(build, op, rows, SUFFIX[stream], node))
        else:
            build.place(op, stream, rows, build.rerun(op.node, {op.node.all_input_nodes[0]: node}))


NORM = Rule(forward_norm, row_reads, emit_norm, same_plane)
POINTWISE = Rule(forward_pointwise, row_reads, emit_pointwise, same_plane)
