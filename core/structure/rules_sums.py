"""Sums: life on one branch, a constant or a field on the other, without any coupling of the branches."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from core.structure.build import Build
from core.structure.rule import Rule, row_reads
from core.structure.rules_pairs import forward, plane, vals_of
from core.structure.values import ALIVE, FIELD, Op, Val

Part = tuple[Val, Tensor]  # an operand, and a mask over the rows it brings in this stream


def emit(build: Build, op: Op) -> None:
    """Alive rows: one operand in full, the other one added where it lives, then one batch-free term for the rest."""
    for stream in (FIELD, ALIVE):
        rows = op.need & (op.state == stream)
        if not rows.any():
            continue
        parts = live_parts(build, op, rows, stream)
        fields = live_parts(build, op, rows, FIELD) if stream == ALIVE else []
        const = torch.zeros(op.width, dtype=torch.float64)
        for val in vals_of(op):
            const += build.flow.const(val) * rows
        if len(parts) == 1 and not fields and not const.any():
            entries = rows.nonzero().flatten()
            build.alias(op, stream, entries, parts[0][0], entries)
            continue
        node, order = total(build, op, parts, rows, stream, torch.zeros_like(const) if fields else const)
        if fields:
            still, _ = total(build, op, fields, rows, FIELD, const, order)
            node = build.call(torch.add, node, still)
        build.place(op, stream, order, node)


def live_parts(build: Build, op: Op, rows: Tensor, stream: int) -> list[Part]:
    """Operands that have channels of that stream among `rows`, the fullest first."""
    parts = [(val, rows & (build.flow.state(val) == stream)) for val in vals_of(op)]
    return sorted((part for part in parts if part[1].any()), key=lambda part: -int(part[1].sum()))


def total(
    build: Build, op: Op, parts: list[Part], rows: Tensor, stream: int, const: Tensor, order: Tensor | None = None
) -> tuple[fx.Node, Tensor]:
    """Sum of the parts and the constants, for all rows; in `order` if given, else in the first part's own order."""
    val, mask = parts[0]
    if not bool((rows & ~mask).any()):
        if order is None:
            node, order = build.gather_any(val, mask, stream)
        else:
            node = build.gather(val, order, stream)
        parts = parts[1:]
        if const.any():
            node = build.call(torch.add, node, build.numbers(const[order], op))
    else:
        order = rows.nonzero().flatten() if order is None else order
        batch = build.batch() if stream == ALIVE else 1
        start = build.numbers(const[order], op)
        node = build.method("expand", start, *build.lengths(val, batch, -1))
    for val, mask in parts:
        node = add_part(build, node, val, mask, order, stream)
    return node, order


def add_part(build: Build, node: fx.Node, val: Val, mask: Tensor, order: Tensor, stream: int) -> fx.Node:
    """node + the masked channels of `val`, each at its place.

    Places side by side are reached by padding: channels-last, as networks are trained and timed here, one index_add takes three
    times as long (its sum is not channels-last, nor are its gradients); contiguous, padding takes 1.4 times as long.
    """
    if bool(mask[order].all()):
        return build.call(torch.add, node, build.gather(val, order, stream))
    part, entries = build.gather_any(val, mask, stream)
    position = torch.full((len(mask),), -1)
    position[order] = torch.arange(len(order))
    assert bool((position[entries] >= 0).all())
    places = position[entries]
    first, after = int(places[0]), int(places[0]) + len(places)
    if torch.equal(places, torch.arange(first, after)):
        pads = (0, 0) * (len(val.shape) - 1 - val.axis) + (first, len(order) - after)
        return build.call(torch.add, node, build.call(torch.nn.functional.pad, part, pads))
    return build.call(torch.index_add, node, val.axis, build.indices(places), part)


SUM = Rule(forward, row_reads, emit, plane)
