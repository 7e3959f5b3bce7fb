"""Operations the knife does not know, the network's inputs and its outputs: they see the full width, as originally.

Unknown never means "element-wise": the full-width value (alive channels, constants and fields) is rebuilt in front and
the original operation runs on it. What lies upstream still goes.
"""

from __future__ import annotations

import operator

import torch
from torch import fx

from core.structure.build import Build
from core.structure.rule import Reads, Rule, full_reads
from core.structure.values import ALIVE, Flow, Layout, Many, Op, Raw, Val, Value, bases, whole

METADATA = {"size", "dim", "ndimension"}
ATTRIBUTES = {"shape", "ndim"}


def asks_only_size(op: Op) -> bool:
    """x.size(), x.shape and the like: the answer needs no channel, only batch, width and plane."""
    if op.node.op == "call_method":
        return op.node.target in METADATA
    return op.node.target is getattr and op.node.args[1] in ATTRIBUTES


def recast(flow: Flow, node: fx.Node, value: Val | Layout, axis: int, reason: str) -> Val:
    """The full width of `value`, rebuilt in front of `node`, with channels along `axis`."""
    op = flow.new_op("recast", node, [value], value.shapes, axis, reason)
    forward(flow, op)
    return whole(op)


def forward(flow: Flow, op: Op) -> None:
    """All its channels are alive, for all we know."""
    alive = torch.full((op.width,), ALIVE, dtype=torch.int8)
    op.fill_in(alive, torch.zeros(op.width, dtype=torch.float64))
    if op.node.op == "call_module" and op.kind == "opaque":
        op.used = any(flow.kept.get(f"{op.node.target}/{kind}") for kind in ("filter", "neuron"))


def wanted(op: Op) -> bool:
    return op.used or op.size_needed or bool(op.need.any())


def reads(flow: Flow, op: Op) -> Reads:
    """Everything of every input, if anybody reads the result."""
    count = sum(len(bases(value)) for value in op.inputs)
    if not wanted(op):
        return Reads([None] * count)
    op.need[:] = True
    if op.kind == "opaque" and asks_only_size(op):
        op.used = True
        return Reads([None] * count, tuple(range(count)))
    op.used = True
    return full_reads(flow, op)


def emit(build: Build, op: Op) -> None:
    if not wanted(op):
        return
    if op.node.op == "get_attr":
        value = operator.attrgetter(str(op.node.target))(build.flow.traced.root)
        node = build.parameter(str(op.node.target), value, lambda tensor: tensor)
    else:
        show = outline if asks_only_size(op) else Build.full
        node = build.rerun(op.node, {n: show(build, build.flow.values[n]) for n in op.node.all_input_nodes})
    build.raw[op.index] = node
    if op.width:
        build.place(op, ALIVE, torch.arange(op.width), node)


def emit_recast(build: Build, op: Op) -> None:
    if wanted(op):
        build.raw[op.index] = build.full(op.inputs[0])
        build.place(op, ALIVE, torch.arange(op.width), build.raw[op.index])


def outline(build: Build, value: Value) -> fx.Node:
    """A tensor of the value's original shape that costs nothing."""
    if isinstance(value, Raw):
        return build.raw[value.op]
    if isinstance(value, Layout | Many):
        sources = {n: outline(build, build.flow.values[n]) for n in value.node.all_input_nodes}
        made = build.once(("outline", value.node), lambda: build.rerun(value.node, sources))
        if isinstance(value, Layout) and value.part >= 0:  # of an operation with several results
            return build.once(
                ("outline", value.node, value.part), lambda: build.call(operator.getitem, made, value.part)
            )
        return made
    one, lengths = build.numbers(torch.ones(1), value), build.lengths(value, build.batch(), value.width)
    return build.once(("outline", *lengths), lambda: build.method("expand", one, *lengths))


def own_plane(build: Build, op: Op) -> list[fx.Node]:
    return build.sizes(build.raw[op.index], len(op.shape), op.axis)


def emit_input(build: Build, op: Op) -> None:
    node = build.graph.placeholder(str(op.node.target))
    build.raw[op.index] = node
    build.batch_source = build.batch_source or node
    if op.width:
        build.place(op, ALIVE, torch.arange(op.width), node)


def emit_output(build: Build, op: Op) -> None:
    full = build.full_inputs(op.node)
    build.graph.output(fx.map_arg(op.node.args[0], lambda n: full[n]))


def reads_output(flow: Flow, op: Op) -> Reads:
    return full_reads(flow, op)


def nothing(flow: Flow, op: Op) -> Reads:
    return Reads([])


def emit_nothing(build: Build, op: Op) -> None:
    """Constant channels exist only as references."""


def forward_nothing(flow: Flow, op: Op) -> None:
    """The states were known when the operation was made."""


def no_plane(build: Build, op: Op) -> list[fx.Node]:
    raise AssertionError("constant channels take their size from the value they were joined to")


OPAQUE = Rule(forward, reads, emit, own_plane)
RECAST = Rule(forward, reads, emit_recast, own_plane)
INPUT = Rule(forward, nothing, emit_input, own_plane)
OUTPUT = Rule(forward, reads_output, emit_output, own_plane)
FILL = Rule(forward_nothing, nothing, emit_nothing, no_plane)
