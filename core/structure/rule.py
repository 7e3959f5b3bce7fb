"""One rule per kind of operation: what it makes of states, what it reads, how it is built narrow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, fx

from core.structure.values import CONST, Flow, Op, Val, Value, base_of

if TYPE_CHECKING:
    from core.structure.build import Build


@dataclass(frozen=True)
class Reads:
    """What an operation reads for the rows it must give: a bool mask over each input's channels, and sizes."""

    masks: list[Tensor | None]
    sizes: tuple[int, ...] = ()  # inputs whose batch, height and width it needs


@dataclass(frozen=True)
class Rule:
    """`accepts` gives the reason for refusing a node ("" to take it); a refused node is refilled.

    `forward` fills the operation's states in, or returns the value itself when nothing is computed.
    `reads` serves both the backward pass and `emit`. `plane` gives nodes for height and width of an output nobody built.
    """

    accepts: Callable[[Flow, fx.Node, list[Value]], str]
    forward: Callable[[Flow, Op], None]
    reads: Callable[[Flow, Op], Reads]
    emit: Callable[[Build, Op], None]
    plane: Callable[[Build, Op], list[fx.Node]]


def plain(flow: Flow, node: fx.Node, values: list[Value]) -> str:
    """Refuses whatever is not one tensor (N, C, ...) in, one tensor of the same N and C out."""
    shape = flow.traced.shapes.get(node)
    if len(values) != 1 or not isinstance(values[0], Val) or shape is None:
        return "its input is not one tensor with known channels"
    same = shape[:2] == values[0].shape[:2] and shape[0] == flow.traced.batch
    return "" if same else "it changes batch or channels"


def row_reads(flow: Flow, op: Op) -> Reads:
    """Row j reads entry j of every input, where that is not a constant."""
    rows = op.need & (op.state != CONST)
    masks: list[Tensor | None] = []
    for value in op.inputs:
        val = base_of(value)
        masks.append(None if val is None else rows & (flow.state(val) != CONST))
    return Reads(masks)


def same_plane(build: Build, op: Op) -> list[fx.Node]:
    """Height and width are the first input's."""
    val = base_of(op.inputs[0])
    assert val is not None
    return build.plane(val)
