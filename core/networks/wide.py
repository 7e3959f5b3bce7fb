"""Wide residual networks (Zagoruyko & Komodakis, BMVC 2016) as NestedNet counts them (Kim et al., CVPR 2018).

WRN-n-k: a 3x3 stem of 16 filters, three stages of (n - 2) / 6 pre-activation basic blocks with 16k, 32k and 64k filters, a last
BatchNorm and ReLU, global average pooling, one linear layer. Shortcuts have no parameters: the printed sizes (7.4M for
WRN-32-4, 10.8M for WRN-14-8, 100 classes) leave no room for 1x1 convolutions. Where the shape changes both paths start
from the first activation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Skip, Structure
from core.networks.names import NetworkSpec
from core.networks.resnet import PadShortcut
from core.networks.staged import Staged


class WideBlock(nn.Module):
    """a = relu(bn1(x)); conv2(relu(bn2(conv1(a)))) + (shortcut(a) or x)."""

    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        changes = stride != 1 or inputs != filters
        self.skip: Skip = "pad" if changes else "identity"
        self.shortcut = PadShortcut(filters - inputs, stride) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(x))
        kept = self.shortcut(out if self.skip == "pad" else x)
        out = F.relu(self.bn2(self.conv1(out)))
        return self.conv2(out) + kept

    def structures(self, path: str) -> list[Structure]:
        """Filters of conv1, and the whole branch: no norm follows conv2, so its weight carries the factor."""
        filters = self.conv1.out_channels
        return [
            Structure(f"{path}.conv1/filter", "filter", f"{path}.bn2", filters, f"{path}.conv1"),
            Structure(f"{path}/block", "block", f"{path}.conv2", 1, f"{path}.conv2"),
        ]

    def outline(self, path: str) -> BlockOutline:
        return BlockOutline(path, self.skip, (f"{path}.conv1", f"{path}.conv2"))


class WideResNet(Staged):
    """Stem, three stages of wide blocks, a last norm and ReLU, global average pooling, one linear layer."""

    def __init__(self, blocks_per_stage: int, widening: int, num_classes: int, in_channels: int) -> None:
        super().__init__()
        filters = [widening * 16 * 2**i for i in range(3)]
        self.conv = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.stage1 = _stage(16, filters[0], 1, blocks_per_stage)
        self.stage2 = _stage(filters[0], filters[1], 2, blocks_per_stage)
        self.stage3 = _stage(filters[1], filters[2], 2, blocks_per_stage)
        self.bn = nn.BatchNorm2d(filters[2])
        self.fc = nn.Linear(filters[2], num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stage3(self.stage2(self.stage1(self.conv(x))))  # (N, 64k, H/4, W/4)
        x = F.relu(self.bn(x))
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)  # (N, 64k)
        return self.fc(x)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The wide residual network that ``spec`` names; any image size goes through."""
    return WideResNet((spec.depth - 2) // 6, int(spec.variant), num_classes, in_channels)


def _stage(inputs: int, filters: int, stride: int, num_blocks: int) -> nn.Sequential:
    return nn.Sequential(
        WideBlock(inputs, filters, stride), *(WideBlock(filters, filters, 1) for _ in range(num_blocks - 1))
    )
