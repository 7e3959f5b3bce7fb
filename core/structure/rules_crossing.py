"""Norms whose statistics run across channels: layer norm needs every channel, group and instance norm those of a group."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from core.structure.build import SUFFIX, Build, Origin, row_cut
from core.structure.layers import take_rows
from core.structure.rule import Reads, Rule, channels_of, full_reads, row_mask, same_plane, source_of, tensor_input
from core.structure.rules_channelwise import narrow_module, probe
from core.structure.rules_opaque import recast
from core.structure.values import ALIVE, CONST, FIELD, Flow, Layout, Op, Val, Value, along, whole

INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def made_layer_norm(flow: Flow, node: fx.Node) -> Value | str:
    """Statistics over the last dimensions, the channels among them: refilled. Dead scales still leave constants."""
    module, value = flow.traced.module(node), tensor_input(flow, node)
    assert isinstance(module, nn.LayerNorm)
    if len(module.normalized_shape) != 1 or not isinstance(value, Val | Layout):
        return "its mean and variance run across several dimensions"
    axis = len(value.shape) - 1
    refused = channels_of(flow, value, axis)
    if refused:
        if not flow.traced.leads(value.shapes):
            return refused
        value = recast(flow, node, value, axis, refused)
    assert isinstance(value, Val)
    op = flow.new_op("layer norm", node, [value], value.shapes, axis, "its mean and variance run across all channels")
    op.module, op.path = module, str(node.target)
    forward_layer_norm(flow, op)
    return whole(op)


def forward_layer_norm(flow: Flow, op: Op) -> None:
    """All constant in: constants out. A scale of 0: the shift. Else alive."""
    norm: Any = op.module
    val = source_of(op)
    if bool((flow.state(val) == CONST).all()):
        const = probe(flow, op.node, along(flow.const(val), len(val.shape), val.axis)).flatten()
        return op.fill_in(torch.full((op.width,), CONST), const)
    state, const = torch.full((op.width,), ALIVE), torch.zeros(op.width, dtype=torch.float64)
    if norm.weight is not None:
        state[norm.weight.detach().cpu() == 0] = CONST
        const = const if norm.bias is None else norm.bias.detach().cpu().double()
    op.fill_in(state, const)
    return None


def reads_layer_norm(flow: Flow, op: Op) -> Reads:
    return full_reads(flow, op) if len(op.rows(ALIVE)) else Reads([None])


def emit_layer_norm(build: Build, op: Op) -> None:
    if len(op.rows(ALIVE)):
        node = build.rerun(op.node, {op.node.all_input_nodes[0]: build.full(op.inputs[0])})
        build.place(op, ALIVE, torch.arange(op.width), node)


# ---- group norm, and instance norm as one group for each channel ---------------------------------------------------


def made_group_norm(flow: Flow, node: fx.Node) -> Value | str:
    module, value = flow.traced.module(node), tensor_input(flow, node)
    refused = channels_of(flow, value, 1)
    if refused or not isinstance(value, Val):
        return refused
    if len(value.shape) < 3:
        return "it has no plane to take statistics of"
    several = isinstance(module, nn.GroupNorm) and module.num_groups < value.width
    reason = "the mean and variance of a group run across its channels" if several else ""
    op = flow.new_op("group norm", node, [value], value.shapes, 1, reason)
    op.module, op.path = module, str(node.target)
    forward_group_norm(flow, op)
    return whole(op)


def per_group(op: Op) -> int:
    """Channels that share one mean and variance."""
    return op.width // op.module.num_groups if isinstance(op.module, nn.GroupNorm) else 1


def forward_group_norm(flow: Flow, op: Op) -> None:
    """A group is as alive as its liveliest channel; all constant, it gives constants; a scale of 0 gives the shift."""
    norm: Any = op.module
    val = source_of(op)
    liveliest = flow.state(val).view(-1, per_group(op)).amax(1).repeat_interleave(per_group(op))
    plane = along(flow.const(val), len(val.shape), 1).expand(1, -1, *[2] * (len(val.shape) - 2))
    const = probe(flow, op.node, plane).flatten(2)[0, :, 0]
    state = liveliest.clone()
    if norm.weight is not None:
        dead = norm.weight.detach().cpu() == 0
        state[dead] = CONST
        const = torch.where(dead, 0.0 if norm.bias is None else norm.bias.detach().cpu().double(), const)
    op.fill_in(state, const)


def group_mask(op: Op, stream: int) -> Tensor:
    """Channels of every group that has a needed row of that stream."""
    groups = row_mask(op, stream).view(-1, per_group(op)).any(1)
    return groups.repeat_interleave(per_group(op))


def reads_group_norm(flow: Flow, op: Op) -> Reads:
    val = source_of(op)
    return Reads([(group_mask(op, ALIVE) | group_mask(op, FIELD)) & (flow.state(val) != CONST)])


def emit_group_norm(build: Build, op: Op) -> None:
    for stream in (FIELD, ALIVE):
        rows = group_mask(op, stream).nonzero().flatten()
        if not len(rows):
            continue
        node = build.fill(source_of(op), rows, stream)
        piece = narrow_group_norm(op, rows)
        names = [name for name, _ in piece.named_parameters()]
        cuts = {name: Origin(f"{op.path}.{name}", row_cut(rows)) for name in names}
        build.place(op, stream, rows, build.module(op.path, SUFFIX[stream], piece, node, cuts=cuts))


def narrow_group_norm(op: Op, rows: Tensor) -> nn.Module:
    norm: Any = op.module
    if isinstance(norm, INSTANCE):
        return narrow_module(norm, rows)
    new = nn.GroupNorm(len(rows) // per_group(op), len(rows), norm.eps, norm.affine, device="meta")
    return take_rows(new, norm, rows)


LAYER_NORM = Rule(forward_layer_norm, reads_layer_norm, emit_layer_norm, same_plane)
GROUP_NORM = Rule(forward_group_norm, reads_group_norm, emit_group_norm, same_plane)
