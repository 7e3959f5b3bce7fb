"""Networks: one family a file, plain ``torch.nn``, traceable by ``torch.fx``.

Importing this package does not import torch; calling it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.networks.names import NAMES

if TYPE_CHECKING:
    import torch
    from torch import nn

    from core.networks.describe import Layout

__all__ = ["NAMES", "build", "layout"]


def build(
    name: str, *, num_classes: int, in_channels: int, image_size: int, generator: torch.Generator | None = None
) -> nn.Module:
    """The network ``name`` on the CPU, its weights drawn from ``generator`` and from nothing else.

    ``image_size`` is the side of the square input in pixels. Without a generator the weights are those of seed 0.
    Every network has ``structures()`` (where factors may sit) and ``outline()`` (how it is drawn); see ``describe``.
    """
    from core.networks import construct

    return construct.build(name, num_classes, in_channels, image_size, generator)


def layout(name: str, *, num_classes: int, in_channels: int, image_size: int) -> Layout:
    """What the screen draws of the network ``name``: stages, blocks, convolutions, with sizes, MACs and parameters.

    No weights are made: the network and one forward pass live on torch's meta device.
    """
    from core.networks import construct, measure

    return measure.layout(name, construct.skeleton(name, num_classes, in_channels, image_size), in_channels, image_size)
