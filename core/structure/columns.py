"""Filter shapes: taps that are zero across all filters (columns of the layer's matrix), and how a layer runs without them.

`window`: the kernel shrinks to the box of the taps that are left. `gather`: the columns that are left are gathered, then
multiplied as one matrix (Wen et al., 2016, section 3.2: shape-wise sparsity). A linear layer behind a flatten gathers too: the
pixels, or places of a map, that some neuron reads (figure 4 of the paper).
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.structure.build import Build
from core.structure.layers import CONVS, Kernel, kernel_of, narrow_layer, num_groups
from core.structure.plan import How, ShapeCut
from core.structure.rules_layers import columns_of, must, stream_sources
from core.structure.values import ALIVE, Flow, Layout, Op

GATHER_BELOW = (
    0.4  # share of the window's columns; below it gathering beats multiplying zeros (benchmark: bench_columns)
)
WORTH_GATHERING = 8  # products saved for each number that a linear layer gathers


def shape_cuts(flow: Flow) -> dict[str, ShapeCut]:
    """By layer: every zero column of an ungrouped convolution, or of a linear layer behind a flatten, that somebody reads."""
    out: dict[str, ShapeCut] = {}
    for op in flow.ops:
        module = op.module
        if op.kind == "layer" and isinstance(module, nn.Linear) and isinstance(op.inputs[0], Layout):
            found = linear_cut(flow, op, op.inputs[0])
            if found and op.path not in out:
                out[op.path] = found
            continue
        if op.kind != "layer" or not isinstance(module, CONVS) or num_groups(module) > 1 or not len(op.rows(ALIVE)):
            continue
        if all(k == 1 for k in module.kernel_size):  # its shapes are its channels
            continue
        kept = kept_columns(flow, op)
        inputs = stream_sources(flow, op, ALIVE).alive
        gone = ~kept & inputs.unsqueeze(1)
        if gone.any() and op.path not in out and bool(kept.any()):
            removed = gone.flatten().nonzero().flatten().tolist()
            out[op.path] = ShapeCut(removed=removed, how=decided(kept, inputs, kernel_of(module)))
    return out


def linear_cut(flow: Flow, op: Op, value: Layout) -> ShapeCut | None:
    """The zero columns of a linear layer, of channels that stay, by their number in its weight; gathered where that saves work."""
    rows = len(op.rows(ALIVE))
    kept, columns = kept_columns(flow, op), columns_of(value)
    gone = ~kept & stream_sources(flow, op, ALIVE).alive.unsqueeze(1) & (columns >= 0)
    if not rows or kept.shape[1] == 1 or not gone.any() or not kept.any():
        return None
    saves = int(gone.sum()) * rows > WORTH_GATHERING * int(kept.sum())
    return ShapeCut(removed=sorted(columns[gone].tolist()), how="gather" if saves else "none")


def kept_columns(flow: Flow, op: Op) -> Tensor:
    """bool (inputs, taps): columns with a weight that is not zero, of alive inputs and rows."""
    assert op.weight is not None
    rows = op.rows(ALIVE)
    inputs = stream_sources(flow, op, ALIVE).alive
    weight = op.weight if len(rows) == op.width else op.weight[rows.to(op.weight.device)]
    return (weight != 0).any(0).cpu() & inputs.unsqueeze(1)


def decided(kept: Tensor, inputs: Tensor, kernel: Kernel) -> How:
    """By count, without a clock: a smaller window, a gathering where little is left of it, else nothing."""
    area = 1
    for low, high in box_of(kept.any(0), kernel.size):
        area *= high - low
    if int(kept.sum()) < GATHER_BELOW * int(inputs.sum()) * area:
        return "gather"
    return "window" if area < kept.shape[1] else "none"


def box_of(taps: Tensor, size: tuple[int, ...]) -> list[tuple[int, int]]:
    """Per plane dimension, the first kept tap and one behind the last."""
    grid = taps.view(size)
    box = []
    for d in range(grid.dim()):
        line = grid.movedim(d, 0).flatten(1).any(1) if grid.dim() > 1 else grid
        found = line.nonzero().flatten()
        box.append((int(found[0]), int(found[-1]) + 1) if len(found) else (0, 1))
    return box


def emit_shrunk(
    build: Build, op: Op, weight: Tensor, bias: Tensor | None, node: fx.Node
) -> tuple[nn.Module, fx.Node, Any]:
    """(layer, its input, how a weight becomes the layer's) without the zero columns of `weight` (rows, inputs, taps)."""
    module = must(op.module)
    if isinstance(module, nn.Linear):
        return linear_gathered(build, module, weight, bias, node)
    assert isinstance(module, CONVS)
    how, kernel = build.flow.shapes[op.path].how, kernel_of(module)
    if how == "gather":
        return gathered(build, op, weight, bias, node, kernel)
    box = box_of((weight != 0).flatten(0, 1).any(0).cpu(), kernel.size)
    pads = [
        (p0 - low * d, p1 - (k - high) * d)
        for (low, high), k, d, (p0, p1) in zip(box, kernel.size, kernel.dilation, kernel.pad, strict=True)
    ]
    zeros = module.padding_mode == "zeros"
    even = zeros and all(a == b >= 0 for a, b in pads)
    if not even:
        node = padded(build, node, module, pads if zeros else list(kernel.pad))
        if not zeros:  # pad as the layer did, then leave the border that no tap reads
            node = padded(
                build,
                node,
                None,
                [
                    (-low * d, -(k - high) * d)
                    for (low, high), k, d in zip(box, kernel.size, kernel.dilation, strict=True)
                ],
            )

    def cut(w: Tensor) -> Tensor:
        grid = w.unflatten(2, kernel.size)
        for d, (low, high) in enumerate(box):
            grid = grid.narrow(2 + d, low, high - low)
        return grid.contiguous()

    size = tuple(high - low for low, high in box)
    return (
        plain_conv(module, cut(weight), bias, size, kernel, [a for a, _ in pads] if even else [0] * len(box)),
        node,
        cut,
    )


def linear_gathered(
    build: Build, module: nn.Linear, weight: Tensor, bias: Tensor | None, node: fx.Node
) -> tuple[nn.Module, fx.Node, Any]:
    """A linear layer over the columns that are left, picked out of the flattened input."""
    kept = (weight != 0).flatten(1).any(0).nonzero().flatten().cpu()

    def cut(w: Tensor) -> Tensor:
        return w.flatten(1).index_select(1, kept.to(w.device))

    return narrow_layer(module, cut(weight).unsqueeze(2), bias), build.select(node, kept, 1), cut


def gathered(
    build: Build, op: Op, weight: Tensor, bias: Tensor | None, node: fx.Node, kernel: Kernel
) -> tuple[nn.Module, fx.Node, Any]:
    """A 1 x 1 convolution over the columns that are left, each a shifted and strided view of its input."""
    module = must(op.module)
    kept = (weight != 0).any(0).cpu()
    padded_node = padded(build, node, module, list(kernel.pad))
    pieces, order = [], []
    for tap in kept.any(0).nonzero().flatten().tolist():
        inputs = kept[:, tap].nonzero().flatten()
        here = padded_node if len(inputs) == kept.shape[0] else build.select(padded_node, inputs, 1)
        at = [int(i) for i in torch.unravel_index(torch.tensor(tap), kernel.size)]
        index: list[slice] = [slice(None), slice(None)]
        for y, k, d, s in zip(at, kernel.size, kernel.dilation, kernel.stride, strict=True):
            end = -(k - 1 - y) * d
            index.append(slice(y * d, end if end else None, s))
        pieces.append(build.call(operator.getitem, here, tuple(index)))
        order.append(torch.stack([inputs, torch.full_like(inputs, tap)]))
    columns = torch.cat(order, 1)
    whole = pieces[0] if len(pieces) == 1 else build.call(torch.cat, pieces, 1)

    def cut(w: Tensor) -> Tensor:
        ones = (1,) * len(kernel.size)
        return w[:, columns[0].to(w.device), columns[1].to(w.device)].view(len(w), -1, *ones)

    one = Kernel((1,) * len(kernel.size), (1,) * len(kernel.size), (1,) * len(kernel.size), ())
    return plain_conv(module, cut(weight), bias, one.size, one, [0] * len(one.size)), whole, cut


def padded(build: Build, node: fx.Node, module: Any, pads: list[tuple[int, int]]) -> fx.Node:
    """F.pad with the layer's own mode; negative widths cut."""
    if not any(any(p) for p in pads):
        return node
    flat = tuple(p for pair in reversed(pads) for p in pair)
    mode = "constant" if module is None or module.padding_mode == "zeros" else module.padding_mode
    return build.once(("pad", node, flat, mode), lambda: build.call(torch.nn.functional.pad, node, flat, mode))


def plain_conv(
    module: Any, weight: Tensor, bias: Tensor | None, size: tuple[int, ...], kernel: Kernel, padding: list[int]
) -> nn.Module:
    """A convolution like `module` with another window."""
    new = type(module)(
        weight.shape[1], weight.shape[0], size, kernel.stride, tuple(padding), kernel.dilation,
        bias=bias is not None, device="meta",
    )  # fmt: skip
    trained = bool(module.weight.requires_grad)
    new.weight = nn.Parameter(weight, requires_grad=trained)
    if bias is not None:
        new.bias = nn.Parameter(bias.to(weight.device, weight.dtype), requires_grad=trained)
    return new
