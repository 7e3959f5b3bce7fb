"""Post-activation bottlenecks: ResNet-50 (He et al., CVPR 2016) and ResNeXt (Xie et al., CVPR 2017).

A block is 1x1, 3x3 (in conv groups in a ResNeXt), 1x1, each with BatchNorm; the stride sits in the 3x3. Where the shape
changes, the shortcut is a 1x1 convolution with BatchNorm. Two forms: for ImageNet (depth 50) a 7x7 stem of stride 2, a
3x3 max-pool and four stages; for CIFAR a 1x1 stem and three stages of n blocks, depth 9n+2. At 3x224x224 and 1,000
classes ResNet-50 has 4.089G MACs and 25.56M parameters, ResNeXt-50 4.23G and 25.03M.
The small ResNeXts are those of SSS's tables as Li et al. (CVPR 2020, "Group Sparsity: the Hinge") define them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Skip, Structure
from core.networks.names import NetworkSpec
from core.networks.staged import Staged

STEM = 64
IMAGENET_BLOCKS = {50: (3, 4, 6, 3)}  # blocks per stage, by depth


@dataclass(frozen=True)
class Form:
    """Filters of the first stage's 3x3 (twice as many in each later stage), outputs per filter of it, its conv groups."""

    width: int
    expansion: int
    groups: int


FORMS = {"bottleneck": Form(64, 4, 1), "32x4d": Form(128, 2, 32), "32x1d": Form(32, 2, 32)}


class Bottleneck(nn.Module):
    """relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x))."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        self.skip: Skip = "identity"
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut, self.skip = nn.Sequential(conv, nn.BatchNorm2d(outputs)), "projection"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))

    def structures(self, path: str) -> list[Structure]:
        """Filters of conv1 and conv2, or the conv groups of conv2 where it has them, and the whole branch."""
        width, groups = self.conv2.out_channels, self.conv2.groups
        inner = [
            Structure(f"{path}.conv{i}/filter", "filter", f"{path}.bn{i}", width, f"{path}.conv{i}") for i in (1, 2)
        ]
        if groups > 1:
            inner = [Structure(f"{path}.conv2/group", "group", f"{path}.bn2", groups, f"{path}.conv2")]
        return [*inner, Structure(f"{path}/block", "block", f"{path}.bn3", 1, f"{path}.conv3")]

    def outline(self, path: str) -> BlockOutline:
        shortcut = f"{path}.shortcut.0" if self.skip == "projection" else None
        return BlockOutline(path, self.skip, tuple(f"{path}.conv{i}" for i in (1, 2, 3)), shortcut)


class BottleneckNet(Staged):
    """Stem, stages of bottlenecks, global average pooling, one linear layer."""

    def __init__(self, form: Form, blocks: tuple[int, ...], large: bool, num_classes: int, in_channels: int) -> None:
        super().__init__()
        side, stride, padding = (7, 2, 3) if large else (1, 1, 0)
        self.conv = nn.Conv2d(in_channels, STEM, side, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(STEM)
        self.pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        self.num_stages = len(blocks)
        inputs = STEM
        for i, num_blocks in enumerate(blocks):
            width = form.width << i
            outputs = form.expansion * width
            first = Bottleneck(inputs, width, outputs, 1 if i == 0 else 2, form.groups)
            rest = (Bottleneck(outputs, width, outputs, 1, form.groups) for _ in range(num_blocks - 1))
            self.add_module(f"stage{i + 1}", nn.Sequential(first, *rest))
            inputs = outputs
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.bn(self.conv(x))))  # (N, 64, H/4, W/4) for ImageNet, (N, 64, H, W) for CIFAR
        for i in range(self.num_stages):
            x = self.get_submodule(f"stage{i + 1}")(x)
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        return self.fc(x)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The network that ``spec`` names; any image size goes through."""
    large = spec.depth in IMAGENET_BLOCKS
    blocks = IMAGENET_BLOCKS[spec.depth] if large else ((spec.depth - 2) // 9,) * 3
    return BottleneckNet(FORMS[spec.variant], blocks, large, num_classes, in_channels)
