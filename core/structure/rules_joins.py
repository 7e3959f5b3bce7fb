"""Joining and padding channels: index algebra on references, nothing is computed."""

from __future__ import annotations

import torch
from torch import fx

from core.structure.rule import channels_of
from core.structure.rules_moves import joined
from core.structure.values import CONST, Flow, Many, Raw, Shapes, Val, Value, whole


def concatenated(flow: Flow, node: fx.Node) -> Value | str:
    """torch.cat on the channels."""
    shapes = flow.traced.shapes_of(node)
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    listed = node.args[0] if node.args else node.kwargs.get("tensors")
    parts: list[Value] = []
    for n in listed if isinstance(listed, list | tuple) else [listed]:
        value = flow.values[n] if isinstance(n, fx.Node) else Raw(-1)
        parts += value.parts if isinstance(value, Many) else [value]
    vals = [value for value in parts if isinstance(value, Val)]
    if not shapes or not vals or len(vals) != len(parts) or not isinstance(dim, int):
        return "its inputs' channels are not known"
    refused = next((why for val in vals if (why := channels_of(flow, val, dim % len(shapes[0])))), "")
    if refused:
        return "it does not join channels" if "dimension" in refused else refused
    if len({flow.dtype(val) for val in vals}) > 1:
        return "its inputs differ in type"
    return joined(vals, vals[0].axis)


def padded(flow: Flow, node: fx.Node) -> Value | str:
    """F.pad on the channels only: channels of a constant in front and behind."""
    value, shapes = flow.values[node.all_input_nodes[0]], flow.traced.shapes_of(node)
    refused = channels_of(flow, value)
    if refused or not shapes or not isinstance(value, Val):
        return refused or "it gives no tensor"
    given = pad_arguments(node)
    pad, number = given.get("pad"), given.get("value")
    if not isinstance(pad, list | tuple) or not all(isinstance(p, int) for p in pad):
        return "its widths are computed"
    place = 2 * (len(value.shape) - 1 - value.axis)
    before, after = (int(p) for p in pad[place : place + 2]) if len(pad) > place else (0, 0)
    others = any(p for i, p in enumerate(pad) if i not in (place, place + 1))
    if others or min(before, after) < 0 or given.get("mode", "constant") != "constant":
        return "it pads channels and plane at once"
    extra: Shapes = tuple((*s[: value.axis], before + after, *s[value.axis + 1 :]) for s in value.shapes)
    op = flow.new_op("fill", node, [], extra, value.axis)
    number = number if isinstance(number, int | float) else 0.0
    op.fill_in(torch.full((op.width,), CONST), torch.full((op.width,), float(number), dtype=torch.float64))
    new = whole(op)
    refs = [torch.cat([n[:before], old, n[before:]]) for n, old in ((new.op, value.op), (new.ch, value.ch))]
    return Val(shapes, value.axis, refs[0], refs[1], value.like)


def pad_arguments(node: fx.Node) -> dict:
    """F.pad's arguments by name."""
    return dict(zip(("input", "pad", "mode", "value"), node.args, strict=False)) | dict(node.kwargs)


def pads_channels(flow: Flow, node: fx.Node) -> bool:
    """Whether an F.pad widens the channels."""
    value, pad = flow.values[node.all_input_nodes[0]], pad_arguments(node).get("pad")
    if not isinstance(value, Val) or not isinstance(pad, list | tuple):
        return False
    place = 2 * (len(value.shape) - 1 - value.axis)
    return any(isinstance(p, fx.Node) or p for p in pad[place : place + 2])
