"""Operations inside each channel's plane: pooling, padding, interpolation, reductions and softmax over the plane.

A constant stays one where the real operation says so at several sizes; elsewhere (a padded border) it becomes a field.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from core.errors import TraceError
from core.structure.build import Build
from core.structure.rule import Reads, Rule, channels_of, row_mask, row_reads, source_of, tensor_input
from core.structure.rules_channelwise import probe
from core.structure.values import ALIVE, CONST, FIELD, Flow, Op, Raw, Val, Value, along, whole


def made_plane(flow: Flow, node: fx.Node, dims: int | tuple[int, ...] | None, keepdim: bool = True) -> Value | str:
    """An operation on each channel's plane. `dims`: the dimensions it works on, or how many of the last ones."""
    value, shapes = tensor_input(flow, node), flow.traced.shapes_of(node)
    refused = channels_of(flow, value)
    if refused or not isinstance(value, Val) or not shapes:
        return refused or "it gives no tensor"
    rank = len(value.shape)
    worked = tuple(range(rank - dims, rank)) if isinstance(dims, int) else dims or ()
    worked = tuple(d % rank for d in worked)
    if not worked or value.axis in worked or 0 in worked:
        return "it works across channels or the batch"
    if isinstance(dims, int) and (rank != dims + 2 or value.axis != 1):
        return "its input is not (N, C, plane)"
    axis = value.axis if keepdim else value.axis - sum(d < value.axis for d in worked)
    rank_after = rank if keepdim else rank - len(worked)
    if not flow.traced.leads(shapes) or len(shapes[0]) != rank_after or shapes[0][axis] != value.width:
        return "it changes batch or channels"
    raws: list[Value] = [flow.values[n] for n in node.all_input_nodes if isinstance(flow.values[n], Raw)]
    if any(n not in run.numbers for r, n in raw_nodes(flow, node) for run in flow.traced.runs):
        return "it takes a computed tensor"
    op = flow.new_op("plane", node, [value, *raws], shapes, axis)
    forward_plane(flow, op)
    return whole(op)


def raw_nodes(flow: Flow, node: fx.Node) -> list[tuple[Raw, fx.Node]]:
    return [(raw, n) for n in node.all_input_nodes if isinstance(raw := flow.values[n], Raw)]


def forward_plane(flow: Flow, op: Op) -> None:
    """A constant stays one where the real operation says so at several sizes; otherwise it becomes a field."""
    val = source_of(op)
    state, const = flow.state(val).clone(), flow.const(val).clone()
    constant = state == CONST
    numbers, where = const[constant].unique(return_inverse=True)
    made = plane_constants(flow, op, val, numbers) if len(numbers) else numbers
    const[constant] = made[where].nan_to_num()
    field = constant.clone()
    field[constant] = made[where].isnan()
    state[field] = FIELD
    sign = bool((plane_constants(flow, op, val, torch.tensor([0.0, 1.0], dtype=torch.float64)) >= 0).all())
    op.fill_in(state, const, flow.nonneg(val) & sign & averages(op))


def averages(op: Op) -> bool:
    """Whether what is never negative stays so: pools, means and largest values; not every plane operation."""
    name = str(getattr(op.node.target, "__name__", op.node.target)) + (type(op.module).__name__ if op.module else "")
    return any(word in name.lower() for word in ("pool", "mean", "amax"))


def plane_constants(flow: Flow, op: Op, val: Val, numbers: Tensor) -> Tensor:
    """What planes of each number become, float64[k]; NaN where that is not the same everywhere and at every size."""
    results = []
    for run, shape in plane_sizes(flow, op, val):
        filled = along(numbers, len(shape), val.axis).expand(1, *shape[1 : val.axis], -1, *shape[val.axis + 1 :])
        try:
            out = probe(flow, op.node, filled, run).movedim(op.axis, 0).flatten(1)
        except (TraceError, RuntimeError):  # too small or too large for this operation
            continue
        results.append((out.amin(1), out.amax(1)))
    low = torch.stack([low for low, _ in results]).amin(0)
    high = torch.stack([high for _, high in results]).amax(0)
    same = (high - low) <= 1e-13 * torch.maximum(high.abs(), low.abs())
    return torch.where(same, (low + high) / 2, torch.nan)


def plane_sizes(flow: Flow, op: Op, val: Val) -> list[tuple[int, tuple[int, ...]]]:
    """Shapes to try, with the run whose numbers go with them; odd ones too, where no number is computed."""
    found = [(run, shape) for run, shape in enumerate(val.shapes)]
    if len(op.inputs) == 1:
        for more in ((1, 1, 1), (2, 3, 1), (7, 5, 2)):
            extra = iter(more)
            shape = tuple(s if i in (0, val.axis) else s + next(extra, 1) for i, s in enumerate(val.shape))
            found.append((0, shape))
    return found


def reads_plane(flow: Flow, op: Op) -> Reads:
    """A field made of constants needs the input's plane."""
    masks = row_reads(flow, op).masks
    made = (op.state == FIELD) & op.need & (flow.state(source_of(op)) == CONST)
    return Reads(masks, (0,) if bool(made.any()) else ())


def emit_plane(build: Build, op: Op) -> None:
    val = source_of(op)
    source = next(n for n in op.node.all_input_nodes if not isinstance(build.flow.values[n], Raw))
    rows = op.rows(FIELD)
    if len(rows):
        build.place(op, FIELD, rows, build.rerun(op.node, {source: build.fill(val, rows, FIELD)}))
    if op.rows(ALIVE).numel():
        node, rows = build.gather_any(val, row_mask(op, ALIVE), ALIVE)
        build.place(op, ALIVE, rows, build.rerun(op.node, {source: node}))


def plane_plane(build: Build, op: Op) -> list[fx.Node]:
    """The plane of the real operation's output for one channel of ones."""
    source = next(n for n in op.node.all_input_nodes if not isinstance(build.flow.values[n], Raw))
    ghost = build.ones_plane(source_of(op))
    node = build.once(("ghost", op.index), lambda: build.rerun(op.node, {source: ghost}))
    return build.sizes(node, len(op.shape), op.axis)


PLANE = Rule(forward_plane, reads_plane, emit_plane, plane_plane)
