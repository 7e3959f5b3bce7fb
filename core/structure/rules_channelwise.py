"""Operations that treat every channel by itself: batch norm, pointwise functions, pooling and other plane operations.

Constants are found by running the real operation on them; there is no table of f(0).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.structure.build import SUFFIX, Build
from core.structure.rule import Reads, Rule, plain, row_reads, same_plane
from core.structure.trace import execute
from core.structure.values import ALIVE, CONST, FIELD, Flow, Op, Val, Value, base_of

RELU = {nn.ReLU, F.relu, torch.relu, "relu"}
NONNEGATIVE = RELU | {nn.ReLU6, F.relu6, nn.Sigmoid, torch.sigmoid, F.sigmoid, "sigmoid", nn.Softplus, F.softplus}
KEEPS_SIGN = {nn.Identity, nn.Dropout, F.dropout}


def name_of(flow: Flow, node: fx.Node) -> object:
    """What the tables are asked for: the module's type, the function, or the method's name."""
    return type(flow.traced.module(node)) if node.op == "call_module" else node.target


def source_of(op: Op) -> Val:
    val = base_of(op.inputs[0])
    assert val is not None
    return val


# ---- batch norm in eval mode: an affine map per channel ------------------------------------------------------------


def accepts_norm(flow: Flow, node: fx.Node, values: list[Value]) -> str:
    module = flow.traced.module(node)
    if getattr(module, "running_mean", None) is None:
        return "a batch norm without running statistics depends on the batch"
    return plain(flow, node, values)


def forward_norm(flow: Flow, op: Op) -> None:
    """c becomes beta + gamma (c - mean) / sqrt(var + eps); gamma = 0 makes beta of anything finite."""
    norm = flow.traced.module(op.node)
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.running_mean is not None
    assert norm.running_var is not None
    val = source_of(op)
    mean, var = norm.running_mean.cpu().double(), norm.running_var.cpu().double()
    gamma = torch.ones_like(mean) if norm.weight is None else norm.weight.detach().cpu().double()
    beta = torch.zeros_like(mean) if norm.bias is None else norm.bias.detach().cpu().double()
    state = torch.where(gamma == 0, CONST, flow.state(val))
    op.fill_in(state, beta + torch.where(gamma == 0, 0.0, gamma * (flow.const(val) - mean) / (var + norm.eps).sqrt()))


def emit_norm(build: Build, op: Op) -> None:
    norm = build.flow.traced.module(op.node)
    for stream in (FIELD, ALIVE):
        if op.rows(stream).numel():
            node, rows = build.gather_any(source_of(op), row_mask(op, stream), stream)
            made = build.module(str(op.node.target), SUFFIX[stream], narrow_norm(norm, rows), node)
            build.place(op, stream, rows, made)


def narrow_norm(norm: nn.Module, rows: Tensor) -> nn.Module:
    """The same norm for these channels only."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    new = type(norm)(len(rows), norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta")
    for name, old in norm.named_parameters(recurse=False):
        setattr(new, name, nn.Parameter(old.detach()[rows.to(old.device)], requires_grad=old.requires_grad))
    for name, buffer in norm.named_buffers(recurse=False):
        new.register_buffer(name, buffer[rows.to(buffer.device)] if buffer.dim() else buffer.clone())
    return new


def row_mask(op: Op, stream: int) -> Tensor:
    return op.need & (op.state == stream)


# ---- pointwise functions -------------------------------------------------------------------------------------------


def forward_pointwise(flow: Flow, op: Op) -> None:
    """The real function on the float64 constants."""
    val, name = source_of(op), name_of(flow, op.node)
    const = probe(flow, op.node, flow.const(val).view(1, -1, *[1] * (len(val.shape) - 2))).flatten()
    sign = flow.nonneg(val) if name in KEEPS_SIGN else torch.full((op.width,), name in NONNEGATIVE)
    op.fill_in(flow.state(val), const, sign)


def probe(flow: Flow, node: fx.Node, tensor: Tensor) -> Tensor:
    """The real operation on a tensor of float64 values."""
    source = node.all_input_nodes[0]
    with torch.no_grad():
        return execute(flow.traced.root, node, {source: tensor.clone()}, iter(()))


def emit_pointwise(build: Build, op: Op) -> None:
    """Nothing for an identity, and for a ReLU whose input cannot be negative."""
    val, name = source_of(op), name_of(build.flow, op.node)
    for stream in (FIELD, ALIVE):
        rows = op.rows(stream)
        if not len(rows):
            continue
        if name is nn.Identity or (name in RELU and bool(build.flow.nonneg(val)[rows].all())):
            build.alias(op, stream, rows, val, rows)
        else:
            node, rows = build.gather_any(val, row_mask(op, stream), stream)
            build.place(op, stream, rows, build.rerun(op.node, {op.node.all_input_nodes[0]: node}))


# ---- plane operations: pooling, means, strided slices --------------------------------------------------------------


def accepts_plane(flow: Flow, node: fx.Node, values: list[Value]) -> str:
    refused = plain(flow, node, values)
    return refused or ("" if len(values[0].shape) > 2 else "it works across channels")  # type: ignore[union-attr]


def forward_plane(flow: Flow, op: Op) -> None:
    """A constant c becomes scale * c where the real operation says so at several sizes; otherwise a field."""
    val = source_of(op)
    const = flow.const(val)
    op.scale = plane_scale(flow, op.node, val.shape[2:])
    state = flow.state(val).clone()
    if op.scale is None:
        state[(state == CONST) & (const != 0)] = FIELD
    keeps = (op.scale is None) | ((op.scale or 0) >= 0)
    op.fill_in(state, const * (op.scale or 0.0), flow.nonneg(val) & keeps)


def plane_scale(flow: Flow, node: fx.Node, plane: tuple[int, ...]) -> float | None:
    """s where the operation maps planes of 1 and -1 to planes of s and -s, at four sizes; None where it does not."""
    scales = set()
    for more in ((0, 0), (1, 1), (2, 3), (7, 5)):
        size = [length + extra for length, extra in zip(plane, more, strict=False)]
        ones = torch.ones(1, 2, *size, dtype=torch.float64)
        ones[:, 1] = -1
        out = probe(flow, node, ones)
        first = float(out[0, 0].flatten()[0])
        if not torch.allclose(out[:, 0], torch.full_like(out[:, 0], first), rtol=1e-13, atol=0):
            return None
        if not torch.allclose(out[:, 1], -out[:, 0], rtol=1e-13, atol=0):
            return None
        scales.add(round(first, 13))
    return scales.pop() if len(scales) == 1 else None


def reads_plane(flow: Flow, op: Op) -> Reads:
    """A field made of constants needs the input's height and width."""
    reads = row_reads(flow, op)
    made = (op.state == FIELD) & op.need & (flow.state(source_of(op)) == CONST)
    return Reads(reads.masks, (0,) if bool(made.any()) else ())


def emit_plane(build: Build, op: Op) -> None:
    val, source = source_of(op), op.node.all_input_nodes[0]
    rows = op.rows(FIELD)
    if len(rows):
        node = build.fill(val, rows, FIELD)
        build.place(op, FIELD, rows, build.rerun(op.node, {source: node}))
    if op.rows(ALIVE).numel():
        node, rows = build.gather_any(val, row_mask(op, ALIVE), ALIVE)
        build.place(op, ALIVE, rows, build.rerun(op.node, {source: node}))


def plane_plane(build: Build, op: Op) -> list[fx.Node]:
    """Height and width of the real operation's output for a one-channel input of the right size."""
    ghost = build.ones_plane(source_of(op))
    key = ("ghost", op.index)
    node = build.once(key, lambda: build.rerun(op.node, {op.node.all_input_nodes[0]: ghost}))
    return build.sizes(node, len(op.shape))


NORM = Rule(accepts_norm, forward_norm, row_reads, emit_norm, same_plane)
POINTWISE = Rule(plain, forward_pointwise, row_reads, emit_pointwise, same_plane)
PLANE = Rule(accepts_plane, forward_plane, reads_plane, emit_plane, plane_plane)
