"""How sparse each layer is: zero weights, and zero filters, channels and shapes (Wen et al., NeurIPS 2016, figure 2).

Sparsity is the fraction of zeros. A zero filter is no dead unit yet: its bias, or the norm behind it, may still speak.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from torch import nn

from core.structure.layers import LAYERS, num_groups, weight_by_input, weight_in


class LayerSparsity(BaseModel):
    """Counts of one layer, and how many of each are exactly zero.

    A filter is all weights of one output, a channel those that read one input, a shape one tap across all filters of a
    conv group: a column of the matrix that a convolution multiplies by. Of a linear layer a shape is a channel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    weights: int
    zero_weights: int
    filters: int
    zero_filters: int
    channels: int
    zero_channels: int
    shapes: int
    zero_shapes: int


def sparsity(network: nn.Module) -> list[LayerSparsity]:
    """One row for each convolution and linear layer, in the order of the modules."""
    return [_of(path, module) for path, module in network.named_modules() if isinstance(module, LAYERS)]


def _of(path: str, module: nn.Module) -> LayerSparsity:
    zero = weight_by_input(module, weight_in(module)) == 0  # (out, in per group, elements)
    grouped = zero.unflatten(0, (num_groups(module), -1))  # (groups, out per group, in per group, elements)
    filters, channels, shapes = zero.flatten(1).all(1), grouped.all(3).all(1), grouped.all(1)
    return LayerSparsity(
        path=path,
        weights=zero.numel(),
        zero_weights=int(zero.sum()),
        filters=filters.numel(),
        zero_filters=int(filters.sum()),
        channels=channels.numel(),
        zero_channels=int(channels.sum()),
        shapes=shapes.numel(),
        zero_shapes=int(shapes.sum()),
    )
