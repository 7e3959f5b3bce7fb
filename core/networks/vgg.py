"""VGG for small images: 3x3 convolutions with BatchNorm and one linear layer (Simonyan & Zisserman, ICLR 2015).

The CIFAR form used in the pruning literature, without convolution biases. At 3x32x32 and 10 classes VGG-16 has 14.72M
parameters and 313.20M MACs; the 313.75M often printed adds two operations per BatchNorm output.
Each stage ends in a 2x2 max-pool, left out where the image is already a single pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Outline, Structure
from core.networks.names import NetworkSpec

WIDTHS = (64, 128, 256, 512, 512)
CONVS_PER_STAGE = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


class ConvNorm(nn.Module):
    """relu(bn(conv(x)))."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, filters, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)))


class VGG(nn.Module):
    """Five stages of convolutions with a max-pool each, global average pooling, one linear layer."""

    def __init__(self, depth: int, num_classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.features = nn.Sequential()
        inputs, size = in_channels, image_size
        for i, (width, num_convs) in enumerate(zip(WIDTHS, CONVS_PER_STAGE[depth], strict=True), 1):
            stage = nn.Sequential(*(ConvNorm(inputs if j == 0 else width, width) for j in range(num_convs)))
            if size >= 2:
                stage.add_module("pool", nn.MaxPool2d(2))
                size //= 2
            self.features.add_module(f"stage{i}", stage)
            inputs = width
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)  # (N, 512, 1, 1) for images of 32 pixels and below
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)  # (N, 512)
        return self.fc(x)

    def structures(self) -> list[Structure]:
        """The filters of every convolution, each under its BatchNorm."""
        return [
            Structure(f"{path}.conv/filter", "filter", f"{path}.bn", block.conv.out_channels, f"{path}.conv")
            for path, block in self.named_modules()
            if isinstance(block, ConvNorm)
        ]

    def outline(self) -> Outline:
        """The network by paths, for drawing: a block holds one convolution."""
        stages = tuple(
            (
                f"features.{name}",
                tuple(
                    BlockOutline(f"features.{name}.{i}", "none", (f"features.{name}.{i}.conv",))
                    for i, block in stage.named_children()
                    if isinstance(block, ConvNorm)
                ),
            )
            for name, stage in self.features.named_children()
        )
        return Outline((), stages, ("fc",))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The VGG that ``spec`` names, with the pools that ``image_size`` leaves room for."""
    return VGG(spec.depth, num_classes, in_channels, image_size)
