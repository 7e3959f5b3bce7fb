"""What flows between operations: references to channels of operations, and what is known of each channel.

Channel j of a `Val` *is* channel `ch[j]` of operation `op[j]`, and nothing else; so concatenation and padding are index
algebra and compute nothing. Every channel of an operation has a state on the lattice CONST < FIELD < ALIVE.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

from core.structure.trace import Traced

CONST, FIELD, ALIVE = 0, 1, 2  # a number; the same for every input but not everywhere; depends on the input


@dataclass(frozen=True)
class Val:
    """A tensor (N, C, ...) with named channels: `op`, `ch` Long[C]; `like` is an operation with the same plane."""

    shape: tuple[int, ...]
    op: Tensor
    ch: Tensor
    like: int


@dataclass(frozen=True)
class Layout:
    """Elements of `base` in another arrangement: entry i of a sample is element ids[i] of the base's (C, plane)."""

    shape: tuple[int, ...]
    base: Val
    ids: Tensor
    node: fx.Node  # the operation that arranges them, run again on the full width


@dataclass(frozen=True)
class Raw:
    """A value without channels: a number, a tuple, a parameter; kept as operation `op` gives it."""

    op: int


Value = Val | Layout | Raw


@dataclass(eq=False)
class Op:
    """One computation and the knowledge of its output channels (all vectors have `width` entries)."""

    index: int
    kind: str
    node: fx.Node
    inputs: list[Value]
    shape: tuple[int, ...]  # at the example; () for a Raw
    reason: str = ""  # why a refilled operation could not be narrowed
    links: Tensor | None = None  # bool (out, in): which inputs a convolution or linear layer reads at all
    scale: float | None = 1.0  # of a plane operation: constant c becomes scale * c; None: a field
    state: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int8))
    const: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    nonneg: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    need: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    used: bool = False  # of a Raw: somebody reads it
    size_needed: bool = False  # somebody needs this value's height and width, though perhaps none of its channels

    @property
    def width(self) -> int:
        return self.shape[1] if len(self.shape) > 1 else 0

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
    ops: list[Op] = field(default_factory=list)
    values: dict[fx.Node, Value] = field(default_factory=dict)

    def new_op(self, kind: str, node: fx.Node, inputs: list[Value], shape: tuple[int, ...], reason: str = "") -> Op:
        op = Op(len(self.ops), kind, node, inputs, shape, reason)
        self.ops.append(op)
        return op

    def state(self, val: Val) -> Tensor:
        return self._pick(val, "state")

    def const(self, val: Val) -> Tensor:
        return self._pick(val, "const")

    def nonneg(self, val: Val) -> Tensor:
        return self._pick(val, "nonneg")

    def _pick(self, val: Val, name: str) -> Tensor:
        """The entries of one vector that `val` refers to, in its order."""
        sources = val.op.unique().tolist()
        if len(sources) == 1:
            return getattr(self.ops[sources[0]], name)[val.ch]
        out = torch.empty(len(val.ch), dtype=getattr(self.ops[sources[0]], name).dtype)
        for source in sources:
            here = val.op == source
            out[here] = getattr(self.ops[source], name)[val.ch[here]]
        return out


def whole(op: Op) -> Val:
    """The value an operation gives: all its channels in order."""
    return Val(op.shape, torch.full((op.width,), op.index), torch.arange(op.width), op.index)


def base_of(value: Value) -> Val | None:
    """The channels behind a value."""
    return value.base if isinstance(value, Layout) else value if isinstance(value, Val) else None
