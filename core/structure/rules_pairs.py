"""Two values element by element, with broadcasting: sums, differences, products, quotients; raw parameters as operands.

A product with the constant 0 is 0 (for finite values). Life on one side and a constant or field on the other need no
coupling: the constant broadcasts.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.structure.build import Build
from core.structure.rule import Reads, Rule, channels_of
from core.structure.rules_opaque import recast
from core.structure.trace import perform
from core.structure.values import ALIVE, CONST, FIELD, Flow, Op, Raw, Shapes, Val, Value, along, whole

PRODUCTS = {operator.mul, torch.mul, torch.multiply, "mul", "multiply"}
SUMS = {operator.add, torch.add, "add"}


def made_pair(flow: Flow, node: fx.Node) -> Value | str:
    """The operation on channels that lie along the same dimension, or on one channel that broadcasts."""
    shapes = flow.traced.shapes_of(node)
    if not shapes or not flow.traced.leads(shapes):
        return "it does not work on a batch of images"
    values = [flow.values[n] for n in node.all_input_nodes]
    vals = [value for value in values if isinstance(value, Val)]
    whole_vals = [v for v in vals if len(v.shape) == len(shapes[0]) and v.width == shapes[0][v.axis]]
    lead = min(whole_vals, key=lambda v: flow.ops[v.like].kind in ("opaque", "recast"), default=None)
    if len(values) != 2 or lead is None:
        return "its operands' channels are not known"
    operands: list[Value] = []
    for n, value in zip(node.all_input_nodes, values, strict=True):
        made = parameter(flow, n, shapes, lead.axis) if isinstance(value, Raw) else value
        if isinstance(made, str) or not isinstance(made, Val):
            return made if isinstance(made, str) else "its operands' channels are not known"
        if made.axis != lead.axis and len(made.shape) == len(lead.shape) and flow.traced.leads(made.shapes):
            made = recast(flow, n, made, lead.axis, f"it is combined with channels along dimension {lead.axis}")
        refused = "" if isinstance(value, Raw) else channels_of(flow, made, lead.axis)
        if refused or len(made.shape) != len(shapes[0]) or made.width not in (1, lead.width):
            return refused or "its operands differ in shape"
        operands.append(made)
    kind = "sum" if is_plain_sum(flow, node, operands) else "pair"
    op = flow.new_op(kind, node, operands, shapes, lead.axis)
    forward(flow, op)
    return whole(op)


def is_plain_sum(flow: Flow, node: fx.Node, operands: list[Value]) -> bool:
    """Two values of one shape and type, added: they can be brought together channel by channel."""
    a, b = operands
    alike = isinstance(a, Val) and isinstance(b, Val) and a.shapes == b.shapes and flow.dtype(a) == flow.dtype(b)
    return alike and node.target in SUMS and len(node.args) == 2 and not node.kwargs


def vals_of(op: Op) -> list[Val]:
    return [value for value in op.inputs if isinstance(value, Val)]


def wide(op: Op, vector: Tensor) -> Tensor:
    """An operand's vector with one entry per channel of the result."""
    return vector.expand(op.width) if len(vector) == 1 else vector


def forward(flow: Flow, op: Op) -> None:
    """As alive as the livelier operand; a constant 0 kills a product; the real operation on two constants."""
    first, second = vals_of(op)
    states = [wide(op, flow.state(val)) for val in (first, second)]
    consts = [wide(op, flow.const(val)) for val in (first, second)]
    feed = {n: along(c, len(op.shape), op.axis) for n, c in zip(op.node.all_input_nodes, consts, strict=True)}
    args, kwargs = (fx.map_arg(a, lambda n: feed[n]) for a in (op.node.args, op.node.kwargs))
    const = perform(flow.traced.root, op.node, args, kwargs).flatten()
    state = torch.maximum(*states)
    if op.node.target in PRODUCTS:
        zero = [(s == CONST) & (c == 0) for s, c in zip(states, consts, strict=True)]
        state = torch.where(zero[0] | zero[1], CONST, state)
        const = torch.where(zero[0] | zero[1], 0.0, const)
    nonneg = None
    if op.node.target in SUMS | PRODUCTS and not op.node.kwargs:
        nonneg = wide(op, flow.nonneg(first)) & wide(op, flow.nonneg(second))
    op.fill_in(state, const, nonneg)


def reads(flow: Flow, op: Op) -> Reads:
    """Row j reads entry j of both (or their one entry), where that is no constant; the plane, where all of one is."""
    rows = op.need & (op.state != CONST)
    masks: list[Tensor] = []
    for val in vals_of(op):
        live = flow.state(val) != CONST
        masks.append(rows & live if val.width == op.width else (live & rows.any()))
    parameters = [source_is_parameter(flow, val) for val in vals_of(op)]
    sizes = (i for i, (mask, p) in enumerate(zip(masks, parameters, strict=True)) if not p and not bool(mask.any()))
    return Reads(list(masks), tuple(sizes) if rows.any() else ())


def emit(build: Build, op: Op) -> None:
    for stream in (FIELD, ALIVE):
        rows = op.rows(stream)
        if len(rows):
            feed = dict(zip(op.node.all_input_nodes, operand_nodes(build, op, rows, stream), strict=True))
            node = build.rerun(op.node, feed)
            build.place(op, stream, rows, stretched(build, op, rows, node, stream))


def operand_nodes(build: Build, op: Op, rows: Tensor, stream: int) -> Iterator[fx.Node]:
    """Each operand for these rows: numbers, a batch-free value, or the alive channels, whatever is least."""
    for val in vals_of(op):
        entries = rows if val.width == op.width else torch.zeros(1, dtype=torch.long)
        states = build.flow.state(val)[entries]
        if bool((states == CONST).all()):
            yield constants(build, val, entries)
        elif bool((states == FIELD).all()):
            yield build.gather(val, entries, FIELD)
        else:
            yield build.fill(val, entries, stream)


def stretched(build: Build, op: Op, rows: Tensor, node: fx.Node, stream: int) -> fx.Node:
    """The result at the whole plane, where the operands that were left have a smaller one."""
    present = torch.zeros(len(op.shape), dtype=torch.bool)
    batch = False
    for val in vals_of(op):
        entries = rows if val.width == op.width else torch.zeros(1, dtype=torch.long)
        states = build.flow.state(val)[entries]
        batch |= bool((states == ALIVE).any())
        if bool((states == CONST).all()):
            continue
        present |= torch.tensor(
            [all(v[d] == o[d] for v, o in zip(val.shapes, op.shapes, strict=True)) for d in range(len(op.shape))]
        )
    missing = [d for d in range(1, len(op.shape)) if d != op.axis and not present[d]]
    if not missing and (batch or stream == FIELD):
        return node
    lengths = [build.batch() if stream == ALIVE else 1, *plane(build, op)]
    lengths.insert(op.axis, len(rows))
    return build.method("expand", node, *lengths)


def plane(build: Build, op: Op) -> list[fx.Node]:
    """Each length from an operand that has it, not the 1 that broadcasts."""
    out = []
    for d in range(1, len(op.shape)):
        if d == op.axis:
            continue
        full = [v for v in vals_of(op) if all(s[d] == o[d] for s, o in zip(v.shapes, op.shapes, strict=True))]
        full = sorted(full, key=lambda v: source_is_parameter(build.flow, v))
        val = full[0]
        out.append(build.plane(val)[d - 1 - (val.axis < d)])
    return out


# ---- raw parameters ------------------------------------------------------------------------------------------------


def source_is_parameter(flow: Flow, val: Val) -> bool:
    return flow.ops[val.like].kind == "parameter"


def parameter(flow: Flow, node: fx.Node, shapes: Shapes, axis: int) -> Val | str:
    """A parameter or buffer as an operand of rank `len(shapes[0])`: its channels, constant where its plane is."""
    tensor = attribute(flow.traced.root, node) if node.op == "get_attr" else None
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        return "it takes something that is computed and is no tensor with channels"
    rank = len(shapes[0])
    shape = (1,) * (rank - tensor.dim()) + tuple(tensor.shape)
    if tensor.dim() > rank or shape[0] != 1:
        return "it takes a parameter with a batch of its own"
    op = flow.new_op("parameter", node, [], tuple(shape for _ in shapes), axis)
    rows = tensor.detach().cpu().double().view(shape).movedim(axis, 0).flatten(1)
    same = (rows == rows[:, :1]).all(1)
    op.fill_in(torch.where(same, CONST, FIELD), rows[:, 0])
    return whole(op)


def attribute(root: nn.Module, node: fx.Node) -> Any:
    return operator.attrgetter(str(node.target))(root)


def constants(build: Build, val: Val, entries: Tensor) -> fx.Node:
    """Numbers; those of a parameter stay a parameter, so that the network can still learn it."""
    if source_is_parameter(build.flow, val) and len(val.op.unique()) == 1:
        return narrow_parameter(build, build.flow.ops[val.like], val.ch[entries])
    return build.numbers(build.flow.const(val)[entries], val)


def narrow_parameter(build: Build, op: Op, rows: Tensor) -> fx.Node:
    """The parameter's own rows, in a shape that broadcasts."""

    def make() -> fx.Node:
        tensor = attribute(build.flow.traced.root, op.node)
        dim = tensor.dim() - len(op.shape) + op.axis

        def cut(t: Tensor) -> Tensor:
            return t if len(rows) == op.width else t.index_select(dim, rows.to(t.device))

        node = build.parameter(str(op.node.target), tensor, cut)
        if tensor.dim() == len(op.shape):
            return node
        shape = list(op.shape)
        shape[op.axis] = len(rows)
        return build.call(torch.reshape, node, tuple(shape))

    return build.once(("parameter", op.index, tuple(rows.tolist())), make)


def forward_parameter(flow: Flow, op: Op) -> None:
    """The states were known when the operation was made."""


def emit_parameter(build: Build, op: Op) -> None:
    rows = op.rows(FIELD)
    if len(rows):
        build.place(op, FIELD, rows, narrow_parameter(build, op, rows))


def parameter_plane(build: Build, op: Op) -> list[int]:
    return [s for d, s in enumerate(op.shape) if d not in (0, op.axis)]


PAIR = Rule(forward, reads, emit, plane)
PARAMETER = Rule(forward_parameter, lambda flow, op: Reads([]), emit_parameter, parameter_plane)  # type: ignore[arg-type]
