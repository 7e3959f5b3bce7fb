"""The backward pass: which channels, and which sizes, somebody reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from core.structure.rule import Rule
from core.structure.rules import RULES
from core.structure.values import ALIVE, CONST, Flow, Layout, Many, Op, Raw, Val, Value, bases


def mark_needs(flow: Flow, rules: Mapping[str, Rule] = RULES) -> None:
    """Fill `need`, `used` and `size_needed` in, from the outputs back; every consumer comes later than its source."""
    for op in reversed(flow.ops):
        op.used = op.used or op.kind == "output"
        reads = rules[op.kind].reads(flow, op)
        vals = [val for value in op.inputs for val in bases(value)]
        for val, mask in zip(vals, reads.masks, strict=True):
            if mask is not None:
                mark(flow, val, mask)
        built = bool((op.need & (op.state != CONST)).any())
        wanted = set(reads.sizes)
        if op.size_needed and not built and vals:
            wanted |= set(range(len(vals))) if op.kind == "pair" else {0}  # a pair's plane may come from either side
        for i in wanted:
            flow.ops[vals[i].like].size_needed = True
        if built or op.used or op.size_needed:
            mark_behind(flow, op)


def mark(flow: Flow, val: Val, mask: torch.Tensor) -> None:
    for source in val.op[mask].unique().tolist():
        flow.ops[source].need[val.ch[mask & (val.op == source)]] = True


def mark_behind(flow: Flow, op: Op) -> None:
    """What has no channels (sizes, parameters) behind the operation's inputs; the plane of what is rebuilt of constants."""
    waiting: list[Value] = list(op.inputs)
    while waiting:
        value = waiting.pop()
        if isinstance(value, Raw):
            flow.ops[value.op].used = True
        elif isinstance(value, Val):
            if not any(value is own for own in op.inputs) and not bool((flow.state(value) == ALIVE).any()):
                flow.ops[value.like].size_needed = True
        elif isinstance(value, Layout | Many):
            waiting += [flow.values[source] for source in value.node.all_input_nodes]
