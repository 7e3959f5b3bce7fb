"""Building layers narrow: per stream, layer(alive inputs) + layer(batch-free inputs), the second one on a batch of 1.

Conv groups that keep as many inputs and as many rows as each other run together, as one convolution with fewer conv groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from core.structure.build import SUFFIX, Build, Origin, row_cut
from core.structure.columns import emit_shrunk
from core.structure.layers import narrow_layer, num_groups, spreads, weight_in
from core.structure.rule import Rule
from core.structure.rules_layers import (
    biases,
    by_group,
    by_input,
    carry,
    forward,
    group_of,
    input_states,
    must,
    plane,
    reads,
    sources,
    stream_sources,
)  # fmt: skip
from core.structure.values import ALIVE, FIELD, Layout, Op, Val, base_of

Cut = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bucket:
    """Conv groups that run as one convolution: `rows` and `inputs` (channels of the input), both group by group.

    A group that keeps fewer than its bucket has room for repeats its first row, and its first input with a weight of zero
    (a channel of zeros, in a network that trains on).
    """

    groups: int
    rows: Tensor
    inputs: Tensor
    filler: Tensor  # bool like `inputs`: repeated, or of another conv group


def emit(build: Build, op: Op) -> None:
    for stream in (FIELD, ALIVE):
        rows = op.rows(stream)
        if not len(rows):
            continue
        seen = stream_sources(build.flow, op, stream)
        if stream == ALIVE and seen.alive.any():
            for bucket in buckets(build, op, rows, seen.alive):
                emit_alive(build, op, bucket)
            continue
        node = static_part(build, op, rows, stream, with_bias=True)
        if stream == ALIVE:  # kept on purpose, though nothing that depends on the input is read
            node = build.method("expand", node, *build.lengths(whole_plane(build, op), build.batch(), -1))
        build.place(op, stream, rows, node)


def whole_plane(build: Build, op: Op) -> Val:
    """The operation's own value, for its plane."""
    return Val(op.shapes, op.axis, torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), op.index)


# ---- the part that depends on the input ----------------------------------------------------------------------------


def buckets(build: Build, op: Op, rows: Tensor, mask: Tensor) -> list[Bucket]:
    """Conv groups by how many rows and inputs they keep; a group with rows and no input reads a filler, times zero."""
    groups = num_groups(must(op.module))
    val = base_of(op.inputs[0])
    if groups == 1:
        inputs = kept_inputs(build, op, val, mask)
        return [Bucket(1, rows, inputs, torch.zeros(len(inputs), dtype=torch.bool))]
    inputs = mask.nonzero().flatten()
    own, home = group_of(op, rows), inputs.div(val.width // groups, rounding_mode="floor")
    num_rows, num_inputs = own.bincount(minlength=groups), home.bincount(minlength=groups)
    if build.flow.policy == "fast":
        return [evened(rows, inputs, own, home)]
    out = []
    for pair in torch.stack([num_inputs, num_rows], 1)[num_rows > 0].unique(dim=0):
        here = (num_inputs == pair[0]) & (num_rows == pair[1])
        some = inputs[here[home]] if pair[0] else inputs[:1].expand(int(here.sum()))
        out.append(Bucket(int(here.sum()), rows[here[own]], some, torch.full((len(some),), not pair[0])))
    return out


def evened(rows: Tensor, inputs: Tensor, own: Tensor, home: Tensor) -> Bucket:
    """Every conv group as large as the largest, so that one convolution runs them all."""
    groups = own.unique().tolist()
    by_rows, by_inputs = [rows[own == g] for g in groups], [inputs[home == g] for g in groups]
    most_rows, most_inputs = max(map(len, by_rows)), max(1, *map(len, by_inputs))
    filler = [torch.arange(most_inputs) >= len(i) for i in by_inputs]
    return Bucket(
        len(groups),
        torch.cat(
            [torch.cat([r[:1].expand(most_rows - len(r)), r]) for r in by_rows]
        ),  # the last of equal rows is placed
        torch.cat([torch.cat([i, (i if len(i) else inputs)[:1].expand(most_inputs - len(i))]) for i in by_inputs]),
        torch.cat(filler),
    )


def kept_inputs(build: Build, op: Op, val: Val, mask: Tensor) -> Tensor:
    """The alive inputs that are read, or all that exist where dropping the rest would cost more than their zeros.

    Dropping copies the kept inputs; a layer multiplies by zeros instead if it reads at least 3/4 of a tensor. In whatever
    order costs nothing.
    """
    homes = build.home[ALIVE]
    built = torch.zeros_like(mask)
    for source in val.op.unique().tolist():
        if source in homes:
            here = val.op == source
            built[here] = (homes[source][0] >= 0)[val.ch[here]]
    built &= build.flow.state(val) == ALIVE
    enough = int(mask.sum()) >= 0.75 * int(built.sum())
    return build.cheapest_order(val, built if enough else mask, ALIVE)


def emit_alive(build: Build, op: Op, bucket: Bucket) -> None:
    """One convolution for a bucket, plus what its rows get from batch-free inputs."""
    module, rows = must(op.module), bucket.rows
    bias = biases(build.flow, op, rows)
    if op.offset is not None:
        bias = bias + op.offset[rows]
    has_bias = module.bias is not None or bool((bias != 0).any())
    cut = weight_cut(op, bucket)
    assert op.weight is not None
    node = arrange(build, op, gathered(build, op, bucket, ALIVE))
    bias_or_none = bias if has_bias else None
    if build.flow.shapes.get(op.path) is not None and build.flow.shapes[op.path].how != "none":
        piece, node, native = emit_shrunk(build, op, cut(op.weight), bias_or_none, node)
    else:
        piece, native = narrow_layer(module, cut(op.weight), bias_or_none, bucket.groups), whole_weight(op, bucket)
    cuts = {"weight": like_weight(build, op, cut, native), "bias": row_cut(rows)}
    held = {n: Origin(path, cuts[n]) for n, path in op.parameters.items() if getattr(module, n) is not None}
    node = build.module(op.path, "", piece, node, cuts=held)
    if static_rows(build, op, rows):
        node = build.call(torch.add, node, static_part(build, op, rows, ALIVE, with_bias=False))
    build.place(op, ALIVE, rows, node)


def gathered(build: Build, op: Op, bucket: Bucket, stream: int) -> fx.Node:
    """The bucket's inputs. In a network that trains on, a filler is a channel of zeros: its weights get no gradient."""
    value = base_of(op.inputs[0])
    if not build.trains or not bool(bucket.filler.any()):
        return build.gather(value, bucket.inputs, stream)
    own = bucket.inputs[~bucket.filler] if not bool(bucket.filler.all()) else bucket.inputs[:1]
    pad = (0, 0) * (len(value.shape) - 2) + (0, 1)
    padded = build.call(torch.nn.functional.pad, build.gather(value, own, stream), pad)
    return build.select(padded, torch.where(bucket.filler, len(own), (~bucket.filler).cumsum(0) - 1), 1)


def weight_cut(op: Op, bucket: Bucket) -> Cut:
    """From (out, in per group, elements) to the bucket's (rows, inputs per group, elements)."""
    groups = num_groups(must(op.module))
    per = base_of(op.inputs[0]).width // groups
    each = len(bucket.rows) // bucket.groups
    local = bucket.inputs.view(bucket.groups, -1)
    filler = bucket.filler.view(bucket.groups, -1)

    def cut(weight: Tensor) -> Tensor:
        if len(bucket.rows) < len(weight) or not bool((bucket.rows == torch.arange(len(bucket.rows))).all()):
            weight = weight.index_select(0, bucket.rows.to(weight.device))
        if bucket.groups == 1 and groups == 1:
            order = local[0].to(weight.device)
            whole = len(order) == weight.shape[1] and bool((order == torch.arange(len(order)).to(order)).all())
            weight = weight if whole else weight.index_select(1, order)
        else:
            weight = weight[torch.arange(len(weight)).unsqueeze(1), (local % per).repeat_interleave(each, 0)]
        if filler.any():
            weight = weight.clone()
            weight[filler.repeat_interleave(each, 0)] = 0
        return weight

    return cut


def like_weight(build: Build, op: Op, cut: Cut, native: Cut) -> Cut:
    """How a tensor shaped like the layer's weight is cut: masked, then narrowed, then shaped like the new layer's."""
    return lambda tensor: native(cut(by_input(build.flow, op, tensor)))


def whole_weight(op: Op, bucket: Bucket) -> Cut:
    """From (rows, inputs per group, elements) to the shape of the new layer's weight."""
    return lambda weight: weight_in(narrow_layer(must(op.module), weight, None, bucket.groups))


def arrange(build: Build, op: Op, node: fx.Node) -> fx.Node:
    """Gathered channels as the (N, k * plane) rows a linear layer reads; other inputs as they are."""
    if not isinstance(op.inputs[0], Layout):
        return node
    axis = base_of(op.inputs[0]).axis
    node = node if axis == 1 else build.once(("front", node), lambda: build.call(torch.movedim, node, axis, 1))
    return build.once(("flat", node), lambda: build.call(torch.flatten, node, 1))


# ---- the part that is the same for every input ---------------------------------------------------------------------


def static_rows(build: Build, op: Op, rows: Tensor) -> bool:
    """Whether the rows read a field, or a constant that is another at the border."""
    seen = sources(build.flow, op, rows)
    return bool(seen.fields.any()) or (spreads(must(op.module)) and bool(seen.carried.any()))


def static_part(build: Build, op: Op, rows: Tensor, stream: int, with_bias: bool) -> fx.Node:
    """(1, rows, ...): the layer on its fields, and on one plane of ones that carries all constants."""
    module, flow = must(op.module), build.flow
    value = base_of(op.inputs[0])
    bias = torch.zeros(len(rows), dtype=torch.float64)
    if with_bias:
        bias = biases(flow, op, rows) + (0 if op.offset is None else op.offset[rows])
    suffix = "_carry" if stream == ALIVE else SUFFIX[FIELD]
    terms: list[fx.Node] = []
    carried = carry(op, rows, *input_states(flow, op)) if spreads(module) else bias[:0]
    if carried.any():
        piece = narrow_layer(module, carried.unsqueeze(1).to(module.weight), None)  # type: ignore[arg-type]
        piece.requires_grad_(False)  # constants, made of units that are gone
        terms.append(build.module(op.path, suffix, piece, build.ones_plane(value)))
    fields = sources(flow, op, rows).fields
    if fields.any():
        terms += field_terms(build, op, rows, fields, suffix)
    if not terms:
        return build.numbers(bias, op)
    node = terms[0]
    for term in terms[1:]:
        node = build.call(torch.add, node, term)
    return build.call(torch.add, node, build.numbers(bias, op)) if bool((bias != 0).any()) else node


def field_terms(build: Build, op: Op, rows: Tensor, fields: Tensor, suffix: str) -> list[fx.Node]:
    """What the rows take from fields, each term for all rows."""
    module = must(op.module)
    assert op.links is not None and op.weight is not None
    groups = num_groups(module)
    reading = (by_group(op, op.links) & fields.view(groups, -1).unsqueeze(1)).any(2).flatten()[rows]
    terms = []
    position = torch.full((op.width,), -1)
    position[rows] = torch.arange(len(rows))
    for bucket in field_buckets(build, op, rows[reading], fields):
        cut, native = weight_cut(op, bucket), whole_weight(op, bucket)
        piece = narrow_layer(module, cut(op.weight), None, bucket.groups)
        origin = Origin(op.parameters["weight"], like_weight(build, op, cut, native))
        node = arrange(build, op, gathered(build, op, bucket, FIELD))
        node = build.module(op.path, suffix, piece, node, cuts={"weight": origin})
        if len(bucket.rows) == len(rows) and bool((bucket.rows == rows).all()):
            terms.append(node)
            continue
        spread = build.method("expand", build.numbers(torch.zeros(len(rows)), op), 1, *expanded(build, op, node))
        where = build.indices(position[bucket.rows])
        terms.append(build.call(torch.index_copy, spread, op.axis, where, node))  # a repeated row comes once
    return terms


def expanded(build: Build, op: Op, node: fx.Node) -> list[object]:
    """The lengths of an expand, behind the batch, to the plane of `node`."""
    sizes: list[object] = list(build.sizes(node, len(op.shape), op.axis))
    sizes.insert(op.axis - 1, -1)
    return sizes


def field_buckets(build: Build, op: Op, rows: Tensor, fields: Tensor) -> list[Bucket]:
    if num_groups(must(op.module)) == 1:
        inputs = fields.nonzero().flatten()
        return [Bucket(1, rows, inputs, torch.zeros(len(inputs), dtype=torch.bool))]
    return buckets(build, op, rows, fields)


LAYER = Rule(forward, reads, emit, plane)
