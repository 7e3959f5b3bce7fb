"""Networks of depthwise convolutions for small machines: MobileNet V2 and V3, EfficientNet, ShuffleNet V2."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from zoo_parts import Pooled, SqueezeExcite, conv_norm

Act = type[nn.Module]


class Inverted(NamedTuple):
    """An inverted residual: depthwise `kernel` at width `expanded`, with squeeze-excite if `squeezed` is not 0."""

    kernel: int
    expanded: int
    outputs: int
    stride: int = 1
    squeezed: int = 0
    act: Act = nn.ReLU6


class InvertedResidual(nn.Module):
    """1x1 expand, depthwise, squeeze-excite, 1x1 project without activation, plus the input where shapes agree.

    Sandler et al. 2018; with squeeze-excite Tan et al. 2019. No expansion where it would not widen.
    """

    def __init__(self, inputs: int, block: Inverted, squeeze_act: Act, gate: Act, eps: float) -> None:
        super().__init__()
        kernel, expanded, outputs, stride, squeezed, act = block
        parts = [conv_norm(inputs, expanded, 1, act=act, eps=eps)] if expanded != inputs else []
        parts.append(conv_norm(expanded, expanded, kernel, stride, expanded, act, eps))
        if squeezed:
            parts.append(SqueezeExcite(expanded, squeezed, squeeze_act, gate))
        self.branch = nn.Sequential(*parts, conv_norm(expanded, outputs, 1, act=None, eps=eps))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x) if self.adds else self.branch(x)


class MobileNet(nn.Module):
    """Strided stem, inverted residuals, 1x1, mean, linear layers.

    ReLU6: MobileNetV2, Sandler et al. 2018. Hardswish, Hardsigmoid gates and two linear layers: MobileNetV3, Howard et
    al. 2019. SiLU and sigmoid gates: EfficientNet, Tan and Le 2019. `hidden` is the inner linear width, 0 for none.
    """

    def __init__(
        self,
        stem: int,
        blocks: tuple[Inverted, ...],
        last: int,
        classes: int,
        hidden: int = 0,
        act: Act = nn.ReLU6,
        squeeze_act: Act = nn.ReLU,
        gate: Act = nn.Sigmoid,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.stem = conv_norm(3, stem, 3, 2, act=act, eps=eps)
        widths = (stem, *(block.outputs for block in blocks))
        pairs = zip(widths, blocks, strict=False)
        self.blocks = nn.Sequential(*(InvertedResidual(w, b, squeeze_act, gate, eps) for w, b in pairs))
        self.last, self.mean = conv_norm(widths[-1], last, 1, act=act, eps=eps), Pooled()
        inner = [nn.Linear(last, hidden), act(inplace=True)] if hidden else []
        self.head = nn.Sequential(*inner, nn.Dropout(0.2), nn.Linear(hidden or last, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mean(self.last(self.blocks(self.stem(x)))))


def expansions(
    inputs: int, rows: tuple[tuple[int, int, int, int, int], ...], act: Act, quarter: bool
) -> tuple[Inverted, ...]:
    """Blocks from rows of (kernel, expansion factor, width, blocks, first stride); `quarter` squeezes to inputs // 4."""
    blocks = []
    for kernel, factor, outputs, count, first in rows:
        for i in range(count):
            squeezed = inputs // 4 if quarter else 0
            blocks.append(Inverted(kernel, inputs * factor, outputs, 1 if i else first, squeezed, act))
            inputs = outputs
    return tuple(blocks)


def mobilenet_v2_full() -> nn.Module:
    rows = (
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (3, 6, 32, 3, 2),
        (3, 6, 64, 4, 2),
        (3, 6, 96, 3, 1),
        (3, 6, 160, 3, 2),
        (3, 6, 320, 1, 1),
    )
    return MobileNet(32, expansions(32, rows, nn.ReLU6, quarter=False), 1280, 1000)


def mobilenet_v2_small() -> nn.Module:
    blocks = (Inverted(3, 7, 6), Inverted(3, 13, 8, 2), Inverted(3, 15, 8), Inverted(3, 17, 10, 2))
    return MobileNet(7, blocks, 20, 5)


def mobilenet_v3_full() -> nn.Module:
    """MobileNetV3-Large; the squeezed widths are a quarter of the expanded ones, rounded to multiples of 8."""
    relu, hard = nn.ReLU, nn.Hardswish
    blocks = (
        Inverted(3, 16, 16, 1, 0, relu),
        Inverted(3, 64, 24, 2, 0, relu),
        Inverted(3, 72, 24, 1, 0, relu),
        Inverted(5, 72, 40, 2, 24, relu),
        Inverted(5, 120, 40, 1, 32, relu),
        Inverted(5, 120, 40, 1, 32, relu),
        Inverted(3, 240, 80, 2, 0, hard),
        Inverted(3, 200, 80, 1, 0, hard),
        Inverted(3, 184, 80, 1, 0, hard),
        Inverted(3, 184, 80, 1, 0, hard),
        Inverted(3, 480, 112, 1, 120, hard),
        Inverted(3, 672, 112, 1, 168, hard),
        Inverted(5, 672, 160, 2, 168, hard),
        Inverted(5, 960, 160, 1, 240, hard),
        Inverted(5, 960, 160, 1, 240, hard),
    )
    return MobileNet(16, blocks, 960, 1000, 1280, hard, nn.ReLU, nn.Hardsigmoid, 0.001)


def mobilenet_v3_small() -> nn.Module:
    relu, hard = nn.ReLU, nn.Hardswish
    blocks = (
        Inverted(3, 6, 6, 1, 0, relu),
        Inverted(5, 13, 8, 2, 4, relu),
        Inverted(3, 15, 8, 1, 0, hard),
        Inverted(5, 17, 10, 2, 5, hard),
        Inverted(3, 19, 10, 1, 7, hard),
    )
    return MobileNet(6, blocks, 22, 5, 16, hard, nn.ReLU, nn.Hardsigmoid, 0.001)


def efficientnet_full() -> nn.Module:
    """EfficientNet-B0; stochastic depth, which is nothing in eval mode, is left out."""
    rows = (
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    )
    blocks = expansions(32, rows, nn.SiLU, quarter=True)
    return MobileNet(32, blocks, 1280, 1000, act=nn.SiLU, squeeze_act=nn.SiLU)


def efficientnet_small() -> nn.Module:
    blocks = (
        Inverted(3, 6, 7, 1, 3, nn.SiLU),
        Inverted(5, 13, 9, 2, 4, nn.SiLU),
        Inverted(3, 15, 9, 1, 5, nn.SiLU),
        Inverted(5, 17, 11, 2, 2, nn.SiLU),
    )
    return MobileNet(6, blocks, 20, 5, act=nn.SiLU, squeeze_act=nn.SiLU)


def shuffle(x: Tensor, groups: int) -> Tensor:
    """The channels dealt round: channel j of group i becomes channel j * groups + i (Zhang et al. 2018)."""
    batch, channels, height, width = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
    x = x.view(batch, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(batch, channels, height, width)


class ShuffleUnit(nn.Module):
    """Two halves of the channels, of which one or (where the unit strides) both pass convolutions; then a shuffle."""

    def __init__(self, inputs: int, mid: int, outputs: int, stride: int) -> None:
        super().__init__()
        half, entering = outputs // 2, inputs // 2 if stride == 1 else inputs
        self.strides = stride > 1
        self.worked = nn.Sequential(
            conv_norm(entering, mid, 1),
            conv_norm(mid, mid, 3, stride, mid, act=None),
            conv_norm(mid, half, 1),
        )
        if self.strides:
            self.kept = nn.Sequential(
                conv_norm(inputs, inputs, 3, stride, inputs, act=None), conv_norm(inputs, half, 1)
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.strides:
            return shuffle(torch.cat((self.kept(x), self.worked(x)), 1), 2)
        kept, worked = x.chunk(2, dim=1)
        return shuffle(torch.cat((kept, self.worked(worked)), 1), 2)


class ShuffleNet(nn.Module):
    """Strided stem, max-pool, shuffle units, 1x1, mean, linear: ShuffleNet V2, Ma, Zhang, Zheng and Sun 2018.

    `units` are (inner width, width, stride).
    """

    def __init__(self, stem: int, units: tuple[tuple[int, int, int], ...], last: int, classes: int) -> None:
        super().__init__()
        self.stem, self.pool = conv_norm(3, stem, 3, 2), nn.MaxPool2d(3, 2, 1)
        widths = (stem, *(outputs for _, outputs, _ in units))
        self.units = nn.Sequential(*(ShuffleUnit(w, *unit) for w, unit in zip(widths, units, strict=False)))
        self.last, self.fc = conv_norm(widths[-1], last, 1), nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.last(self.units(self.pool(self.stem(x)))).mean([2, 3]))


def shufflenet_v2_full() -> nn.Module:
    rows = ((4, 116), (8, 232), (4, 464))
    units = tuple((w // 2, w, 1 if i else 2) for count, w in rows for i in range(count))
    return ShuffleNet(24, units, 1024, 1000)


def shufflenet_v2_small() -> nn.Module:
    return ShuffleNet(5, ((7, 12, 2), (9, 12, 1), (8, 12, 1), (11, 18, 2), (10, 18, 1)), 22, 5)
