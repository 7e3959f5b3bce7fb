"""Convolutions of every kind and linear layers: which rows are alive, and which inputs they read.

All of them are one operation: rows in conv groups (core.structure.layers). A constant input becomes a bias, or, where the
border is padded with zeros, part of a plane of ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from core.structure.build import Build, in_order
from core.structure.layers import (
    CONVS,
    TRANSPOSED,
    kernel_of,
    num_groups,
    num_units,
    site_of,
    spreads,
    weight_by_input,
    weight_in,
)
from core.structure.rule import Reads, channels_of, tensor_input
from core.structure.rules_opaque import recast
from core.structure.values import ALIVE, CONST, FIELD, Flow, Layout, Op, Raw, Val, Value, base_of, whole


def made_layer(flow: Flow, node: fx.Node, module: nn.Module, path: str, parameters: dict[str, str]) -> Value | str:
    """The layer as an operation; where its inputs are no whole channels, on their full width."""
    value, shapes = tensor_input(flow, node), flow.traced.shapes_of(node)
    if isinstance(value, Raw) or not shapes or not flow.traced.leads(shapes):
        return "it does not work on a batch of images"
    axis = len(shapes[0]) - 1 if isinstance(module, nn.Linear) else 1
    if isinstance(module, nn.Linear):
        flat = isinstance(value, Layout) and len(value.shape) == 2 and len(value.ids[0].unique()) == value.shape[1]
    else:
        flat = False
        if len(shapes[0]) != 2 + len(module.kernel_size):  # type: ignore[arg-type]
            return "its input is not a batch of images"
    refused = "" if flat and channels_of(flow, base_of(value)) == "" else channels_of(flow, value, axis)
    if refused:
        if not isinstance(value, Val | Layout) or not flow.traced.leads(value.shapes):
            return refused
        value = recast(flow, node, value, axis, refused)
    op = flow.new_op("layer", node, [value], shapes, axis)
    op.module, op.path, op.parameters = module, path, parameters
    forward(flow, op)
    return whole(op)


def by_input(flow: Flow, op: Op, tensor: Tensor) -> Tensor:
    """A tensor shaped like the layer's weight, masked, as (out, channels per conv group, elements of a channel)."""
    value, weight = op.inputs[0], silenced(flow, op, weight_by_input(must(op.module), tensor))
    if isinstance(value, Layout):  # a linear layer on flattened planes
        columns = columns_of(value)
        every = columns.flatten().to(weight.device)
        if every.numel() == weight.shape[1] and in_order(every.cpu()):
            return weight.view(len(weight), *columns.shape)
        flat = weight.flatten(1).index_select(1, every.clamp_min(0))
        flat[:, every < 0] = 0
        return flat.view(len(weight), *columns.shape)
    return weight


def silenced(flow: Flow, op: Op, weight: Tensor) -> Tensor:
    """The weight (out, in per conv group, elements) with zeros at masked filters, inputs and shapes.

    Numbered as `core.structure.sites.maskable` says, whatever the inputs are made of.
    """
    masks = {kind: flow.masked.get(f"{op.path}/{kind}", []) for kind in ("filter", "neuron", "channel", "shape")}
    if not any(masks.values()):
        return weight
    weight = weight.clone(memory_format=torch.contiguous_format)  # so that a flattened view writes into it
    weight[masks["filter"] + masks["neuron"]] = 0
    groups, per = num_groups(must(op.module)), weight.shape[1]
    for channel in masks["channel"]:
        by = weight.unflatten(0, (groups, -1))
        by[channel // per, :, channel % per] = 0
    weight.flatten(1)[:, masks["shape"]] = 0
    return weight


def columns_of(value: Layout) -> Tensor:
    """Long (C, elements): which column of a linear layer's weight reads which element of which channel; -1: none does."""
    base, ids = value.base, value.ids[0]
    column = torch.full((int(torch.tensor(base.shape[1:]).prod()),), -1)
    column[ids] = torch.arange(len(ids))
    return column.view(base.shape[1:]).movedim(base.axis - 1, 0).flatten(1)


def input_states(flow: Flow, op: Op) -> tuple[Tensor, Tensor]:
    """State and constant of every input, (conv groups, in per group)."""
    val = base_of(op.inputs[0])
    groups = num_groups(must(op.module))
    return flow.state(val).view(groups, -1), flow.const(val).view(groups, -1)


def must(module: nn.Module | None) -> nn.Module:
    assert module is not None
    return module


def by_group(op: Op, rows: Tensor) -> Tensor:
    """A tensor (out, ...) as (conv groups, out per group, ...)."""
    return rows.unflatten(0, (num_groups(must(op.module)), -1))


def forward(flow: Flow, op: Op) -> None:
    """Alive if an alive input is read; else a field if a field, or a constant across zero padding, is; else a number."""
    module = must(op.module)
    op.weight = by_input(flow, op, weight_in(module))
    op.links = (op.weight.squeeze(2) != 0 if op.weight.shape[2] == 1 else (op.weight != 0).any(2)).cpu()
    site = site_of(op.path, module)
    states, consts = input_states(flow, op)
    links = by_group(op, op.links)
    carried = (states == CONST) & (consts != 0)
    alive, fields = reached(links, states == ALIVE), reached(links, states == FIELD)
    const = biases(flow, op, torch.arange(op.width))
    if spreads(module):
        fields = fields | reached(links, carried)
    elif carried.any():
        op.offset = carry(op, torch.arange(op.width), states, consts).sum(1)
        const = const + op.offset
    state = torch.where(alive, ALIVE, torch.where(fields, FIELD, CONST))
    pinned = torch.zeros(op.width, dtype=torch.bool)
    pinned[flow.kept.get(site, [])] = True
    op.fill_in(torch.where(pinned & (state == CONST), ALIVE, state), const)
    op.need |= pinned


def reached(links: Tensor, inputs: Tensor) -> Tensor:
    """Rows (out,) that read one of `inputs` (conv groups, in per group) by `links` (conv groups, out, in per group)."""
    if not inputs.any():
        return torch.zeros(links.shape[0] * links.shape[1], dtype=torch.bool)
    return (links if inputs.all() else links & inputs.unsqueeze(1)).any(2).flatten()


def biases(flow: Flow, op: Op, rows: Tensor) -> Tensor:
    """float64[rows]: the layer's bias, 0 where masked."""
    module = must(op.module)
    bias = torch.zeros(op.width, dtype=torch.float64)
    if module.bias is not None:
        assert isinstance(module.bias, Tensor)
        bias = module.bias.detach().cpu().double().clone()
        bias[flow.masked.get(site_of(op.path, module), [])] = 0
    return bias[rows]


def group_of(op: Op, rows: Tensor) -> Tensor:
    """The conv group of each row."""
    return rows.div(op.width // num_groups(must(op.module)), rounding_mode="floor")


def carry(op: Op, rows: Tensor, states: Tensor, consts: Tensor) -> Tensor:
    """float64 (rows, elements): sum over the constant inputs i of c_i w[o, i]; `states`, `consts` (conv groups, in per).

    A few rows at a time: a large layer's weight is never held in float64.
    """
    weight, numbers = op.weight, torch.where(states == CONST, consts, 0.0)
    local = (numbers != 0).any(0).nonzero().flatten()
    assert weight is not None
    out = torch.zeros(len(rows), weight.shape[2], dtype=torch.float64)
    factors = numbers[:, local]
    for start in range(0, len(rows) if len(local) else 0, ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        part = weight[some[0] : some[-1] + 1] if in_order(some - some[0]) else weight[some.to(weight.device)]
        part = part if len(local) == weight.shape[1] else part.index_select(1, local.to(weight.device))
        group = group_of(op, some) if len(factors) > 1 else torch.zeros(len(some), dtype=torch.long)
        out[start : start + ROWS_AT_ONCE] = torch.einsum("oi,oie->oe", factors[group], part.cpu().double())
    return out


ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Sources:
    """What rows of one stream read: bool masks over the input channels."""

    alive: Tensor
    fields: Tensor
    carried: Tensor  # constants other than 0


def stream_sources(flow: Flow, op: Op, stream: int) -> Sources:
    """What all needed rows of one stream read; kept, once the needs are known."""
    if stream not in op.seen:
        op.seen[stream] = sources(flow, op, op.rows(stream))
    return op.seen[stream]


def sources(flow: Flow, op: Op, rows: Tensor) -> Sources:
    states, consts = input_states(flow, op)
    assert op.links is not None
    if num_groups(must(op.module)) == 1:
        read = (op.links if len(rows) == op.width else op.links[rows]).any(0, keepdim=True)
    else:
        chosen = torch.zeros(op.width, 1, dtype=torch.bool)
        chosen[rows] = True
        read = by_group(op, op.links & chosen).any(1)
    carried = read & (states == CONST) & (consts != 0)
    return Sources((read & (states == ALIVE)).flatten(), (read & (states == FIELD)).flatten(), carried.flatten())


def reads(flow: Flow, op: Op) -> Reads:
    """The alive inputs and fields that the needed rows read; the plane, where ones or a repeated number need it."""
    mask = torch.zeros(base_of(op.inputs[0]).width, dtype=torch.bool)
    size = False
    for stream in (ALIVE, FIELD):
        rows = op.rows(stream)
        if len(rows):
            seen = stream_sources(flow, op, stream)
            mask |= seen.alive | seen.fields
            ones = spreads(must(op.module)) and bool(seen.carried.any())
            size = size or ones or not bool((seen.alive | seen.fields).any())
    return Reads([mask], (0,) if size else ())


def plane(build: Build, op: Op) -> list[fx.Node]:
    """The output's plane by formula."""
    module, lengths = must(op.module), build.plane(base_of(op.inputs[0]))
    if isinstance(module, nn.Linear):
        return lengths if isinstance(op.inputs[0], Val) else []
    if isinstance(module, TRANSPOSED):
        return [build.transposed_size(length, module, axis) for axis, length in enumerate(lengths)]
    assert isinstance(module, CONVS)
    kernel = kernel_of(module)
    out = []
    for length, size, stride, dilation, pad in zip(
        lengths, kernel.size, kernel.stride, kernel.dilation, kernel.pad, strict=True
    ):
        out.append(build.conv_size(length, sum(pad) - dilation * (size - 1) - 1, stride))
    return out


def site_units(op: Op) -> tuple[str, int]:
    """The site of a layer's outputs and how many there are."""
    return site_of(op.path, must(op.module)), num_units(must(op.module))
