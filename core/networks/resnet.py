"""CIFAR ResNets of depth 6n+2 with post-activation basic blocks (He et al., CVPR 2016, section 4.2).

A 3x3 stem of 16 filters, three stages of n blocks with 16, 32, 64 filters, global average pooling, one linear layer.
Where the shape changes, the shortcut is parameter-free (option A: every second pixel, zero channels appended at the
end) or a 1x1 convolution with BatchNorm (``-projection``). ``-half`` has half the filters; ``-7x7`` a stem of 7x7 filters, as the
network whose filters Kim et al. (CVPR 2018, figure 5) show.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Skip, Structure
from core.networks.names import NetworkSpec
from core.networks.staged import Staged


class PadShortcut(nn.Module):
    """The parameter-free shortcut: every ``stride``-th row and column, then ``extra`` zero channels at the end.

    Rows and columns are taken by a pooling of one pixel: its numbers are those of slicing, and its gradients keep the layout
    of the images in memory, which slicing's do not (8 % of a training step of ResNet-20 in bfloat16).
    """

    def __init__(self, extra: int, stride: int = 2) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.avg_pool2d(x, 1, self.stride)
        return F.pad(x, (0, 0, 0, 0, 0, self.extra))  # (N, C + extra, H/stride, W/stride)


class BasicBlock(nn.Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))."""

    def __init__(self, inputs: int, filters: int, stride: int, variant: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut: nn.Module = nn.Identity()
        self.skip: Skip = "identity"
        if stride != 1 and variant == "pad":
            self.shortcut, self.skip = PadShortcut(filters - inputs), "pad"
        elif stride != 1:
            conv = nn.Conv2d(inputs, filters, 1, stride, bias=False)
            self.shortcut, self.skip = nn.Sequential(conv, nn.BatchNorm2d(filters)), "projection"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))

    def structures(self, path: str) -> list[Structure]:
        """Filters of conv1 (those of conv2 are tied to the shortcut), and the whole branch."""
        filters = self.conv1.out_channels
        return [
            Structure(f"{path}.conv1/filter", "filter", f"{path}.bn1", filters, f"{path}.conv1"),
            Structure(f"{path}/block", "block", f"{path}.bn2", 1, f"{path}.conv2"),
        ]

    def outline(self, path: str) -> BlockOutline:
        shortcut = f"{path}.shortcut.0" if self.skip == "projection" else None
        return BlockOutline(path, self.skip, (f"{path}.conv1", f"{path}.conv2"), shortcut)


class ResNet(Staged):
    """Stem, three stages of basic blocks, global average pooling, one linear layer; ``width``: filters of the first stage."""

    def __init__(
        self, blocks_per_stage: int, variant: str, num_classes: int, in_channels: int, width: int = 16, stem: int = 3
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, stem, 1, stem // 2, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.stage1 = _stage(width, width, 1, blocks_per_stage, variant)
        self.stage2 = _stage(width, 2 * width, 2, blocks_per_stage, variant)
        self.stage3 = _stage(2 * width, 4 * width, 2, blocks_per_stage, variant)
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn(self.conv(x)))  # (N, width, H, W)
        x = self.stage3(self.stage2(self.stage1(x)))  # (N, 4 width, H/4, W/4)
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)  # (N, 4 width)
        return self.fc(x)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The ResNet that ``spec`` names; any image size goes through."""
    shortcut, _, special = spec.variant.partition(" ")
    width, stem = 8 if special == "half" else 16, 7 if special == "7x7" else 3
    return ResNet((spec.depth - 2) // 6, shortcut, num_classes, in_channels, width, stem)


def _stage(inputs: int, filters: int, stride: int, num_blocks: int, variant: str) -> nn.Sequential:
    first = BasicBlock(inputs, filters, stride, variant)
    return nn.Sequential(first, *(BasicBlock(filters, filters, 1, variant) for _ in range(num_blocks - 1)))
