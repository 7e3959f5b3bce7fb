"""Convolution and linear layer: narrowed on both sides; constants become a bias, a plane of ones, or a field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from core.structure.build import SUFFIX, Build
from core.structure.rule import Reads, Rule
from core.structure.values import ALIVE, CONST, FIELD, Flow, Layout, Op, Val, Value, base_of

Layer = nn.Conv2d | nn.Linear
Channels = Val | Layout


def layer_of(flow: Flow, op: Op) -> Layer:
    module = flow.traced.module(op.node)
    assert isinstance(module, nn.Conv2d | nn.Linear)
    return module


def site_of(path: str, module: nn.Module) -> str:
    """The site of a layer's outputs: filters of a convolution, neurons of a linear layer."""
    return f"{path}/{'neuron' if isinstance(module, nn.Linear) else 'filter'}"


def num_units(module: nn.Module) -> int:
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels  # type: ignore[return-value]


def accepts_conv(flow: Flow, node: fx.Node, values: list[Value]) -> str:
    module = flow.traced.module(node)
    if not isinstance(values[0], Val) or len(values[0].shape) != 4 or values[0].shape[0] != flow.traced.batch:
        return "its input is not a (N, C, H, W) tensor with known channels"
    return "" if getattr(module, "groups", 1) == 1 else "grouped convolutions keep their width for now"


def accepts_linear(flow: Flow, node: fx.Node, values: list[Value]) -> str:
    value = values[0]
    if isinstance(value, Channels) and len(value.shape) == 2 and value.shape[0] == flow.traced.batch:
        return ""
    return "its input is not a (N, F) tensor with known channels"


def weight_by_channel(layer: Layer, value: Value) -> Tensor:
    """The weight as (out, C, elements): what each output takes from each input channel."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.Conv2d):
        return weight.flatten(2)
    if isinstance(value, Layout):
        column = torch.empty_like(value.ids)
        column[value.ids] = torch.arange(len(value.ids))  # element e of the base is column column[e]
        ordered = bool((column == torch.arange(len(column))).all())
        weight = weight if ordered else weight[:, column.to(weight.device)]
        return weight.view(len(weight), len(value.base.ch), -1)
    return weight.unsqueeze(2)


def spreads(layer: Layer) -> bool:
    """Whether a constant input gives another value at the border: zero padding."""
    if not isinstance(layer, nn.Conv2d) or layer.padding_mode != "zeros" or layer.padding == "valid":
        return False
    if isinstance(layer.padding, str):
        return any(k > 1 for k in layer.kernel_size)
    return any(p > 0 for p in layer.padding)


def forward(flow: Flow, op: Op) -> None:
    """Alive if an alive input is read; else a field if a field, or a constant across zero padding, is; else a number."""
    layer, value = layer_of(flow, op), op.inputs[0]
    val = base_of(value)
    assert val is not None
    weight = weight_by_channel(layer, value)
    op.links = (weight != 0).any(2).cpu()
    site = site_of(str(op.node.target), layer)
    op.links[flow.masked.get(site, [])] = False
    states, consts = flow.state(val), flow.const(val)
    carries = op.links & (states == CONST) & (consts != 0)
    const = biases(flow, op, torch.arange(op.width))
    alive = (op.links & (states == ALIVE)).any(1)
    fields = (op.links & (states == FIELD)).any(1)
    if spreads(layer):
        fields |= carries.any(1)
    else:
        const = const + carry(weight, carries, consts).sum(1)
    state = torch.where(alive, ALIVE, torch.where(fields, FIELD, CONST))
    pinned = torch.zeros(op.width, dtype=torch.bool)
    pinned[flow.kept.get(site, [])] = True
    op.fill_in(torch.where(pinned & (state == CONST), ALIVE, state), const)
    op.need |= pinned


def biases(flow: Flow, op: Op, rows: Tensor) -> Tensor:
    """float64[rows]: the layer's bias, 0 where masked."""
    layer = layer_of(flow, op)
    bias = torch.zeros(op.width, dtype=torch.float64)
    if layer.bias is not None:
        bias = layer.bias.detach().cpu().double()
        bias[flow.masked.get(site_of(str(op.node.target), layer), [])] = 0
    return bias[rows]


def carry(weight: Tensor, carries: Tensor, consts: Tensor) -> Tensor:
    """float64 (out, elements): sum over constant inputs i that are read of c_i w[o, i]."""
    inputs = carries.any(0).nonzero().flatten()
    if not len(inputs):
        return torch.zeros(len(weight), weight.shape[2], dtype=torch.float64)
    part = weight[:, inputs.to(weight.device)].cpu().double() * carries[:, inputs].unsqueeze(2)
    return (part * consts[inputs].view(1, -1, 1)).sum(1)


@dataclass(frozen=True)
class Sources:
    """What rows of one stream read: bool masks over the input channels."""

    alive: Tensor
    fields: Tensor
    carried: Tensor  # constants other than 0


def sources(flow: Flow, op: Op, rows: Tensor) -> Sources:
    val = base_of(op.inputs[0])
    assert val is not None and op.links is not None
    states = flow.state(val)
    read = op.links[rows].any(0)
    carried = read & (states == CONST) & (flow.const(val) != 0)
    return Sources(read & (states == ALIVE), read & (states == FIELD), carried)


def reads(flow: Flow, op: Op) -> Reads:
    layer = layer_of(flow, op)
    mask = torch.zeros_like(flow.state(must(op.inputs[0])), dtype=torch.bool)
    size = False
    for stream in (ALIVE, FIELD):
        rows = op.rows(stream)
        if len(rows):
            seen = sources(flow, op, rows)
            mask |= seen.alive | seen.fields
            size = size or (spreads(layer) and bool(seen.carried.any())) or not bool((seen.alive | seen.fields).any())
    return Reads([mask], (0,) if size else ())


def must(value: Value) -> Val:
    val = base_of(value)
    assert val is not None
    return val


def emit(build: Build, op: Op) -> None:
    """Per stream: layer(alive inputs) + layer(batch-free inputs), the second one on a batch of 1."""
    flow, layer = build.flow, layer_of(build.flow, op)
    value, path = op.inputs[0], str(op.node.target)
    val, weight = must(value), weight_by_channel(layer, value)
    for stream in (FIELD, ALIVE):
        rows = op.rows(stream)
        if not len(rows):
            continue
        seen = sources(flow, op, rows)
        own = row_weights(flow, op, weight, rows)
        bias = biases(flow, op, rows)
        carried = carry(own, link_rows(op, rows) & seen.carried, flow.const(val))
        if not spreads(layer):
            bias, carried = bias + carried.sum(1), carried[:, :0]
        has_bias = layer.bias is not None or bool((bias != 0).any())
        terms: list[fx.Node] = []
        if seen.alive.any():
            node, entries = gather_inputs(build, op, val, seen.alive)
            piece = narrow_layer(layer, own[:, entries.to(own.device)], bias if has_bias else None)
            terms.append(build.module(path, "", piece, arrange(build, value, node)))
        if seen.fields.any() or carried.any():
            piece, node = static_part(build, op, seen.fields, own, carried, bias if has_bias and not terms else None)
            terms.append(build.module(path, "_carry" if stream == ALIVE else SUFFIX[FIELD], piece, node))
        if stream == ALIVE and not seen.alive.any():
            terms = [spread(build, op, terms[0] if terms else build.numbers(bias, len(op.shape)))]
        build.place(op, stream, rows, terms[0] if len(terms) == 1 else build.call(torch.add, *terms))


def link_rows(op: Op, rows: Tensor) -> Tensor:
    assert op.links is not None
    return op.links[rows]


def row_weights(flow: Flow, op: Op, weight: Tensor, rows: Tensor) -> Tensor:
    """(rows, C, elements), with masked rows at zero."""
    masked = set(flow.masked.get(site_of(str(op.node.target), layer_of(flow, op)), []))
    own = weight if len(rows) == len(weight) else weight[rows.to(weight.device)]
    if masked and (hit := [i for i, row in enumerate(rows.tolist()) if row in masked]):
        own = own.clone()
        own[hit] = 0
    return own


def gather_inputs(build: Build, op: Op, val: Val, mask: Tensor) -> tuple[fx.Node, Tensor]:
    """The alive inputs that are read, or all that exist where dropping the rest would cost more than their zeros.

    Dropping copies the kept inputs; a layer multiplies by zeros instead if it reads at least 3/4 of a tensor.
    """
    homes = build.home[ALIVE]
    built = torch.zeros_like(mask)
    for source in val.op.unique().tolist():
        if source in homes:
            here = val.op == source
            built[here] = (homes[source][0] >= 0)[val.ch[here]]
    built &= build.flow.state(val) == ALIVE
    enough = int(mask.sum()) >= 0.75 * int(built.sum())
    return build.gather_any(val, built if enough else mask, ALIVE)


def arrange(build: Build, value: Value, node: fx.Node) -> fx.Node:
    """A gathered base as the (N, k * plane) rows a linear layer reads; other inputs as they are."""
    return build.once(("flat", node), lambda: build.call(torch.flatten, node, 1)) if isinstance(value, Layout) else node


def static_part(
    build: Build, op: Op, fields: Tensor, own: Tensor, carried: Tensor, bias: Tensor | None
) -> tuple[nn.Module, fx.Node]:
    """The layer on its batch-free inputs: the fields, and one plane of ones that carries all constants."""
    value, layer = op.inputs[0], layer_of(build.flow, op)
    val = must(value)
    nodes, weights = [], []
    if fields.any():
        node, entries = build.gather_any(val, fields, FIELD)
        nodes.append(arrange(build, value, node))
        weights.append(own[:, entries.to(own.device)])
    if carried.any():
        nodes.append(build.ones_plane(val))
        weights.append(carried.unsqueeze(1).to(own))
    node = nodes[0] if len(nodes) == 1 else build.call(torch.cat, nodes, 1)
    return narrow_layer(layer, torch.cat(weights, 1), bias), node


def spread(build: Build, op: Op, node: fx.Node) -> fx.Node:
    """A batch-free (1, k, ...) value repeated over batch and plane."""
    plane = build.rules[op.kind].plane(build, op)
    return build.method("expand", node, build.batch(), -1, *plane)


def narrow_layer(layer: Layer, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """A layer like `layer` with this weight (out, in, elements); built on the meta device: no initialisation, no seed."""
    if isinstance(layer, nn.Linear):
        weight = weight.flatten(1)
        new: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    else:
        weight = weight.unflatten(2, layer.kernel_size)
        new = nn.Conv2d(
            weight.shape[1],
            weight.shape[0],
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            bias=bias is not None,
            padding_mode=layer.padding_mode,
            device="meta",
        )
    trained = layer.weight.requires_grad
    new.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format), requires_grad=trained)
    if bias is not None:
        new.bias = nn.Parameter(bias.to(weight.device, weight.dtype), requires_grad=trained)
    return new


def conv_plane(build: Build, op: Op) -> list[fx.Node]:
    layer, plane = layer_of(build.flow, op), build.plane(must(op.inputs[0]))
    assert isinstance(layer, nn.Conv2d)
    out = []
    for axis, length in enumerate(plane):
        reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
        if layer.padding == "same":
            out.append(length)
            continue
        pad = 0 if isinstance(layer.padding, str) else layer.padding[axis]
        out.append(build.conv_size(length, 2 * pad - reach - 1, layer.stride[axis]))
    return out


CONV = Rule(accepts_conv, forward, reads, emit, conv_plane)
LINEAR = Rule(accepts_linear, forward, reads, emit, lambda build, op: [])
