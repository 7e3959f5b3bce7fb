"""CaffeNet, the AlexNet of SSL's table 4: Krizhevsky et al. (NIPS 2012) as Caffe ships it, pooling before normalisation.

Five convolutions (two conv groups in the second, fourth and fifth), local response normalisation across five channels
behind the first two, three linear layers with dropout 0.5. At 3x227x227 and 1,000 classes: 105.4 + 223.9 + 149.5 + 112.1 +
74.8M MACs in the convolutions, 58.6M in the linear layers, 60.97M parameters. Below 67 pixels nothing is left behind
the last pool. Caffe starts from fixed deviations; here weights are He's and biases zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.errors import BadInput
from core.networks import initialise
from core.networks.describe import BlockOutline, Outline, Structure
from core.networks.names import NetworkSpec

SMALLEST = 67
CONVS = tuple(f"conv{i}" for i in range(1, 6))
HIDDEN = ("fc6", "fc7")


class CaffeNet(nn.Module):
    """conv1, pool, norm, conv2, pool, norm, conv3, conv4, conv5, pool, fc6, fc7, fc8, with ReLUs."""

    def __init__(self, num_classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 96, 11, 4)
        self.norm1 = nn.LocalResponseNorm(5, 1e-4, 0.75)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.norm2 = nn.LocalResponseNorm(5, 1e-4, 0.75)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        side = (image_size - 11) // 4 + 1
        for _ in range(3):
            side = (side - 3) // 2 + 1
        self.fc6 = nn.Linear(256 * side * side, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(F.max_pool2d(F.relu(self.conv1(x)), 3, 2))  # (N, 96, 27, 27) at 227x227
        x = self.norm2(F.max_pool2d(F.relu(self.conv2(x)), 3, 2))  # (N, 256, 13, 13)
        x = F.relu(self.conv4(F.relu(self.conv3(x))))  # (N, 384, 13, 13)
        x = F.max_pool2d(F.relu(self.conv5(x)), 3, 2)  # (N, 256, 6, 6)
        x = self.dropout(F.relu(self.fc6(torch.flatten(x, 1))))  # (N, 4096)
        x = self.dropout(F.relu(self.fc7(x)))
        return self.fc8(x)

    def structures(self) -> list[Structure]:
        """Filters and neurons. No BatchNorm follows, so the layers' own weights and biases carry the factors."""
        return [
            *(Structure(f"{path}/filter", "filter", path, getattr(self, path).out_channels, path) for path in CONVS),
            *(Structure(f"{path}/neuron", "neuron", path, getattr(self, path).out_features, path) for path in HIDDEN),
        ]

    def outline(self) -> Outline:
        """The network by paths, for drawing: each convolution is a level of its own."""
        return Outline((), tuple((path, (BlockOutline(path, "none", (path,)),)) for path in CONVS), (*HIDDEN, "fc8"))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator, hidden=HIDDEN)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """CaffeNet for images of ``image_size`` pixels a side, at least 67."""
    if image_size < SMALLEST:
        raise BadInput(
            f"image_size of network caffenet must be a whole number of at least {SMALLEST}; got {image_size}; "
            "its strides leave nothing of a smaller image"
        )
    return CaffeNet(num_classes, in_channels, image_size)
