"""The tables: which kind of operation a node is, and the rule of each kind.

| kind | theory, in a line |
|---|---|
| layer | linear in its inputs: a dead input leaves what its constant contributes, a row of zeros leaves its bias |
| norm | an affine map for each channel: a scale of 0 leaves the shift |
| group norm, layer norm | statistics across channels: exact for whole groups, else on the full width |
| pointwise | a constant c becomes f(c) |
| plane | works inside each channel: constants stay, or become fields at a border |
| pair, sum | as alive as the livelier operand; times 0 is 0 |
| parameter | the same for every input |
| move, cat, pad | channels are moved, not changed |
| opaque | not known: the full width is rebuilt in front of it |
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import fx, nn

from core.structure import (
    emit_layers,
    rules_channelwise,
    rules_crossing,
    rules_moves,
    rules_opaque,
    rules_pairs,
    rules_plane,
    rules_sums,
)  # fmt: skip
from core.structure.layers import CONVS, TRANSPOSED
from core.structure.names import ACTIVATIONS, DROPOUTS, named
from core.structure.rule import Rule

RULES: dict[str, Rule] = {
    "input": rules_opaque.INPUT,
    "output": rules_opaque.OUTPUT,
    "opaque": rules_opaque.OPAQUE,
    "recast": rules_opaque.RECAST,
    "fill": rules_opaque.FILL,
    "layer": emit_layers.LAYER,
    "norm": rules_channelwise.NORM,
    "group norm": rules_crossing.GROUP_NORM,
    "layer norm": rules_crossing.LAYER_NORM,
    "pointwise": rules_channelwise.POINTWISE,
    "plane": rules_plane.PLANE,
    "pair": rules_pairs.PAIR,
    "sum": rules_sums.SUM,
    "parameter": rules_pairs.PARAMETER,
    "move": rules_moves.MOVE,
}


POOLS = "MaxPool AvgPool AdaptiveAvgPool AdaptiveMaxPool LPPool"
PADS = "ZeroPad ConstantPad ReflectionPad ReplicationPad CircularPad"
MODULES: dict[type, str] = {
    **dict.fromkeys((*CONVS, *TRANSPOSED, nn.Linear), "layer"),
    **dict.fromkeys(named(nn, "BatchNorm1d BatchNorm2d BatchNorm3d"), "norm"),
    **dict.fromkeys(named(nn, "GroupNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d"), "group norm"),
    nn.LayerNorm: "layer norm",
    **dict.fromkeys(named(nn, ACTIVATIONS, DROPOUTS), "pointwise"),
    **{getattr(nn, f"{name}{n}d"): "plane" for name in (POOLS + " " + PADS).split() for n in (1, 2, 3)},
    **dict.fromkeys(named(nn, "Upsample UpsamplingNearest2d UpsamplingBilinear2d"), "plane"),
    **dict.fromkeys(named(nn, "Softmax LogSoftmax Softmin"), "over dim"),
    **dict.fromkeys(named(nn, "Flatten Unflatten PixelShuffle PixelUnshuffle ChannelShuffle"), "move"),
}
POINTWISE_NAMES = (
    "relu relu6 leaky_relu rrelu elu selu celu gelu silu mish softplus softsign hardtanh hardsigmoid hardswish sigmoid",
    "tanh dropout logsigmoid hardshrink softshrink tanhshrink threshold clamp abs exp square sqrt rsqrt log log1p expm1",
    "neg negative reciprocal sign sin cos tan erf round floor ceil sinh cosh atan asinh relu_ clone nan_to_num clip",
    "positive rsub pow float_power",
)
PLANE_NAMES = tuple(
    f"{name}{n}d"
    for name in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "lp_pool")
    for n in (1, 2, 3)
)
REDUCTIONS = "mean sum amax amin std var prod logsumexp"
MOVES = (
    "flatten reshape permute transpose swapaxes swapdims movedim moveaxis squeeze unsqueeze chunk split tensor_split",
    "unbind narrow select index_select flip roll rot90 stack pixel_shuffle pixel_unshuffle channel_shuffle unflatten",
    "repeat_interleave tile broadcast_to fliplr flipud",
)
PAIRS = "add sub mul div subtract multiply divide true_divide maximum minimum fmax fmin atan2 pow"
OPERATOR_PAIRS = (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow)


def functions() -> dict[Callable, str]:
    """Every function the knife follows, by kind."""
    table: dict[Callable, str] = {}
    for home in (torch, F):
        table |= dict.fromkeys(named(home, *POINTWISE_NAMES), "pointwise")
        table |= dict.fromkeys(named(home, *PLANE_NAMES, "interpolate upsample"), "plane")
        table |= dict.fromkeys(named(home, REDUCTIONS), "reduction")
        table |= dict.fromkeys(named(home, *MOVES), "move")
        table |= dict.fromkeys(named(home, PAIRS), "pair")
        table |= dict.fromkeys(named(home, "softmax log_softmax softmin"), "over dim")
    table |= dict.fromkeys(OPERATOR_PAIRS, "pair") | {operator.neg: "pointwise", operator.getitem: "move"}
    table |= dict.fromkeys((torch.cat, torch.concat), "cat") | {F.pad: "pad"}
    table |= dict.fromkeys(named(F, "conv1d conv2d conv3d linear"), "raw layer")
    return table


FUNCTIONS = functions()
METHODS: dict[str, str] = {
    **dict.fromkeys(" ".join((*POINTWISE_NAMES, "contiguous detach")).split(), "pointwise"),
    **dict.fromkeys(REDUCTIONS.split(), "reduction"),
    **dict.fromkeys(" ".join((*MOVES, "view expand repeat T mT")).split(), "move"),
    **dict.fromkeys(PAIRS.split(), "pair"),
    **dict.fromkeys(["softmax", "log_softmax"], "over dim"),
}


def dims_of(node: fx.Node, argument: int = 1) -> tuple[int, ...] | None:
    """The dimensions a reduction or softmax names; None where it names none, or they are computed."""
    dims = node.args[argument] if len(node.args) > argument else node.kwargs.get("dim", node.kwargs.get("axis"))
    dims = (dims,) if isinstance(dims, int) else dims
    whole = isinstance(dims, Iterable) and all(isinstance(d, int) for d in dims)
    return tuple(dims) if whole and dims else None  # type: ignore[arg-type]


def keeps_dims(node: fx.Node) -> bool:
    flag = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
    return bool(flag)


def plane_rank(node: fx.Node, module: nn.Module | None, rank: int) -> int:
    """How many of the last dimensions a pooling, padding or interpolation works on."""
    name = type(module).__name__ if module is not None else str(getattr(node.target, "__name__", node.target))
    digits = [c for c in name if c.isdigit()]
    return int(digits[-1]) if digits else rank - 2


def is_random(node: fx.Node, module: nn.Module | None) -> bool:
    """A dropout that is on in eval mode."""
    name = str(getattr(node.target, "__name__", node.target))
    if module is not None or name not in ("dropout", "rrelu"):
        return False
    position = 2 if name == "dropout" else 3
    on = node.args[position] if len(node.args) > position else node.kwargs.get("training", name == "dropout")
    return on is not False
