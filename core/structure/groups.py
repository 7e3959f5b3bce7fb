"""Coupled groups: units whose channels meet in a sum, a product or a depthwise convolution, so that they pay best together.

Coupling is no constraint here: any unit can be cut alone, exactly. It is what a person, or a target, chooses by.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from core.structure.layers import num_groups, num_inputs, site_of
from core.structure.values import Flow, Op, Val, bases

CHANNELWISE = ("norm", "pointwise", "plane", "group norm", "layer norm")


class Group(BaseModel):
    """Units by site that meet. `closed`: why no target may choose it ("" if it may)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    units: dict[str, list[int]]
    closed: str = ""


class Labels:
    """A union-find over channels; every operation's channels have labels."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.of: dict[int, Tensor] = {}

    def fresh(self, op: Op) -> None:
        start = len(self.parent)
        self.parent += range(start, start + op.width)
        self.of[op.index] = torch.arange(start, start + op.width)

    def root(self, label: int) -> int:
        while self.parent[label] != label:
            self.parent[label] = self.parent[self.parent[label]]
            label = self.parent[label]
        return label

    def join(self, a: Tensor, b: Tensor) -> None:
        for i, j in zip(a.tolist(), b.tolist(), strict=True):
            self.parent[self.root(i)] = self.root(j)

    def take(self, val: Val) -> Tensor:
        out = torch.empty(val.width, dtype=torch.long)
        for source in val.op.unique().tolist():
            here = val.op == source
            out[here] = self.of[source][val.ch[here]]
        return out


def coupled(flow: Flow) -> list[Group]:
    """All groups, in the order of their first units; the network's inputs and outputs close theirs."""
    labels = Labels()
    members: dict[int, list[tuple[str, int]]] = {}
    closed: dict[int, str] = {}
    for op in flow.ops:
        vals = [val for value in op.inputs for val in bases(value)]
        follow(labels, op, vals)
        if op.kind == "layer" and op.module is not None:
            site = site_of(op.path, op.module)
            for unit, label in enumerate(labels.of[op.index].tolist()):
                members.setdefault(label, []).append((site, unit))
        if op.kind == "input":
            closed |= dict.fromkeys(labels.of[op.index].tolist(), "it is the network's input")
        if op.kind == "output":
            for val in vals:
                closed |= dict.fromkeys(labels.take(val).tolist(), "it is the network's output")
    return gathered(labels, members, closed)


def follow(labels: Labels, op: Op, vals: list[Val]) -> None:
    """The labels of an operation's channels."""
    one = vals[0] if len(vals) == 1 else None
    if one is not None and (op.kind in CHANNELWISE or keeps_shape(op, one)):
        labels.of[op.index] = labels.take(one)
    elif op.kind == "move" and one is not None and op.source_rows is not None:
        labels.of[op.index] = labels.take(one)[op.source_rows]
    elif op.kind in ("sum", "pair") and len(vals) == 2 and all(v.width == op.width for v in vals):
        labels.of[op.index] = labels.take(vals[0])
        labels.join(labels.take(vals[0]), labels.take(vals[1]))
    elif op.kind == "pair":
        labels.of[op.index] = labels.take(next(v for v in vals if v.width == op.width))
    else:
        labels.fresh(op)
        depthwise = op.kind == "layer" and op.module is not None and num_groups(op.module) == num_inputs(op.module)
        if depthwise and num_groups(op.module) > 1 and one is not None:  # type: ignore[arg-type]
            labels.join(labels.of[op.index], labels.take(one).repeat_interleave(op.width // one.width))


def keeps_shape(op: Op, val: Val) -> bool:
    """An unknown operation that gives what it takes in shape, as a softmax: its channel j is taken for channel j."""
    return op.kind == "opaque" and (op.shapes, op.axis) == (val.shapes, val.axis)


def gathered(labels: Labels, members: dict[int, list[tuple[str, int]]], closed: dict[int, str]) -> list[Group]:
    found: dict[int, dict[str, list[int]]] = {}
    for label, units in members.items():
        home = found.setdefault(labels.root(label), {})
        for site, unit in units:
            home.setdefault(site, []).append(unit)
    reasons: dict[int, str] = {}
    for label, why in closed.items():
        reasons.setdefault(labels.root(label), why)
    return [
        Group(units={site: sorted(set(units)) for site, units in home.items()}, closed=reasons.get(root, ""))
        for root, home in found.items()
    ]
