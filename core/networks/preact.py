"""CIFAR ResNets of depth 9n+2 with pre-activation bottlenecks (He et al., ECCV 2016).

A 3x3 stem of 16 filters, three stages of n bottlenecks (1x1, 3x3, 1x1) of width 16, 32, 64 with four times as many
outputs, a last BatchNorm and ReLU, global average pooling, one linear layer. The first block of every stage has a 1x1
shortcut convolution that starts from its first activation; the stride sits in the 3x3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Skip, Structure
from core.networks.names import NetworkSpec
from core.networks.staged import Staged

EXPANSION = 4


class Bottleneck(nn.Module):
    """a = relu(bn1(x)); conv3(relu(bn3(conv2(relu(bn2(conv1(a))))))) + (shortcut(a) or x)."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        self.skip: Skip = "projection" if first else "identity"
        self.shortcut = nn.Conv2d(inputs, EXPANSION * width, 1, stride, bias=False) if first else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(x))
        kept = self.shortcut(out if self.skip == "projection" else x)
        out = F.relu(self.bn2(self.conv1(out)))
        out = F.relu(self.bn3(self.conv2(out)))
        return self.conv3(out) + kept

    def structures(self, path: str) -> list[Structure]:
        """Filters of conv1 and conv2, and the whole branch: no norm follows conv3, so its weight carries the factor."""
        width = self.conv1.out_channels
        return [
            Structure(f"{path}.conv1/filter", "filter", f"{path}.bn2", width, f"{path}.conv1"),
            Structure(f"{path}.conv2/filter", "filter", f"{path}.bn3", width, f"{path}.conv2"),
            Structure(f"{path}/block", "block", f"{path}.conv3", 1, f"{path}.conv3"),
        ]

    def outline(self, path: str) -> BlockOutline:
        shortcut = f"{path}.shortcut" if self.skip == "projection" else None
        return BlockOutline(path, self.skip, tuple(f"{path}.conv{i}" for i in (1, 2, 3)), shortcut)


class PreactResNet(Staged):
    """Stem, three stages of bottlenecks, a last norm and ReLU, global average pooling, one linear layer."""

    def __init__(self, blocks_per_stage: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.stage1 = _stage(16, 16, 1, blocks_per_stage)
        self.stage2 = _stage(64, 32, 2, blocks_per_stage)
        self.stage3 = _stage(128, 64, 2, blocks_per_stage)
        self.bn = nn.BatchNorm2d(256)
        self.fc = nn.Linear(256, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stage3(self.stage2(self.stage1(self.conv(x))))  # (N, 256, H/4, W/4)
        x = F.relu(self.bn(x))
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)  # (N, 256)
        return self.fc(x)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The pre-activation ResNet that ``spec`` names; any image size goes through."""
    return PreactResNet((spec.depth - 2) // 9, num_classes, in_channels)


def _stage(inputs: int, width: int, stride: int, num_blocks: int) -> nn.Sequential:
    first = Bottleneck(inputs, width, stride, first=True)
    return nn.Sequential(first, *(Bottleneck(EXPANSION * width, width, 1, first=False) for _ in range(num_blocks - 1)))
