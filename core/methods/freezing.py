"""Keeping zeros zero: what fine-tuning after a removal must not bring back (Wen et al., NIPS 2016, section 4)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@torch.no_grad()
def frozen_masks(network: nn.Module, what: str) -> dict[str, Tensor]:
    """By parameter: True where it is zero now and must stay so.

    `weights`: every zero weight of a convolution or linear layer. `structures`: its all-zero filters and filter shapes
    only. Both: scales of norms that are zero, with those of their shifts that are.
    """
    if what == "nothing":
        return {}
    masks: dict[str, Tensor] = {}
    for path, module in network.named_modules():
        if isinstance(module, LAYERS):
            zero = module.weight == 0
            groups = getattr(module, "groups", 1)
            masks[f"{path}.weight"] = zero if what == "weights" else whole(zero, groups)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module.weight is not None:
            zero = module.weight == 0
            masks[f"{path}.weight"] = zero
            masks[f"{path}.bias"] = zero & (module.bias == 0)
    return {name: mask for name, mask in masks.items() if mask.any()}


def whole(zero: Tensor, groups: int) -> Tensor:
    """Of the zero weights (out, in per group, taps...), those in all-zero filters or all-zero filter shapes of a conv group."""
    rows = zero.flatten(1).all(1).view(-1, *[1] * (zero.ndim - 1))
    shapes = zero.unflatten(0, (groups, -1)).all(1, keepdim=True)
    return rows | shapes.expand(groups, len(zero) // groups, *zero.shape[1:]).flatten(0, 1)


def filter_parts(network: nn.Module, layer: str, behind: str) -> Iterator[Tensor]:
    """Everything that belongs to the filters of a layer: its weight and bias, scale and shift of the norm `behind` it."""
    for path in dict.fromkeys((layer, behind)):
        module = network.get_submodule(path)
        for part in (module.weight, module.bias):
            if isinstance(part, Tensor):
                yield part
