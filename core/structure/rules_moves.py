"""Operations that only move elements: the real operation runs on element numbers, and the result says what moved where.

Whole channels in the same plane are references and compute nothing (a split, a channel shuffle). Whole channels in
another plane, or along another dimension, are moved narrow. Anything else stays an arrangement of elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from core.errors import TraceError
from core.structure.build import Build
from core.structure.rule import Reads, Rule, channels_of, row_mask
from core.structure.trace import execute, perform
from core.structure.values import ALIVE, CONST, FIELD, Flow, Layout, Many, Op, Raw, Shapes, Val, Value, base_of, whole

SIZED = {"view", "reshape", "expand"}  # their arguments hold the channels' number
Moved = tuple[Tensor, ...]  # element numbers of one result, one tensor per run


def moved(flow: Flow, node: fx.Node) -> Value | str:
    """The value as references, as a narrow movement, or as an arrangement; or why nothing can be said."""
    inputs = [flow.values[n] for n in node.all_input_nodes]
    values: list[Value] = [value for value in inputs if not isinstance(value, Raw)]
    if str(getattr(node.target, "__name__", "")) == "getitem" and isinstance(values[0], Many):
        index = node.args[1]
        return values[0].parts[index] if isinstance(index, int) else "it takes several parts of a tuple"
    base = common_base(flow, values)
    if isinstance(base, str):
        return base
    try:
        results = [moved_ids(flow, node, run, base) for run in range(len(flow.traced.runs))]
    except (TraceError, RuntimeError, KeyError, TypeError, ValueError) as error:
        return f"it could not be tried on element numbers ({str(error).splitlines()[0][:80]})"
    if any(result is None for result in results):
        return "it moves elements between images"
    first = results[0]
    assert first is not None
    if any(len(r) != len(first) for r in results if isinstance(r, list)):
        return "it gives another number of tensors at another size"
    if any(not part.numel() for r in results if r is not None for part in (r if isinstance(r, list) else [r])):
        return "it makes an empty tensor"
    if isinstance(first, Tensor):
        return settled(flow, node, base, tuple(r for r in results if isinstance(r, Tensor)))
    parts = zip(*[r for r in results if isinstance(r, list)], strict=True)
    settle = [settled(flow, node, base, ids, part) for part, ids in enumerate(parts)]
    return Many(tuple(settle), node)


def common_base(flow: Flow, values: list[Value]) -> Val | str:
    """The one value whose elements are moved; several inputs side by side, where they are alike."""
    if any(isinstance(value, Many) for value in values):
        return "it takes a tuple of tensors"
    if len(values) == 1:
        base = base_of(values[0])
        return channels_of(flow, base) or base
    vals = [value for value in values if isinstance(value, Val)]
    first = vals[0] if vals else None
    if first is None or len(vals) != len(values) or any(v.shapes != first.shapes or v.axis != first.axis for v in vals):
        return "its inputs differ in shape, or their channels are not known"
    if len({flow.dtype(val) for val in vals}) > 1:
        return "its inputs differ in type"
    return channels_of(flow, first) or joined(vals, first.axis)


def joined(vals: list[Val], axis: int) -> Val:
    """Channels of several values side by side."""
    width = sum(val.width for val in vals)
    shapes = tuple((*shape[:axis], width, *shape[axis + 1 :]) for shape in vals[0].shapes)
    return Val(shapes, axis, torch.cat([v.op for v in vals]), torch.cat([v.ch for v in vals]), vals[0].like)


def element_ids(base: Val, run: int) -> Tensor:
    shape = base.shapes[run][1:]
    return torch.arange(math.prod(shape), dtype=torch.float64).view(shape)  # exact to 2^53


def moved_ids(flow: Flow, node: fx.Node, run: int, base: Val) -> Tensor | list[Tensor] | None:
    """Element numbers after the real operation, without the batch; None where images mix."""
    batch, ids = flow.traced.runs[run].batch, element_ids(base, run)
    offset = torch.arange(batch, dtype=torch.float64) * ids.numel()
    feed: dict[fx.Node, Any] = {}
    start = 0
    for n in node.all_input_nodes:
        value = flow.values[n]
        if isinstance(value, Raw):
            feed[n] = raw_value(flow, n, run)
            continue
        own = value.ids[run] if isinstance(value, Layout) else ids.narrow(base.axis - 1, start, base_of(value).width)
        start += 0 if isinstance(value, Layout) else base_of(value).width
        feed[n] = own.contiguous().double() + offset.view(-1, *[1] * own.dim())
    out = execute(flow.traced.root, node, feed, iter(()))
    parts = [without_batch(part, offset) for part in (out if isinstance(out, tuple | list) else [out])]
    found = [part for part in parts if part is not None]
    if len(found) != len(parts):
        return None
    return found[0] if isinstance(out, Tensor) else found


def raw_value(flow: Flow, node: fx.Node, run: int) -> Any:
    if node.op == "get_attr":
        return execute(flow.traced.root, node, {}, iter(()))
    return flow.traced.runs[run].numbers[node]


def without_batch(out: Tensor, offset: Tensor) -> Tensor | None:
    if not out.dim() or out.shape[0] != len(offset):
        return None
    first = out[0]  # its offset is 0
    alike = all(torch.equal(image, first + start) for image, start in zip(out[1:], offset[1:], strict=True))
    return first.long() if alike else None


def settled(flow: Flow, node: fx.Node, base: Val, ids: Moved, part: int = -1) -> Val | Layout:
    """References where whole channels keep their plane; a narrow movement; else an arrangement."""
    shapes = tuple((run.batch, *i.shape) for run, i in zip(flow.traced.runs, ids, strict=True))
    for axis, channels, same in picks(base, ids):
        if same and axis == base.axis:
            return Val(shapes, axis, base.op[channels], base.ch[channels], base.like)
        val = narrow_move(flow, node, base, ids, shapes, axis, channels) if part < 0 else None
        if val is not None:
            return val
    return Layout(shapes, base, ids, node, part)


def picks(base: Val, ids: Moved) -> Iterator[tuple[int, Tensor, bool]]:
    """Every dimension along which all runs say: entry j is channel c[j], all in the same arrangement of the plane."""
    places = [channel_and_position(base, run, i) for run, i in enumerate(ids)]
    for axis in sorted(range(1, ids[0].dim() + 1), key=lambda a: a != base.axis):
        found = [pick(base, run, place, axis) for run, place in enumerate(places)]
        first = found[0]
        if first is not None and all(f is not None and torch.equal(f[0], first[0]) for f in found):
            yield axis, first[0], all(f is not None and f[1] for f in found)


def channel_and_position(base: Val, run: int, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Of every element: its channel, and where it lies in the channel's plane."""
    inner = math.prod(base.shapes[run][base.axis + 1 :])
    ids = ids.int() if ids.numel() < 2**31 and math.prod(base.shapes[run][1:]) < 2**31 else ids  # divided twice as fast
    outer = ids.div(inner, rounding_mode="floor")
    channel = outer % base.width
    return channel, (outer - channel).div(base.width, rounding_mode="floor") * inner + ids % inner


def far(rows: Tensor, corner: int) -> Tensor:
    """Of every row, its first or its last element."""
    while rows.dim() > 1:
        rows = rows.select(1, corner)
    return rows


def pick(base: Val, run: int, place: tuple[Tensor, Tensor], axis: int) -> tuple[Tensor, bool] | None:
    """Channels along `axis` of the result, and whether their plane is the base's own; None where they are mixed."""
    channel, position = (part.movedim(axis - 1, 0) for part in place)
    plane = channel.shape[1:]
    if not bool((far(channel, -1) == far(channel, 0)).all()):
        return None  # most wrong dimensions already differ at the far corner of the plane
    channel, position = channel.reshape(len(channel), -1), position.reshape(len(position), -1)
    if not bool((channel == channel[:, :1]).all()) or not bool((position == position[:1]).all()):
        return None
    shape = base.shapes[run]
    own = (*shape[1 : base.axis], *shape[base.axis + 1 :])
    return channel[:, 0], tuple(plane) == own and bool((position[0] == torch.arange(position.shape[1])).all())


# ---- narrow movements: permutations and views of the plane, other dimensions for the channels --------------------------


def narrow_move(
    flow: Flow, node: fx.Node, base: Val, ids: Moved, shapes: Shapes, axis: int, channels: Tensor
) -> Val | None:
    """An operation on narrow values, if the node (with the new width in its arguments) moves those in the same way."""
    tensors = [n for n in node.all_input_nodes if not isinstance(flow.values[n], Raw)]
    if len(tensors) != 1 or not isinstance(flow.values[tensors[0]], Val) or not len(channels):
        return None
    for entries in (torch.tensor([0]), torch.tensor([0, len(channels) - 1])):
        for run, i in enumerate(ids):
            try:
                got = narrow_ids(flow, node, base, run, axis, channels[entries])
            except (TraceError, RuntimeError, KeyError, TypeError, ValueError):
                return None
            if got is None or not torch.equal(got, i.index_select(axis - 1, entries)):
                return None
    op = flow.new_op("move", node, [base, *numbers_of(flow, node)], shapes, axis)
    op.source_rows = channels
    forward(flow, op)
    return whole(op)


def numbers_of(flow: Flow, node: fx.Node) -> list[Raw]:
    return [raw for n in node.all_input_nodes if isinstance(raw := flow.values[n], Raw)]


def narrow_ids(flow: Flow, node: fx.Node, base: Val, run: int, axis: int, channels: Tensor) -> Tensor | None:
    """What the narrow operation makes of the elements of some channels."""
    ids, batch = element_ids(base, run), flow.traced.runs[run].batch
    offset = torch.arange(batch, dtype=torch.float64) * ids.numel()
    small = ids.index_select(base.axis - 1, channels) + offset.view(-1, *[1] * ids.dim())
    feed = {n: raw_value(flow, n, run) if isinstance(flow.values[n], Raw) else small for n in node.all_input_nodes}
    args = fx.map_arg(narrow_args(node, base.axis, axis, len(channels)), lambda n: feed[n])
    out = perform(flow.traced.root, node, args, fx.map_arg(node.kwargs, lambda n: feed[n]))
    return without_batch(out, offset) if isinstance(out, Tensor) else None


def narrow_args(node: fx.Node, before: int, after: int, width: int) -> tuple:
    """The node's arguments with `width` channels: in the sizes of a view, and without a slice of the channels."""
    name = str(getattr(node.target, "__name__", node.target))
    if name in SIZED:
        first, *sizes = node.args
        if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
            return first, tuple(width if i == after else s for i, s in enumerate(sizes[0]))
        return first, *(width if i == after else s for i, s in enumerate(sizes))
    if name == "getitem" and isinstance(node.args[1], tuple) and before < len(node.args[1]):
        index = tuple(slice(None) if i == before else part for i, part in enumerate(node.args[1]))
        return node.args[0], index
    return node.args


def forward(flow: Flow, op: Op) -> None:
    """What a channel is does not change when it moves."""
    base, rows = base_of(op.inputs[0]), op.source_rows
    assert rows is not None
    op.fill_in(flow.state(base)[rows], flow.const(base)[rows], flow.nonneg(base)[rows])


def reads(flow: Flow, op: Op) -> Reads:
    base, mask = base_of(op.inputs[0]), torch.zeros(base_of(op.inputs[0]).width, dtype=torch.bool)
    assert op.source_rows is not None
    mask[op.source_rows[op.need & (op.state != CONST)]] = True
    return Reads([mask & (flow.state(base) != CONST)])


def emit(build: Build, op: Op) -> None:
    for stream in (FIELD, ALIVE):
        rows = row_mask(op, stream).nonzero().flatten()
        if len(rows):
            build.place(op, stream, rows, emitted(build, op, rows, stream))


def emitted(build: Build, op: Op, rows: Tensor, stream: int) -> fx.Node:
    assert op.source_rows is not None
    base = base_of(op.inputs[0])
    node = build.gather(base, op.source_rows[rows], stream)
    if stream == FIELD and str(getattr(op.node.target, "__name__", op.node.target)) in SIZED:
        return rerun_narrow(build, op, node, len(rows), batch=1)
    return rerun_narrow(build, op, node, len(rows))


def rerun_narrow(build: Build, op: Op, node: fx.Node, width: int, batch: int | None = None) -> fx.Node:
    """The operation on `width` channels; a view names its batch, which is 1 for a batch-free value."""
    base = base_of(op.inputs[0])
    args = narrow_args(op.node, base.axis, op.axis, width)
    if batch is not None:
        first, *sizes = args
        listed = list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else list(sizes)
        listed[0] = batch
        args = (first, tuple(listed))
    tensors = [n for n in op.node.all_input_nodes if not isinstance(build.flow.values[n], Raw)]
    return build.rerun(op.node, {tensors[0]: node}, args)


def plane(build: Build, op: Op) -> list[fx.Node]:
    """The plane of the moved value of one channel of ones."""
    named = str(getattr(op.node.target, "__name__", op.node.target)) in SIZED

    def make() -> fx.Node:
        return rerun_narrow(build, op, build.ones_plane(base_of(op.inputs[0])), 1, 1 if named else None)

    return build.sizes(build.once(("ghost", op.index), make), len(op.shape), op.axis)


MOVE = Rule(forward, reads, emit, plane)
