"""First weights. Every number is drawn from the generator that is passed in."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import nn


def msra(network: nn.Module, generator: torch.Generator, hidden: Collection[str] = ()) -> None:
    """Normal weights of variance 2 / fan-in before a ReLU (He et al., ICCV 2015), zero biases, in place.

    A linear layer is last in most networks, with no ReLU behind it: variance 1 / fan-in, unless its path is in ``hidden``.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            gain = 2.0 if isinstance(module, nn.Conv2d) or path in hidden else 1.0
            module.weight.normal_(0.0, math.sqrt(gain / module.weight[0].numel()), generator=generator)
            if module.bias is not None:
                module.bias.zero_()


def xavier(network: nn.Module, generator: torch.Generator) -> None:
    """Uniform weights of variance 1 / fan-in, as Caffe's filler of that name draws them, zero biases, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = math.sqrt(3.0 / module.weight[0].numel())
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
