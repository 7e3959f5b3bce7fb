"""Operations the knife does not know, the network's inputs and its outputs: they see the full width, as originally.

Unknown never means "element-wise": the full-width value (alive channels, constants and fields) is rebuilt in front and
the original operation runs on it. What lies upstream still goes.
"""

from __future__ import annotations

import torch
from torch import fx, nn

from core.structure.build import Build, has_path
from core.structure.rule import Reads, Rule
from core.structure.values import ALIVE, CONST, Flow, Layout, Op, Raw, Value, base_of

METADATA = {"size", "dim", "ndimension"}
ATTRIBUTES = {"shape", "ndim"}


def asks_only_size(op: Op) -> bool:
    """x.size(), x.shape and the like: the answer needs no channel, only batch, width and plane."""
    if op.node.op == "call_method":
        return op.node.target in METADATA
    return op.node.target is getattr and op.node.args[1] in ATTRIBUTES


def accepts(flow: Flow, node: fx.Node, values: list[Value]) -> str:
    return ""


def forward(flow: Flow, op: Op) -> None:
    """All its channels are alive, for all we know; those of a layer that nobody reads need not exist."""
    alive = torch.full((op.width,), ALIVE, dtype=torch.int8)
    op.fill_in(alive, torch.zeros(op.width, dtype=torch.float64))
    if op.node.op == "call_module":
        for kind in ("filter", "neuron"):
            op.used = op.used or bool(flow.kept.get(f"{op.node.target}/{kind}"))


def wanted(op: Op) -> bool:
    return op.used or op.size_needed or bool(op.need.any())


def reads(flow: Flow, op: Op) -> Reads:
    """Everything of every input, if anybody reads the result."""
    if not wanted(op):
        return Reads([None] * len(op.inputs))
    op.need[:] = True
    masks: list[torch.Tensor | None] = []
    sizes = []
    for i, value in enumerate(op.inputs):
        val = base_of(value)
        if val is None:
            assert isinstance(value, Raw)
            flow.ops[value.op].used = True
            masks.append(None)
        elif asks_only_size(op):
            masks.append(None)
            sizes.append(i)
        else:
            alive = flow.state(val)
            masks.append(alive != CONST)
            if not bool((alive == ALIVE).any()):
                sizes.append(i)
    return Reads(masks, tuple(sizes))


def emit(build: Build, op: Op) -> None:
    if not wanted(op):
        return
    if op.node.op == "get_attr":
        node = copy_attribute(build, op.node)
    else:
        show = outline if asks_only_size(op) else Build.full
        sources = dict(zip(op.node.all_input_nodes, op.inputs, strict=True))
        node = build.rerun(op.node, {source: show(build, value) for source, value in sources.items()})
    build.raw[op.index] = node
    if op.width:
        build.place(op, ALIVE, torch.arange(op.width), node)


def copy_attribute(build: Build, node: fx.Node) -> fx.Node:
    """The parameter or buffer, copied to the same name of the new network."""
    *parents, name = str(node.target).split(".")
    old, new = build.flow.traced.root, build.root
    for parent in parents:
        if not has_path(new, parent):
            new.add_module(parent, nn.Module())
        old, new = getattr(old, parent), getattr(new, parent)
    value = getattr(old, name)
    if not hasattr(new, name):
        if isinstance(value, nn.Parameter):
            copied = nn.Parameter(value.detach().clone(), requires_grad=value.requires_grad)
            new.register_parameter(name, copied)
        else:
            new.register_buffer(name, value.detach().clone())
    return build.graph.get_attr(str(node.target))


def outline(build: Build, value: Value) -> fx.Node:
    """A tensor of the value's original shape that costs nothing."""
    if isinstance(value, Raw):
        return build.raw[value.op]
    if isinstance(value, Layout):
        base = outline(build, value.base)
        return build.once(
            ("outline", id(value)), lambda: build.rerun(value.node, {value.node.all_input_nodes[0]: base})
        )
    one, plane = build.numbers(torch.ones(1), len(value.shape)), build.plane(value)
    shape = (build.batch(), len(value.ch), *plane)
    return build.once(("outline", *shape), lambda: build.method("expand", one, *shape))


def own_plane(build: Build, op: Op) -> list[fx.Node]:
    return build.sizes(build.raw[op.index], len(op.shape))


def emit_input(build: Build, op: Op) -> None:
    node = build.graph.placeholder(str(op.node.target))
    build.raw[op.index] = node
    build.batch_source = build.batch_source or node
    if op.width:
        build.place(op, ALIVE, torch.arange(op.width), node)


def emit_output(build: Build, op: Op) -> None:
    sources = dict(zip(op.node.all_input_nodes, op.inputs, strict=True))
    full = {source: build.full(value) for source, value in sources.items()}
    build.graph.output(fx.map_arg(op.node.args[0], lambda n: full[n]))


def nothing(flow: Flow, op: Op) -> Reads:
    return Reads([])


def emit_nothing(build: Build, op: Op) -> None:
    """Constant channels exist only as references."""


def forward_nothing(flow: Flow, op: Op) -> None:
    """The states were known when the operation was made."""


def no_plane(build: Build, op: Op) -> list[fx.Node]:
    raise AssertionError("constant channels take their size from the value they were joined to")


OPAQUE = Rule(accepts, forward, reads, emit, own_plane)
INPUT = Rule(accepts, forward, nothing, emit_input, own_plane)
OUTPUT = Rule(accepts, forward, reads, emit_output, own_plane)
FILL = Rule(accepts, forward_nothing, nothing, emit_nothing, no_plane)
