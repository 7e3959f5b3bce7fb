"""What levels share whole is computed once: the first convolution, where every level has all of it.

Its result is kept apart from the graph; the gradients that all levels leave there go through the convolution together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def computed_once(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, these layers, one in each level and equal, give what the first of them to be called gave; same input assumed.

    Backward passes inside end at that result; leaving takes the sum of their gradients on to weights and input.
    """
    out: list[Tensor] = []
    leaf: list[Tensor] = []

    def forward(layer: nn.Module, x: Tensor) -> Tensor:
        if not out:
            out.append(type(layer).forward(layer, x))
            leaf.append(out[0].detach().requires_grad_())
        return leaf[0]

    for layer in layers:
        layer.__dict__["forward"] = lambda x, layer=layer: forward(layer, x)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["forward"]
    if leaf and leaf[0].grad is not None and out[0].requires_grad:
        torch.autograd.backward(out[0], leaf[0].grad)
