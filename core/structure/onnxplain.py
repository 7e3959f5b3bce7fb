"""Copies of a network that ONNX can say exactly: operations without an exact ONNX form become plain arithmetic.

ONNX keeps settings as float32, even beside float64 tensors: its HardSigmoid multiplies by 0.16666667, off by 1e-8. What
torch hard-codes is therefore written out here; what a network says itself (`eps`, a slope) is rounded to float32 on the
float64 copy that a file is compared with. ONNX has no adaptive pooling either: it becomes slices at any size.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.node import map_aggregate

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al., 2017


def hardsigmoid(x: Any, inplace: bool = False) -> Any:
    return F.relu6(x + 3) / 6


def hardswish(x: Any, inplace: bool = False) -> Any:
    return x * F.relu6(x + 3) / 6


def celu(x: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    return F.relu(x) + alpha * (torch.exp(-F.relu(-x) / alpha) - 1)


def selu(x: Any, inplace: bool = False) -> Any:
    return SELU_SCALE * (F.relu(x) + SELU_ALPHA * (torch.exp(-F.relu(-x)) - 1))


def softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """ONNX has no threshold; at the usual one it makes no difference."""
    return None if threshold == 20 else torch.where(x * beta > threshold, x, F.softplus(x, beta, 20))


def threshold(x: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    return torch.where(x > threshold, x, value)


def attribute(x: Any, name: str) -> Any:
    return x.transpose(-1, -2) if name == "mT" else None


def channel_shuffle(x: Any, groups: int) -> Any:
    return x.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def adaptive_pool(
    x: Any, output_size: Any, return_indices: bool = False, *, dims: int, reduce: Callable[..., Any]
) -> Any:
    """Axis by axis; of a side s, window i of n begins at floor(i s / n) and ends before ceil((i + 1) s / n), as in torch."""
    counts = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * dims
    if return_indices or not all(count is None or isinstance(count, int) for count in counts):
        return None
    if all(count == 1 for count in counts):
        return reduce(x, tuple(range(-dims, 0)), keepdim=True)
    for axis, count in zip(range(-dims, 0), counts, strict=True):
        if count is not None:
            side = x.size(axis)
            bounds = [(i * side // count, ((i + 1) * side + count - 1) // count) for i in range(count)]
            x = torch.cat([reduce(torch.narrow(x, axis, a, b - a), axis, keepdim=True) for a, b in bounds], axis)
    return x


FUNCTIONS: dict[Any, Callable] = {  # None from one of these: as it is
    F.hardsigmoid: hardsigmoid,
    F.hardswish: hardswish,
    F.celu: celu,
    F.selu: selu,
    F.softplus: softplus,
    F.threshold: threshold,
    getattr: attribute,
    F.channel_shuffle: channel_shuffle,
}
MODULES: dict[type[nn.Module], Callable] = {
    nn.Hardsigmoid: lambda module, x: hardsigmoid(x),
    nn.Hardswish: lambda module, x: hardswish(x),
    nn.CELU: lambda module, x: celu(x, module.alpha),
    nn.SELU: lambda module, x: selu(x),
    nn.Softplus: lambda module, x: softplus(x, module.beta, module.threshold),
    nn.Threshold: lambda module, x: threshold(x, module.threshold, module.value),
    nn.ChannelShuffle: lambda module, x: channel_shuffle(x, module.groups),
}
for _dims in (1, 2, 3):
    for _kind, _reduce in (("avg", torch.mean), ("max", torch.amax)):
        _pool = partial(adaptive_pool, dims=_dims, reduce=_reduce)
        FUNCTIONS[getattr(F, f"adaptive_{_kind}_pool{_dims}d")] = _pool
        MODULES[getattr(nn, f"Adaptive{_kind.title()}Pool{_dims}d")] = lambda module, x, pool=_pool: pool(
            x, module.output_size, getattr(module, "return_indices", False)
        )
BATCH_NORM_OF: dict[type[nn.Module], type[nn.Module]] = {
    **{kind: kind for kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)},
    **{nn.InstanceNorm1d: nn.BatchNorm1d, nn.InstanceNorm2d: nn.BatchNorm2d, nn.InstanceNorm3d: nn.BatchNorm3d},
}
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


class Plain(fx.Transformer):
    """Rewrites a network, node by node, with the functions above."""

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        rewritten = FUNCTIONS[target](*args, **kwargs) if target in FUNCTIONS else None
        return super().call_function(target, args, kwargs) if rewritten is None else rewritten

    def call_module(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(target)
        rewritten = MODULES[type(module)](module, *args, **kwargs) if type(module) in MODULES else None
        return super().call_module(target, args, kwargs) if rewritten is None else rewritten


def copy_as(network: fx.GraphModule, dtype: torch.dtype) -> fx.GraphModule:
    """A copy on the CPU, in eval mode, of that type."""
    return copy.deepcopy(network).cpu().to(dtype).eval()


def plain(network: fx.GraphModule) -> fx.GraphModule:
    """A copy that computes the same from what the tools understand."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, POOLS) and set(np.atleast_1d(module.stride).tolist()) == {1}:
            module.ceil_mode = False  # it says nothing at stride 1, but the reference evaluator gets the size wrong
        if isinstance(module, CONVS) and module.padding == "same" and module.padding_mode == "zeros":
            total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
            if not any(side % 2 for side in total):  # ONNX Runtime knows no dilated "same"
                module.padding = tuple(side // 2 for side in total)
        if type(module) in BATCH_NORM_OF and module.running_mean is not None:
            become_batch_norm(module)
    return Plain(network).transform().eval()


def become_batch_norm(norm: Any) -> None:
    """Turn a norm with running statistics, in place, into the BatchNorm that it is in eval mode, with weight and bias."""
    norm.__class__ = BATCH_NORM_OF[type(norm)]
    if norm.weight is None:
        norm.weight = nn.Parameter(torch.ones_like(norm.running_mean))
    if norm.bias is None:
        norm.bias = nn.Parameter(torch.zeros_like(norm.running_mean))


def round_settings(network: fx.GraphModule) -> fx.GraphModule:
    """`network` itself, every number among its settings and arguments as float32 has it."""

    def rounded(value: Any) -> Any:
        near = torch.tensor(value, dtype=torch.float32).item() if isinstance(value, float) else value
        return near if isinstance(value, float) and math.isfinite(near) else value

    for module in network.modules():
        for name, value in vars(module).items():
            if isinstance(value, float):
                setattr(module, name, rounded(value))
    for node in network.graph.nodes:
        node.args, node.kwargs = map_aggregate(node.args, rounded), map_aggregate(node.kwargs, rounded)
    network.recompile()
    return network
