"""PeleeNet (Wang et al., NeurIPS 2018, arXiv 1804.06882): a small DenseNet whose layers grow in two ways.

A stem that joins a strided convolution and a max-pool; four stages of 3, 4, 8 and 6 dense layers, each of which appends 16
channels seen through one 3x3 and 16 through two; a 1x1 transition behind every stage, with a 2x2 average pool behind the
first three; global average pooling, dropout 0.05, one linear layer. Every convolution has BatchNorm and a ReLU behind it.
At 3x224x224 and 1,000 classes: 508M MACs and 2.80M parameters. Pools are left out where the image is a single pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core.networks import initialise
from core.networks.describe import BlockOutline, Outline, Structure
from core.networks.names import NetworkSpec

LAYERS = (3, 4, 8, 6)
BOTTLENECKS = (1, 2, 4, 4)  # width of a dense layer's 1x1s, in units of GROWTH
GROWTH = 16  # channels that each of the two ways of a dense layer appends
STEM = 32


class ConvNorm(nn.Module):
    """relu(bn(conv(x))), the convolution padded to keep the image's size at stride 1."""

    def __init__(self, inputs: int, filters: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, filters, side, stride, side // 2, bias=False)
        self.bn = nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)))


class Stem(nn.Module):
    """A quarter of the image's side: a strided 3x3, then a 3x3 path and a max-pool, joined by a 1x1."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(in_channels, STEM, 3, 2)
        self.narrow = ConvNorm(STEM, STEM // 2, 1)
        self.down = ConvNorm(STEM // 2, STEM, 3, 2)
        self.join = ConvNorm(2 * STEM, STEM, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)  # (N, 32, H/2, W/2)
        pooled = F.max_pool2d(x, 2, ceil_mode=True)  # (N, 32, H/4, W/4)
        return self.join(torch.cat([self.down(self.narrow(x)), pooled], 1))


class DenseLayer(nn.Module):
    """The input, and 16 + 16 channels behind it: `near` sees 3x3 pixels, `far` 5x5."""

    def __init__(self, inputs: int, bottleneck: int) -> None:
        super().__init__()
        width = GROWTH * bottleneck
        if width > inputs // 2:  # the paper: no wider than half of the input
            width = inputs // 8 * 4
        self.near = nn.Sequential(ConvNorm(inputs, width, 1), ConvNorm(width, GROWTH, 3))
        self.far = nn.Sequential(ConvNorm(inputs, width, 1), ConvNorm(width, GROWTH, 3), ConvNorm(GROWTH, GROWTH, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.near(x), self.far(x)], 1)


class PeleeNet(nn.Module):
    """Stem, four stages of dense layers with a transition each, global average pooling, one linear layer."""

    def __init__(self, num_classes: int, in_channels: int, image_size: int) -> None:
        super().__init__()
        self.stem = Stem(in_channels)
        self.stages = nn.Sequential()
        channels, side = STEM, -(-image_size // 4)
        for i, (num_layers, bottleneck) in enumerate(zip(LAYERS, BOTTLENECKS, strict=True), 1):
            stage = nn.Sequential()
            for j in range(num_layers):
                stage.add_module(f"layer{j + 1}", DenseLayer(channels, bottleneck))
                channels += 2 * GROWTH
            stage.add_module("transition", ConvNorm(channels, channels, 1))
            if i < len(LAYERS) and side > 1:
                stage.add_module("pool", nn.AvgPool2d(2))
                side //= 2
            self.stages.add_module(f"stage{i}", stage)
        self.dropout = nn.Dropout(0.05)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stages(self.stem(x))  # (N, 704, H/32, W/32)
        x = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)  # (N, 704)
        return self.fc(self.dropout(x))

    def structures(self) -> list[Structure]:
        """The filters of every convolution, each under its BatchNorm."""
        return [
            Structure(f"{path}.conv/filter", "filter", f"{path}.bn", block.conv.out_channels, f"{path}.conv")
            for path, block in self.named_modules()
            if isinstance(block, ConvNorm)
        ]

    def outline(self) -> Outline:
        """The network by paths, for drawing: a block is one way of a dense layer, or a transition."""
        stem = tuple(f"stem.{name}.conv" for name, _ in self.stem.named_children())
        stages = tuple(
            (f"stages.{name}", _blocks(f"stages.{name}", stage)) for name, stage in self.stages.named_children()
        )
        return Outline(stem, stages, ("fc",))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights, in place."""
        initialise.msra(self, generator)


def make(spec: NetworkSpec, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """PeleeNet with the pools that ``image_size`` leaves room for."""
    return PeleeNet(num_classes, in_channels, image_size)


def _blocks(path: str, stage: nn.Module) -> tuple[BlockOutline, ...]:
    out: list[BlockOutline] = []
    for name, part in stage.named_children():
        if isinstance(part, DenseLayer):
            for way, chain in part.named_children():
                convs = tuple(f"{path}.{name}.{way}.{i}.conv" for i, _ in chain.named_children())
                out.append(BlockOutline(f"{path}.{name}.{way}", "concat", convs))
        elif isinstance(part, ConvNorm):
            out.append(BlockOutline(f"{path}.{name}", "none", (f"{path}.{name}.conv",)))
    return tuple(out)
