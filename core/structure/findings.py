"""What the states of a network say: which units leave, which inputs nobody reads, what is refilled and why."""

from __future__ import annotations

import torch

from core.structure.layers import num_groups, num_inputs, num_units
from core.structure.plan import VERDICTS, Refilled, Sites, Verdict
from core.structure.rules_layers import stream_sources
from core.structure.rules_opaque import asks_only_size, wanted
from core.structure.sites import layers
from core.structure.values import ALIVE, CONST, FIELD, Flow, Op, base_of, bases


def leaving(flow: Flow) -> Sites:
    """Units that no call builds: constant, or read by nobody."""
    return {site: gone for site, calls in layers(flow).items() if (gone := gone_everywhere(flow, calls))}


def gone_everywhere(flow: Flow, calls: list[Op]) -> list[int]:
    """Units that are not built; a refilled layer goes whole, when no call of it is read, or not at all."""
    if all(op.kind == "layer" for op in calls):
        built = torch.stack([op.need & (op.state != CONST) for op in calls]).any(0)
        return (~built).nonzero().flatten().tolist()
    if any(wanted(op) for op in calls):
        return []
    return list(range(calls[0].width or num_units(flow.traced.module(calls[0].node))))


def unread(flow: Flow) -> Sites:
    """Input channels that depend on the input, and that a narrowed layer does not read."""
    out: Sites = {}
    for op in flow.ops:
        if op.kind == "layer" and len(op.rows(ALIVE)):
            idle = (flow.state(base_of(op.inputs[0])) == ALIVE) & ~stream_sources(flow, op, ALIVE).alive
            if idle.any():
                out[f"{op.path}/channel"] = idle.nonzero().flatten().tolist()
    return out


def differ(flow: Flow, calls: list[Op]) -> bool:
    """Whether the calls of one layer are built of different rows, or of different inputs of theirs, or add different constants."""
    if len(calls) < 2 or any(op.kind != "layer" for op in calls):
        return False
    first, *others = (built_of(flow, op) for op in calls)
    return any(not all(map(torch.equal, first, other)) for other in others)


def built_of(flow: Flow, op: Op) -> list[torch.Tensor]:
    """Rows of each stream, the inputs that the alive rows read, and what constant inputs add to the bias of these."""
    alive = op.rows(ALIVE)
    offset = torch.zeros(0) if op.offset is None else op.offset[alive]
    return [alive, op.rows(FIELD), stream_sources(flow, op, ALIVE).alive, offset]


def removed_blocks(flow: Flow) -> list[str]:
    """Modules with a sum, one side of which held layers and no longer depends on the input, while the other does."""
    out = []
    for op in flow.ops:
        vals = [base_of(value) for value in op.inputs] if op.kind == "sum" else []
        alive = [bool((flow.state(val) == ALIVE).any()) for val in vals]
        path = next(reversed(op.node.meta.get("nn_module_stack") or {"": None}), "")
        still = [val for val, lives in zip(vals, alive, strict=True) if not lives]
        if any(alive) and still and flow.ops[still[0].like].kind not in ("fill", "parameter") and path not in out:
            out.append(path)
    return out


def removed_groups(flow: Flow, removed: Sites) -> Sites:
    """Whole conv groups among the removed filters, by layer; those of a depthwise convolution are its filters."""
    out: Sites = {}
    for site, calls in layers(flow).items():
        module = calls[0].module
        count = num_groups(module) if module is not None else 1
        if 1 < count < (num_inputs(module) if module is not None else 0):
            per, gone = calls[0].width // count, set(removed.get(site, ()))
            whole = [g for g in range(count) if gone.issuperset(range(g * per, (g + 1) * per))]
            if whole:
                out[f"{site.rpartition('/')[0]}/group"] = whole
    return out


def verdict_of(flow: Flow, calls: list[Op]) -> list[tuple[Verdict, float]]:
    """Each unit's verdict and constant, behind the norm that alone reads the layer, if there is one.

    Of several calls, the livelier counts; a number that is another in each call is a field.
    """
    if any(op.kind == "opaque" for op in calls):
        return [("alive", 0.0)] * num_units(flow.traced.module(calls[0].node))
    norms = {other.node: other for other in flow.ops if other.kind == "norm"}
    seen = [norms.get(next(iter(op.node.users)), op) if len(op.node.users) == 1 else op for op in calls]
    state, const = torch.stack([op.state for op in seen]).amax(0), seen[0].const
    differs = torch.stack([op.const != const for op in seen]).any(0)
    state = torch.where((state == CONST) & differs, FIELD, state)
    names: dict[int, Verdict] = {FIELD: "field", ALIVE: "alive"}
    return [
        (names.get(unit, "zero" if number == 0 else "uniform"), number)
        for unit, number in zip(state.tolist(), const.tolist(), strict=True)
    ]


def verdicts(flow: Flow, calls: list[Op]) -> dict[Verdict, int]:
    found = [verdict for verdict, _ in verdict_of(flow, calls)]
    return {name: found.count(name) for name in VERDICTS}


def refilled(flow: Flow) -> list[Refilled]:
    """Operations that see the full width, although a part of it is constant or would not be needed."""
    out = []
    for op in flow.ops:
        if op.reason and not (op.kind == "opaque" and asks_only_size(op)) and has_channels(flow, op):
            site = str(op.node.target) if op.node.op == "call_module" else op.node.name
            out.append(Refilled(site=site, operation=operation_name(flow, op), reason=op.reason))
    return out


def has_channels(flow: Flow, op: Op) -> bool:
    """Whether any input has channels: arithmetic on sizes is nothing to refill."""
    return any(bases(value) for value in op.inputs)


def operation_name(flow: Flow, op: Op) -> str:
    if op.node.op == "call_module":
        return type(flow.traced.module(op.node)).__name__
    return str(getattr(op.node.target, "__name__", op.node.target))
