"""Plain chains and networks without BatchNorm: VGG, LeNet, vision transformer, ConvNeXt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo_parts import Pooled

VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


class VGG(nn.Module):
    """3x3 convolutions with bias, norm and ReLU, max-pools ("M"), then three linear layers: Simonyan and Zisserman 2015.

    The features are averaged to a grid of `grid` x `grid` before the flatten.
    """

    def __init__(self, layers: tuple[int | str, ...], grid: int, hidden: tuple[int, int], classes: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        width = 3
        for layer in layers:
            if layer == "M":
                parts.append(nn.MaxPool2d(2, 2))
            else:
                parts += [nn.Conv2d(width, layer, 3, padding=1), nn.BatchNorm2d(layer), nn.ReLU(inplace=True)]
                width = layer
        self.features, self.pool = nn.Sequential(*parts), nn.AdaptiveAvgPool2d(grid)
        first, second = hidden
        self.classifier = nn.Sequential(
            *(nn.Linear(width * grid**2, first), nn.ReLU(inplace=True), nn.Dropout(0.5)),
            *(nn.Linear(first, second), nn.ReLU(inplace=True), nn.Dropout(0.5)),
            nn.Linear(second, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


def vgg_full() -> nn.Module:
    return VGG(VGG16, 7, (4096, 4096), 1000)


def vgg_small() -> nn.Module:
    return VGG((6, 7, "M", 9, 10, "M", 11, 8, "M"), 2, (17, 13), 5)


def vgg11_full() -> nn.Module:
    return VGG(VGG11, 7, (4096, 4096), 1000)


def vgg11_small() -> nn.Module:
    return VGG((7, "M", 9, "M", 8, 10, "M"), 2, (15, 12), 5)


class LeNet(nn.Module):
    """Two convolutions with bias, ReLU and max-pool, flatten, three linear layers: after LeCun et al. 1998.

    `side` is the image's; `convs` and `hidden` are widths.
    """

    def __init__(
        self, inputs: int, side: int, kernel: int, convs: tuple[int, int], hidden: tuple[int, int], classes: int
    ) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(inputs, convs[0], kernel), nn.Conv2d(convs[0], convs[1], kernel)
        left = ((side - kernel + 1) // 2 - kernel + 1) // 2
        self.fc1, self.fc2 = nn.Linear(convs[1] * left**2, hidden[0]), nn.Linear(hidden[0], hidden[1])
        self.fc3 = nn.Linear(hidden[1], classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def lenet_flatten_full() -> nn.Module:
    """LeNet-5: 32x32 grey digits, ten classes."""
    return LeNet(1, 32, 5, (6, 16), (120, 84), 10)


def lenet_flatten_small() -> nn.Module:
    return LeNet(3, 16, 3, (7, 9), (19, 13), 5)


class Attention(nn.Module):
    """softmax(q k' / sqrt(d)) v in `heads` heads, one linear layer for q, k and v, one behind: Vaswani et al. 2017."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.depth = heads, width // heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens = x.shape[0], x.shape[1]
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, self.depth).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])  # (batch, heads, tokens, depth)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, self.heads * self.depth))


class Encoder(nn.Module):
    """x + attention(norm x), then x + linear(GELU(linear(norm x)))."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width, eps=1e-6), Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patches as tokens behind a class token, learnt positions, encoders, norm, linear: Dosovitskiy et al. 2021.

    `hidden` holds the inner width of each encoder's MLP.
    """

    def __init__(self, side: int, patch: int, width: int, heads: int, hidden: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.encoders = nn.Sequential(*(Encoder(width, heads, h) for h in hidden))
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).permute(0, 2, 1)  # (batch, patches, width)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.encoders(x))[:, 0])


def vit_full() -> nn.Module:
    """ViT-B/16."""
    return ViT(224, 16, 768, 12, (3072,) * 12, 1000)


def vit_small() -> nn.Module:
    return ViT(16, 4, 12, 3, (19, 23), 5)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (batch, channels, height, width), by way of NHWC."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """x + scale * linear(GELU(linear(LayerNorm(depthwise 7x7 x)))), all but the convolution in NHWC."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.linear1, self.act, self.linear2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.linear2(self.act(self.linear1(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """4x4 patches, stages of blocks with normed 2x2 convolutions between them, mean, norm, linear: Liu et al. 2022.

    Stages are (width, inner width of each block). Stochastic depth, which is nothing in eval mode, is left out.
    """

    def __init__(self, stages: tuple[tuple[int, tuple[int, ...]], ...], classes: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        before = 0
        for width, hidden in stages:
            if before:
                parts += [ChannelNorm(before), nn.Conv2d(before, width, 2, 2)]
            else:
                parts += [nn.Conv2d(3, width, 4, 4), ChannelNorm(width)]
            parts += [ConvNeXtBlock(width, h) for h in hidden]
            before = width
        self.features, self.mean = nn.Sequential(*parts), Pooled()
        self.norm, self.head = nn.LayerNorm(before, eps=1e-6), nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.mean(self.features(x))))


def convnext_full() -> nn.Module:
    """ConvNeXt-T."""
    rows = ((96, 3), (192, 3), (384, 9), (768, 3))
    return ConvNeXt(tuple((width, (4 * width,) * count) for width, count in rows), 1000)


def convnext_small() -> nn.Module:
    return ConvNeXt(((8, (15, 17)), (12, (21,)), (14, (19,))), 5)
