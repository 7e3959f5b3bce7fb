"""ConvNet: Caffe's cifar10_full after Krizhevsky, the network of SSL's table 3 (Wen et al., NIPS 2016).

Three 5x5 convolutions of 32, 32 and 64 filters, each with a 3x3 pool of stride 2 (a maximum first, averages after), local
response normalisation inside each channel behind the first two, dropout 0.5 and one linear layer. At 3x32x32 and 10
classes: 2.458 + 6.554 + 3.277M MACs in the convolutions and 89,578 parameters. A pool's last window may hang over the
border, as Caffe's do; pools are left out where the image is already a single pixel. PyTorch has no module for a
normalisation inside a channel: it is written out, with Caffe's constants. Caffe's biases start at zero and its
weights at fixed deviations; here weights are He's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Outline, Structure
from core.networks.names import NetworkSpec

FILTERS = (32, 32, 64)
ALPHA, BETA = 5e-5, 0.75  # Caffe, examples/cifar10/cifar10_full_train_test.prototxt


class ChannelResponseNorm(nn.Module):
    """x / (1 + alpha * mean of x^2 over 3x3 pixels of the same channel) ^ beta."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.pow(1 + ALPHA * F.avg_pool2d(x * x, 3, 1, 1), -BETA)


class ConvNet(nn.Module):
    """conv, max-pool, ReLU, norm; conv, ReLU, average pool, norm; conv, ReLU, average pool; dropout, fc."""

    def __init__(self, num_classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        sides = [image_size]
        for _ in FILTERS:
            sides.append(max(1, sides[-1] // 2))  # rounded up behind a 3x3 window: 32, 16, 8, 4; 7, 3, 1
        pools = [pool if side > 1 else nn.Identity() for pool, side in zip(_pools(), sides, strict=False)]
        self.conv1 = nn.Conv2d(in_channels, FILTERS[0], 5, padding=2)
        self.pool1, self.norm1 = pools[0], ChannelResponseNorm()
        self.conv2 = nn.Conv2d(FILTERS[0], FILTERS[1], 5, padding=2)
        self.pool2, self.norm2 = pools[1], ChannelResponseNorm()
        self.conv3 = nn.Conv2d(FILTERS[1], FILTERS[2], 5, padding=2)
        self.pool3 = pools[2]
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(FILTERS[2] * sides[-1] ** 2, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(F.relu(self.pool1(self.conv1(x))))  # (N, 32, 16, 16) at 32x32
        x = self.norm2(self.pool2(F.relu(self.conv2(x))))  # (N, 32, 8, 8)
        x = self.pool3(F.relu(self.conv3(x)))  # (N, 64, 4, 4)
        return self.fc(self.dropout(torch.flatten(x, 1)))

    def structures(self) -> list[Structure]:
        """Filters. No BatchNorm follows, so the layers' own weights and biases carry the factors."""
        return [
            Structure(f"conv{i}/filter", "filter", f"conv{i}", filters, f"conv{i}")
            for i, filters in enumerate(FILTERS, 1)
        ]

    def outline(self) -> Outline:
        """The network by paths, for drawing: each convolution is a resolution level of its own."""
        return Outline((), tuple((f"conv{i}", (BlockOutline(f"conv{i}", "none", (f"conv{i}",)),)) for i in (1, 2, 3)), ("fc",))  # fmt: skip

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The ConvNet for images of ``image_size`` pixels a side."""
    return ConvNet(num_classes, in_channels, image_size)


def _pools() -> tuple[nn.Module, ...]:
    return (nn.MaxPool2d(3, 2, ceil_mode=True), *(nn.AvgPool2d(3, 2, ceil_mode=True) for _ in range(2)))
