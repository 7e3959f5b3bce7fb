"""Weights of convolutions and linear layers in one form, and narrower layers made from it.

In that form a layer has conv groups; row o reads the inputs of its own group: (out, in per group, elements). A linear layer
and a plain convolution have one group, a depthwise convolution as many as channels. A transposed convolution's weight is
turned round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (*CONVS, *TRANSPOSED, nn.Linear)


def num_units(module: nn.Module) -> int:
    """Filters of a convolution, neurons of a linear layer."""
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels  # type: ignore[return-value]


def num_inputs(module: nn.Module) -> int:
    return module.in_features if isinstance(module, nn.Linear) else module.in_channels  # type: ignore[return-value]


def num_groups(module: nn.Module) -> int:
    return 1 if isinstance(module, nn.Linear) else module.groups  # type: ignore[return-value]


def site_of(path: str, module: nn.Module) -> str:
    """The site of a layer's outputs: filters of a convolution, neurons of a linear layer."""
    return f"{path}/{'neuron' if isinstance(module, nn.Linear) else 'filter'}"


def spreads(module: nn.Module) -> bool:
    """Whether a constant input gives another value at the border: zero padding, or a transposed convolution."""
    if isinstance(module, TRANSPOSED):
        return any(k > 1 for k in module.kernel_size) or any(s > 1 for s in module.stride) or any(module.padding)
    if not isinstance(module, CONVS) or module.padding_mode != "zeros" or module.padding == "valid":
        return False
    if isinstance(module.padding, str):
        return any(k > 1 for k in module.kernel_size)
    return any(p > 0 for p in module.padding)


def weight_in(module: nn.Module) -> Tensor:
    """The module's own weight, outside the graph of gradients."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def weight_by_input(module: nn.Module, weight: Tensor) -> Tensor:
    """A tensor shaped like the module's weight as (out, in per group, elements)."""
    if isinstance(module, nn.Linear):
        return weight.unsqueeze(2)
    if isinstance(module, TRANSPOSED):
        groups = module.groups
        turned = weight.flatten(2).unflatten(0, (groups, -1)).transpose(1, 2)  # (groups, out per, in per, elements)
        return turned.flatten(0, 1)
    return weight.flatten(2)


@dataclass(frozen=True)
class Kernel:
    """A convolution's window and steps, per plane dimension; `pad` in front and behind."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pad: tuple[tuple[int, int], ...]


def kernel_of(module: nn.Module) -> Kernel:
    """The window of a convolution that is not transposed; "same" as numbers."""
    assert isinstance(module, CONVS)
    reach = [d * (k - 1) for k, d in zip(module.kernel_size, module.dilation, strict=True)]
    if module.padding == "same":
        pad = tuple((r // 2, r - r // 2) for r in reach)
    elif module.padding == "valid":
        pad = tuple((0, 0) for _ in reach)
    else:
        pad = tuple((int(p), int(p)) for p in module.padding)
    return Kernel(tuple(module.kernel_size), tuple(module.stride), tuple(module.dilation), pad)


def take_rows(new: nn.Module, old: nn.Module, rows: Tensor) -> nn.Module:
    """`new` with the rows of the parameters of `old`, which may lack some."""
    for name, parameter in old._parameters.items():
        part = None if parameter is None else parameter.detach()[rows.to(parameter.device)]
        trained = parameter is not None and parameter.requires_grad
        setattr(new, name, None if part is None else nn.Parameter(part, requires_grad=trained))
    return new


def narrow_layer(module: nn.Module, weight: Tensor, bias: Tensor | None, groups: int = 1) -> nn.Module:
    """A layer like `module` with this weight (out, in per group, elements) in `groups` conv groups.

    Built on the meta device: no initialisation, no random numbers.
    """
    new: nn.Module
    if isinstance(module, nn.Linear):
        weight = weight.flatten(1)
        new = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    else:
        settings: dict[str, Any] = {
            name: getattr(module, name) for name in ("stride", "padding", "dilation", "padding_mode")
        }
        if isinstance(module, TRANSPOSED):
            settings["output_padding"] = module.output_padding
        new = type(module)(
            weight.shape[1] * groups,
            weight.shape[0],
            module.kernel_size,
            groups=groups,
            bias=bias is not None,
            device="meta",
            **settings,
        )
        if isinstance(module, TRANSPOSED):
            weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        weight = weight.unflatten(2, module.kernel_size)
    trained = bool(module.weight.requires_grad)
    shared = weight.untyped_storage().data_ptr() == weight_in(module).untyped_storage().data_ptr()
    weight = weight.clone(memory_format=torch.contiguous_format) if shared else weight.contiguous()
    new.weight = nn.Parameter(weight, requires_grad=trained)
    if bias is not None:
        new.bias = nn.Parameter(bias.to(weight.device, weight.dtype), requires_grad=trained)
    return new
