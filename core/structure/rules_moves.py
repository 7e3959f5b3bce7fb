"""Operations that only move channels: they compute nothing here, they are index algebra on references."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import fx, nn

from core.structure.values import CONST, Flow, Layout, Val, Value, whole

FLATTENS = {torch.flatten, torch.reshape, "flatten", "view", "reshape", nn.Flatten}


def moved(flow: Flow, node: fx.Node, kind: str, values: list[Value]) -> Value | str:
    """The value as references into its inputs; a sentence with the reason where that cannot be said."""
    return {"flatten": flattened, "pad": padded, "cat": concatenated}[kind](flow, node, values)


def flattened(flow: Flow, node: fx.Node, values: list[Value]) -> Value | str:
    """(N, C, H, W) to (N, C H W): element i of a sample stays element i. Nothing else a view can do is followed."""
    value, shape = values[0], flow.traced.shapes.get(node)
    if not isinstance(value, Val) or value.shape[0] != flow.traced.batch:
        return "its input's channels are not known"
    if shape == value.shape and len(shape) == 2:
        return value
    if shape != (value.shape[0], math.prod(value.shape[1:])):
        return "it is not a flatten of everything but the batch"
    return Layout(shape, value, torch.arange(shape[1]), node)


def padded(flow: Flow, node: fx.Node, values: list[Value]) -> Value | str:
    """F.pad on the channel axis of (N, C, H, W): channels of a constant in front and behind."""
    value, shape = values[0], flow.traced.shapes.get(node)
    names = ("input", "pad", "mode", "value")
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    pad, number = given.get("pad"), given.get("value")
    if not isinstance(value, Val) or len(value.shape) != 4 or shape is None or value.shape[0] != flow.traced.batch:
        return "its input is not a (N, C, H, W) tensor with known channels"
    if not isinstance(pad, list | tuple) or not all(isinstance(p, int) for p in pad):
        return "its widths are computed"
    before, after = (int(p) for p in pad[4:6]) if len(pad) >= 6 else (-1, -1)
    if any(pad[:4]) or any(pad[6:]) or min(before, after) < 0 or given.get("mode", "constant") != "constant":
        return "it pads more than the channels"
    extra = (value.shape[0], before + after, *value.shape[2:])
    op = flow.new_op("fill", node, [], extra)
    number = number if isinstance(number, int | float) else 0.0
    op.fill_in(torch.full((op.width,), CONST), torch.full((op.width,), float(number)))
    new = whole(op)
    refs = [torch.cat([n[:before], old, n[before:]]) for n, old in ((new.op, value.op), (new.ch, value.ch))]
    return Val(shape, refs[0], refs[1], value.like)


def concatenated(flow: Flow, node: fx.Node, values: list[Value]) -> Value | str:
    """torch.cat on the channel axis."""
    shape = flow.traced.shapes.get(node)
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    vals = [value for value in values if isinstance(value, Val)]
    if shape is None or not vals or len(vals) != len(values) or not isinstance(node.args[0], list | tuple):
        return "its inputs' channels are not known"
    if len(node.args[0]) != len(vals) or dim not in (1, 1 - len(shape)) or shape[0] != flow.traced.batch:
        return "it does not join channels"
    return Val(shape, torch.cat([v.op for v in vals]), torch.cat([v.ch for v in vals]), vals[0].like)


PADS = {F.pad}
CATS = {torch.cat, torch.concat}
