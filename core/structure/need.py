"""The backward pass: which channels, and which sizes, somebody reads."""

from __future__ import annotations

import torch

from core.structure.rules import RULES
from core.structure.values import CONST, Flow, Val, base_of


def mark_needs(flow: Flow) -> None:
    """Fill `need`, `used` and `size_needed` in, from the outputs back; every consumer comes later than its source."""
    for op in reversed(flow.ops):
        op.used = op.used or op.kind == "output"
        reads = RULES[op.kind].reads(flow, op)
        for value, mask in zip(op.inputs, reads.masks, strict=True):
            val = base_of(value)
            if val is not None and mask is not None:
                mark(flow, val, mask)
        wanted = set(reads.sizes)
        built = bool((op.need & (op.state != CONST)).any())
        if op.size_needed and not built and len(op.shape) > 2 and op.kind not in ("input", "opaque"):
            wanted.add(0)
        for i in wanted:
            val = base_of(op.inputs[i])
            if val is not None:
                flow.ops[val.like].size_needed = True


def mark(flow: Flow, val: Val, mask: torch.Tensor) -> None:
    for source in val.op[mask].unique().tolist():
        flow.ops[source].need[val.ch[mask & (val.op == source)]] = True
