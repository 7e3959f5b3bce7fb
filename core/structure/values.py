"""What flows between operations: references to channels of operations, and what is known of each channel.

Channel j of a `Val` *is* channel `ch[j]` of operation `op[j]`, and nothing else; so concatenation, splits, slices and
shuffles are index algebra and compute nothing. A channel's state lies on the lattice CONST < FIELD < ALIVE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.structure.trace import Traced

CONST, FIELD, ALIVE = 0, 1, 2  # a number; the same for every input but not everywhere; depends on the input
Shapes = tuple[tuple[int, ...], ...]  # of one value in each run of the tracer


@dataclass(frozen=True)
class Val:
    """A tensor (N, ...) whose dimension `axis` holds channels: `op`, `ch` Long[C]; `like`: an operation of its plane.

    The plane is every dimension but the batch and the channels.
    """

    shapes: Shapes
    axis: int
    op: Tensor
    ch: Tensor
    like: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[0]

    @property
    def width(self) -> int:
        return len(self.ch)


@dataclass(frozen=True)
class Layout:
    """Elements of `base` in another arrangement: entry i of a sample is element ids[i] of the base's sample.

    One `ids` per run. `node`, run again on the full width of its inputs, makes the full value; `part` of its tuple.
    """

    shapes: Shapes
    base: Val
    ids: tuple[Tensor, ...]
    node: fx.Node
    part: int = -1  # -1: the node gives one tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[0]


@dataclass(frozen=True)
class Raw:
    """A value without channels: a number, a tuple, a parameter; kept as operation `op` gives it."""

    op: int


@dataclass(frozen=True)
class Many:
    """Several values: what a split or a chunk gives."""

    parts: tuple[Val | Layout, ...]
    node: fx.Node


Value = Val | Layout | Raw | Many


@dataclass(eq=False)
class Op:
    """One computation and the knowledge of its output channels (all vectors have `width` entries)."""

    index: int
    kind: str
    node: fx.Node
    inputs: list[Value]
    shapes: Shapes  # () for a Raw
    axis: int = 1
    reason: str = ""  # why an operation works on the full width of its input
    module: nn.Module | None = None  # of a layer: what holds its weights
    path: str = ""  # of a layer: where it stands
    parameters: dict[str, str] = field(default_factory=dict)  # of a layer: the names of its weight and bias
    weight: Tensor | None = None  # of a layer: (out, in per conv group, elements), masked
    links: Tensor | None = None  # bool (out, in per conv group): which inputs a layer reads at all
    offset: Tensor | None = None  # float64 (out): what constant inputs add to a layer that does not spread them
    seen: dict[int, Any] = field(default_factory=dict)  # of a layer: what the rows of each stream read
    source_rows: Tensor | None = None  # of a movement: its channel j is channel source_rows[j] of its input
    state: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int8))
    const: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    nonneg: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    need: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    used: bool = False  # of a Raw: somebody reads it
    size_needed: bool = False  # somebody needs this value's plane, though perhaps none of its channels

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[0] if self.shapes else ()

    @property
    def width(self) -> int:
        return self.shape[self.axis] if len(self.shape) > 1 else 0

    def fill_in(self, state: Tensor, const: Tensor, nonneg: Tensor | None = None) -> None:
        """Record the states; `const` counts only where the state is CONST."""
        self.state = state.to(torch.int8)
        self.const = torch.where(self.state == CONST, const.double(), torch.zeros((), dtype=torch.float64))
        known = torch.zeros(self.width, dtype=torch.bool) if nonneg is None else nonneg
        self.nonneg = torch.where(self.state == CONST, self.const >= 0, known)
        self.need = torch.zeros(self.width, dtype=torch.bool)

    def rows(self, state: int) -> Tensor:
        """Channels of that state which somebody reads, ascending."""
        return ((self.state == state) & self.need).nonzero().flatten()


@dataclass
class Flow:
    """A network's operations in order and the value of every node; `masked`, `kept` as in the plan."""

    traced: Traced
    masked: dict[str, list[int]] = field(default_factory=dict)
    kept: dict[str, list[int]] = field(default_factory=dict)
    shapes: dict[str, Any] = field(
        default_factory=dict
    )  # of layers without some columns: core.structure.columns.ShapeCut
    policy: str = "fast"
    ops: list[Op] = field(default_factory=list)
    values: dict[fx.Node, Value] = field(default_factory=dict)

    def new_op(
        self, kind: str, node: fx.Node, inputs: list[Value], shapes: Shapes, axis: int = 1, reason: str = ""
    ) -> Op:
        op = Op(len(self.ops), kind, node, inputs, shapes, axis, reason)
        self.ops.append(op)
        return op

    def state(self, val: Val) -> Tensor:
        return self._pick(val, "state")

    def const(self, val: Val) -> Tensor:
        return self._pick(val, "const")

    def nonneg(self, val: Val) -> Tensor:
        return self._pick(val, "nonneg")

    def dtype(self, value: Val | Op) -> torch.dtype:
        """The type of the numbers of a value."""
        node = (value if isinstance(value, Op) else self.ops[value.like]).node
        return self.traced.runs[0].types.get(node, self.traced.dtype)

    def _pick(self, val: Val, name: str) -> Tensor:
        """The entries of one vector that `val` refers to, in its order."""
        sources = val.op.unique().tolist() or [val.like]  # a value of no channels at all
        if len(sources) == 1:
            return getattr(self.ops[sources[0]], name)[val.ch]
        out = torch.empty(len(val.ch), dtype=getattr(self.ops[sources[0]], name).dtype)
        for source in sources:
            here = val.op == source
            out[here] = getattr(self.ops[source], name)[val.ch[here]]
        return out


def whole(op: Op) -> Val:
    """The value an operation gives: all its channels in order."""
    return Val(op.shapes, op.axis, torch.full((op.width,), op.index), torch.arange(op.width), op.index)


def bases(value: Value) -> list[Val]:
    """The channels behind a value."""
    if isinstance(value, Many):
        return [base for part in value.parts for base in bases(part)]
    return [value.base] if isinstance(value, Layout) else [value] if isinstance(value, Val) else []


def base_of(value: Value) -> Val:
    """The channels behind a tensor's value."""
    (base,) = bases(value)
    return base


def along(vector: Tensor, rank: int, axis: int) -> Tensor:
    """Vector[k] in the shape (1, .., k, .., 1) that broadcasts along `axis`."""
    return vector.view(*[1] * axis, -1, *[1] * (rank - axis - 1))
