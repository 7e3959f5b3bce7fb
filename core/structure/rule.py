"""One rule per kind of operation: what it makes of states, what it reads, how it is built narrow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, fx

from core.structure.values import ALIVE, CONST, Flow, Op, Raw, Val, Value, base_of, bases

if TYPE_CHECKING:
    from core.structure.build import Build


@dataclass(frozen=True)
class Reads:
    """What an operation reads for the rows it must give: a bool mask over each input's channels, and sizes.

    `masks` has one entry per value in `bases` of all inputs; `sizes`: those whose batch and plane it needs.
    """

    masks: list[Tensor | None]
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A kind of operation. `forward` fills its states in; `reads` serves both the backward pass and `emit`.

    `plane` gives nodes for the plane of an output nobody built.
    """

    forward: Callable[[Flow, Op], None]
    reads: Callable[[Flow, Op], Reads]
    emit: Callable[[Build, Op], None]
    plane: Callable[[Build, Op], list[fx.Node]]


def channels_of(flow: Flow, value: Value, axis: int | None = None) -> str:
    """Why a value's channels cannot be followed (along `axis`); "" if they can."""
    if not isinstance(value, Val):
        return "its input is no longer made of whole channels"
    if not flow.traced.leads(value.shapes):
        return "its input's first dimension is not the batch"
    if any(shape[value.axis] != value.width for shape in value.shapes):
        return "the number of its input's channels changes with the size"
    if axis is not None and value.axis != axis:
        return f"it works along dimension {axis}, its input's channels lie along {value.axis}"
    return ""


def same_channels(flow: Flow, node: fx.Node, value: Value) -> str:
    """Why a node does not give one tensor with the channels and the batch of `value`; "" if it does."""
    shapes = flow.traced.shapes_of(node)
    refused = channels_of(flow, value)
    if refused:
        return refused
    assert isinstance(value, Val)
    same = shapes and flow.traced.leads(shapes) and len(shapes[0]) == len(value.shape)
    return "" if same and shapes[0][value.axis] == value.width else "it changes batch or channels"


def tensor_input(flow: Flow, node: fx.Node) -> Value:
    """The value of the node's first tensor input."""
    return next(flow.values[n] for n in node.all_input_nodes if not isinstance(flow.values[n], Raw))


def source_of(op: Op) -> Val:
    """The channels of an operation's only tensor input."""
    return base_of(op.inputs[0])


def row_reads(flow: Flow, op: Op) -> Reads:
    """Row j reads entry j of every input, where that is not a constant."""
    rows = op.need & (op.state != CONST)
    vals = [val for value in op.inputs for val in bases(value)]
    return Reads([rows & (flow.state(val) != CONST) for val in vals])


def full_reads(flow: Flow, op: Op) -> Reads:
    """Everything of every input; its size, where no channel depends on the network's input."""
    vals = [val for value in op.inputs for val in bases(value)]
    masks: list[Tensor | None] = [flow.state(val) != CONST for val in vals]
    return Reads(masks, tuple(i for i, val in enumerate(vals) if not bool((flow.state(val) == ALIVE).any())))


def same_plane(build: Build, op: Op) -> list[fx.Node]:
    """The plane is the first input's."""
    return build.plane(base_of(op.inputs[0]))


def row_mask(op: Op, stream: int) -> Tensor:
    return op.need & (op.state == stream)
