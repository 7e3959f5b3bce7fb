"""A shape learned anew: fresh weights where a network's structures live, zeros where they are dead (the from-scratch control).

Liu et al. (ICLR 2019, arXiv 1810.05270) train the cut network from fresh weights. Here the full network stands in for it, with
zeros that stay; so that it is the cut network's own first draw, weights are scaled to the inputs that are left: what a full
layer draws for its fan-in would be too small for a narrow one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.methods.freezing import LAYERS, frozen_masks
from core.networks.measure import example_of
from core.own import draw_anew
from core.structure import remove_zeros


@torch.no_grad()
def draw_shape(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Draw first weights in place, from `seed`, dead structures zero; returns by parameter what must stay zero."""
    shape, before = frozen_masks(network, "structures"), fan_ins(network)
    left = fan_ins(remove_zeros(network, example_of(network))[1])
    draw_anew(network, seed)
    for name, mask in shape.items():
        network.get_parameter(name).masked_fill_(mask, 0.0)
    for path, full in before.items():
        if left.get(path, full) < full:
            network.get_submodule(path).weight.mul_((full / left[path]) ** 0.5)  # type: ignore[operator]
    return shape


def fan_ins(network: nn.Module) -> dict[str, int]:
    """Weights that one output of each layer reads, by path."""
    return {path: module.weight[0].numel() for path, module in network.named_modules() if isinstance(module, LAYERS)}
