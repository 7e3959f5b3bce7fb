"""Networks that concatenate: DenseNet, GoogLeNet, SqueezeNet and U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from zoo_parts import Pooled, conv, conv_norm


class DenseLayer(nn.Module):
    """conv3x3(relu(norm(conv1x1(relu(norm(all earlier features))))))."""

    def __init__(self, inputs: int, mid: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.relu1, self.conv1 = nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), conv(inputs, mid, 1)
        self.norm2, self.relu2, self.conv2 = nn.BatchNorm2d(mid), nn.ReLU(inplace=True), conv(mid, growth, 3)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.Module):
    """The input and the output of every layer, concatenated; layers are (inner width, growth)."""

    def __init__(self, inputs: int, layers: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for mid, growth in layers:
            self.layers.append(DenseLayer(inputs, mid, growth))
            inputs += growth

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(features))
        return torch.cat(features, 1)


class DenseNet(nn.Module):
    """Stem, dense blocks with halving transitions between them, norm, relu, mean, linear.

    Huang, Liu, van der Maaten and Weinberger 2017.
    """

    def __init__(self, stem: int, blocks: tuple[tuple[tuple[int, int], ...], ...], classes: int) -> None:
        super().__init__()
        parts: list[nn.Module] = [conv_norm(3, stem, 7, 2), nn.MaxPool2d(3, 2, 1)]
        width = stem
        for i, layers in enumerate(blocks):
            if i:
                parts += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), conv(width, width // 2, 1), nn.AvgPool2d(2, 2)]
                width //= 2
            parts.append(DenseBlock(width, layers))
            width += sum(growth for _, growth in layers)
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.mean, self.fc = Pooled(), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mean(self.features(x)))


def densenet_full() -> nn.Module:
    """DenseNet-121: growth 32, inner width 128."""
    return DenseNet(64, tuple(((128, 32),) * count for count in (6, 12, 24, 16)), 1000)


def densenet_small() -> nn.Module:
    return DenseNet(8, (((9, 4), (10, 5)), ((11, 6), (12, 3), (7, 4))), 5)


class Inception(nn.Module):
    """1x1; 1x1 and 3x3; 1x1 and 3x3; max-pool and 1x1: concatenated.

    `widths`: 1x1, inner and outer of the second, inner and outer of the third, fourth branch. The third branch was 5x5
    in the paper; the trained networks in use have 3x3 there.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, inner3, outer3, inner5, outer5, pooled = widths
        self.one = conv_norm(inputs, one, 1, eps=0.001)
        self.three = nn.Sequential(conv_norm(inputs, inner3, 1, eps=0.001), conv_norm(inner3, outer3, 3, eps=0.001))
        self.five = nn.Sequential(conv_norm(inputs, inner5, 1, eps=0.001), conv_norm(inner5, outer5, 3, eps=0.001))
        pool = nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True)
        self.pooled = nn.Sequential(pool, conv_norm(inputs, pooled, 1, eps=0.001))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class GoogLeNet(nn.Module):
    """Stem, inception modules with max-pools between the stages, mean, linear; BatchNorm, no auxiliary classifiers.

    Szegedy et al. 2015; BatchNorm in it: Ioffe and Szegedy 2015. Pools are (kernel, stride) and round up.
    """

    def __init__(
        self,
        stem: tuple[int, int, int],
        stages: tuple[tuple[tuple[int, ...], ...], ...],
        pools: tuple[tuple[int, int], ...],
        classes: int,
    ) -> None:
        super().__init__()
        first, inner, width = stem
        parts: list[nn.Module] = [
            conv_norm(3, first, 7, 2, eps=0.001),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            conv_norm(first, inner, 1, eps=0.001),
            conv_norm(inner, width, 3, eps=0.001),
        ]
        for (kernel, stride), stage in zip(pools, stages, strict=True):
            parts.append(nn.MaxPool2d(kernel, stride, ceil_mode=True))
            for widths in stage:
                parts.append(Inception(width, widths))
                width = widths[0] + widths[2] + widths[4] + widths[5]
        self.features = nn.Sequential(*parts)
        self.mean, self.dropout, self.fc = Pooled(), nn.Dropout(0.2), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.dropout(self.mean(self.features(x))))


def googlenet_full() -> nn.Module:
    third = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))
    fourth = (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    )
    fifth = ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))
    return GoogLeNet((64, 64, 192), (third, fourth, fifth), ((3, 2), (3, 2), (2, 2)), 1000)


def googlenet_small() -> nn.Module:
    stages = (((3, 5, 6, 4, 7, 2), (4, 6, 5, 3, 8, 6)), ((5, 7, 8, 6, 4, 3),))
    return GoogLeNet((6, 7, 9), stages, ((3, 2), (2, 2)), 5)


class Fire(nn.Module):
    """1x1 squeeze, then 1x1 and 3x3 expansions of it, concatenated; ReLU after each, no norm anywhere."""

    def __init__(self, inputs: int, squeezed: int, one: int, three: int) -> None:
        super().__init__()
        self.squeeze, self.relu = nn.Conv2d(inputs, squeezed, 1), nn.ReLU(inplace=True)
        self.one, self.relu1 = nn.Conv2d(squeezed, one, 1), nn.ReLU(inplace=True)
        self.three, self.relu3 = nn.Conv2d(squeezed, three, 3, padding=1), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu1(self.one(x)), self.relu3(self.three(x))], 1)


class SqueezeNet(nn.Module):
    """Stem, fire modules (squeezed, 1x1, 3x3) with max-pools between the stages, 1x1 classifier, relu, mean.

    Iandola et al. 2016, in the arrangement of version 1.1.
    """

    def __init__(self, stem: int, stages: tuple[tuple[tuple[int, int, int], ...], ...], classes: int) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(3, stem, 3, 2), nn.ReLU(inplace=True)]
        width = stem
        for stage in stages:
            parts.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            for squeezed, one, three in stage:
                parts.append(Fire(width, squeezed, one, three))
                width = one + three
        self.features = nn.Sequential(*parts)
        self.dropout, self.classifier = nn.Dropout(0.5), nn.Conv2d(width, classes, 1)
        self.relu, self.mean = nn.ReLU(inplace=True), Pooled()

    def forward(self, x: Tensor) -> Tensor:
        return self.mean(self.relu(self.classifier(self.dropout(self.features(x)))))


def squeezenet_full() -> nn.Module:
    late = ((48, 192, 192), (48, 192, 192), (64, 256, 256), (64, 256, 256))
    return SqueezeNet(64, (((16, 64, 64),) * 2, ((32, 128, 128),) * 2, late), 1000)


def squeezenet_small() -> nn.Module:
    return SqueezeNet(9, (((5, 7, 8), (4, 6, 10)), ((3, 9, 11), (7, 8, 12))), 5)


class UNet(nn.Module):
    """Down by max-pools, up by transposed convolutions, the same scale's features concatenated on the way up.

    Ronneberger, Fischer and Brox 2015, with padding and BatchNorm. Levels are (inner, outer) widths of two 3x3
    convolutions, the deepest last; `ups` are the widths of the transposed convolutions, the first the deepest.
    The image's sides must be multiples of 2 ** (levels - 1).
    """

    def __init__(
        self,
        down: tuple[tuple[int, int], ...],
        ups: tuple[int, ...],
        up: tuple[tuple[int, int], ...],
        classes: int,
    ) -> None:
        super().__init__()
        width, self.pool = 3, nn.MaxPool2d(2)
        self.down, self.ups, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for inner, outer in down:
            self.down.append(nn.Sequential(conv_norm(width, inner, 3), conv_norm(inner, outer, 3)))
            width = outer
        for grown, (_, skipped), (inner, outer) in zip(ups, down[-2::-1], up, strict=True):
            self.ups.append(nn.ConvTranspose2d(width, grown, 2, 2))
            self.up.append(nn.Sequential(conv_norm(skipped + grown, inner, 3), conv_norm(inner, outer, 3)))
            width = outer
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for i, level in enumerate(self.down):
            x = level(self.pool(x) if i else x)
            skipped.append(x)
        for grow, level, skip in zip(self.ups, self.up, skipped[-2::-1], strict=True):
            x = level(torch.cat([skip, grow(x)], 1))
        return self.last(x)


def unet_full() -> nn.Module:
    """The paper's widths, 64 to 1024, and its two classes."""
    widths = (64, 128, 256, 512, 1024)
    up = widths[-2::-1]
    return UNet(tuple((w, w) for w in widths), up, tuple((w, w) for w in up), 2)


def unet_small() -> nn.Module:
    return UNet(((5, 6), (9, 8), (11, 12)), (7, 4), ((14, 10), (8, 9)), 5)
