"""LeNet 20-50-500 as shipped with Caffe, the network of SSL's MNIST tables (Wen et al., NIPS 2016).

Two 5x5 convolutions with a 2x2 max-pool each and no activation between, a linear layer of 500 neurons with a ReLU, the
class scores. 2.293M MACs and 0.431M parameters at 1x28x28. Images below 16 pixels, which two unpadded 5x5
convolutions would use up, get a zero padding of 2 instead: 8x8 ends at 2x2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Outline, Structure
from core.networks.names import NetworkSpec

SMALLEST_UNPADDED = 16


class LeNet(nn.Module):
    """conv1, max-pool, conv2, max-pool, fc1, ReLU, fc2."""

    def __init__(self, num_classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        padding = 0 if image_size >= SMALLEST_UNPADDED else 2
        lost = 4 - 2 * padding
        size = ((image_size - lost) // 2 - lost) // 2
        self.conv1 = nn.Conv2d(in_channels, 20, 5, padding=padding)
        self.conv2 = nn.Conv2d(20, 50, 5, padding=padding)
        self.fc1 = nn.Linear(50 * size * size, 500)
        self.fc2 = nn.Linear(500, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.conv1(x), 2)  # (N, 20, 12, 12) at 28x28
        x = F.max_pool2d(self.conv2(x), 2)  # (N, 50, 4, 4)
        x = F.relu(self.fc1(torch.flatten(x, 1)))  # (N, 500)
        return self.fc2(x)

    def structures(self) -> list[Structure]:
        """Filters and neurons. No norm follows, so the layers' own weights and biases carry the factors."""
        return [
            Structure("conv1/filter", "filter", "conv1", self.conv1.out_channels, "conv1"),
            Structure("conv2/filter", "filter", "conv2", self.conv2.out_channels, "conv2"),
            Structure("fc1/neuron", "neuron", "fc1", self.fc1.out_features, "fc1"),
        ]

    def outline(self) -> Outline:
        """The network by paths, for drawing: each convolution is a resolution level of its own."""
        stages = tuple((name, (BlockOutline(name, "none", (name,)),)) for name in ("conv1", "conv2"))
        return Outline((), stages, ("fc1", "fc2"))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.xavier(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """LeNet for images of ``image_size`` pixels a side."""
    return LeNet(num_classes, in_channels, image_size)
