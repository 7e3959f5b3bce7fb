"""What a cut network will cost, read off the states of its channels: nothing is built or run."""

from __future__ import annotations

import math

from torch import Tensor

from core.structure.cost import Cost
from core.structure.layers import TRANSPOSED, num_groups, spreads
from core.structure.rules_layers import must, stream_sources
from core.structure.values import ALIVE, FIELD, Flow, Layout, Op, base_of


def estimated(flow: Flow) -> Cost:
    """MACs at batch 1 and per further image of layers and carried constants; parameters of layers and norms."""
    static = alive = params = 0
    for op in flow.ops:
        if op.kind == "layer":
            costs = layer(flow, op)
            alive, static, params = alive + costs[0], static + costs[1], params + costs[2]
        elif op.kind == "norm":
            params += 2 * (len(op.rows(ALIVE)) + len(op.rows(FIELD)))
    return Cost(macs=alive + static, macs_per_image=alive, params=params, layers=[], uncounted=[])


def layer(flow: Flow, op: Op) -> tuple[int, int, int]:
    """(MACs per image, MACs once, parameters) of one call."""
    module, value = must(op.module), base_of(op.inputs[0])
    assert op.weight is not None
    taps = op.weight.shape[2]
    lengths = value.shape if isinstance(module, TRANSPOSED) else op.shape
    places = (
        1 if isinstance(op.inputs[0], Layout) else math.prod(s for d, s in enumerate(lengths) if d not in (0, op.axis))
    )
    alive = static = params = 0
    for stream in (ALIVE, FIELD):
        rows = op.rows(stream)
        if not len(rows):
            continue
        seen = stream_sources(flow, op, stream)
        own = by_group(flow, op, rows, seen.alive)
        once = by_group(flow, op, rows, seen.fields) + (
            len(rows) if spreads(module) and bool(seen.carried.any()) else 0
        )
        alive, static = alive + own * taps * places, static + once * taps * places
        carried_bias = bool(seen.carried.any()) and not spreads(module)
        params += (own + once) * taps + (len(rows) if module.bias is not None or carried_bias else 0)
    return alive, static, params


def by_group(flow: Flow, op: Op, rows: Tensor, mask: Tensor) -> int:
    """Pairs of a row and an input of its conv group; of even groups, where uneven ones are padded."""
    groups = num_groups(must(op.module))
    per_row = rows.div(op.width // groups, rounding_mode="floor").bincount(minlength=groups)
    inputs = mask.view(groups, -1).sum(1)
    if groups > 1 and flow.policy == "fast" and bool(mask.any()):
        return int((per_row > 0).sum() * per_row.max() * inputs.max())
    return int((per_row * inputs).sum())
