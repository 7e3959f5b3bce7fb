"""Networks whose blocks add their input to their output: ResNet, ResNeXt, RegNet, pre-activation, wide, and an MLP."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from zoo_parts import MAX_POOLS, Kernel, Pooled, SqueezeExcite, conv, conv_norm


class Block(NamedTuple):
    """A residual block: one inner width makes it basic (3x3, 3x3), two make it a bottleneck (1x1, 3x3, 1x1)."""

    mids: tuple[int, ...]
    outputs: int
    stride: int = 1
    groups: int = 1
    squeezed: int = 0


def stage(count: int, first: Block, squeezed: int | None = None) -> tuple[Block, ...]:
    """`count` equal blocks of which only the first strides; `squeezed` is the squeeze-excite width of the others."""
    later = first._replace(stride=1, squeezed=first.squeezed if squeezed is None else squeezed)
    return (first, *(later for _ in range(count - 1)))


class ResidualBlock(nn.Module):
    """relu(branch x + shortcut x); the stride is on the 3x3, and the shortcut is a 1x1 where the shape changes."""

    def __init__(self, inputs: int, block: Block, dims: int = 2) -> None:
        super().__init__()
        mids, outputs, stride, groups, squeezed = block
        if len(mids) == 1:
            parts = [conv_norm(inputs, mids[0], 3, stride, dims=dims)]
        else:
            parts = [
                conv_norm(inputs, mids[0], 1, dims=dims),
                conv_norm(mids[0], mids[1], 3, stride, groups, dims=dims),
            ]
        if squeezed:
            parts.append(SqueezeExcite(mids[-1], squeezed))
        last = conv_norm(mids[-1], outputs, 3 if len(mids) == 1 else 1, act=None, dims=dims)
        self.branch = nn.Sequential(*parts, last)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = conv_norm(inputs, outputs, 1, stride, act=None, dims=dims)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        y += x if self.shortcut is None else self.shortcut(x)
        return self.relu(y)


class ResNet(nn.Module):
    """Stem, residual blocks, mean, linear.

    Residual: He, Zhang, Ren and Sun 2016a. Conv groups: ResNeXt, Xie et al. 2017. Conv groups of a fixed width with
    squeeze-excite: RegNetY, Radosavovic et al. 2020. One axis: Wang, Yan and Oates 2017. Three: Tran et al. 2018.
    """

    def __init__(
        self,
        inputs: int,
        stem: int,
        blocks: tuple[Block, ...],
        classes: int,
        dims: int = 2,
        stem_kernel: Kernel = 7,
        stem_stride: Kernel = 2,
        pool: bool = True,
    ) -> None:
        super().__init__()
        self.stem = conv_norm(inputs, stem, stem_kernel, stem_stride, dims=dims)
        self.pool = MAX_POOLS[dims](3, 2, 1) if pool else nn.Identity()
        widths = (stem, *(block.outputs for block in blocks))
        self.blocks = nn.Sequential(*(ResidualBlock(w, b, dims) for w, b in zip(widths, blocks, strict=False)))
        self.mean, self.fc = Pooled(dims), nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mean(self.blocks(self.pool(self.stem(x)))))


class PreActivationBlock(nn.Module):
    """rest(relu(norm x)) + shortcut; where the shape changes, the shortcut is a 1x1 of relu(norm x)."""

    def __init__(self, inputs: int, block: Block, dropout: float = 0.0) -> None:
        super().__init__()
        mids, outputs, stride = block.mids, block.outputs, block.stride
        self.norm, self.relu = nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)
        if len(mids) == 1:
            inner, last = [conv_norm(inputs, mids[0], 3, stride)], conv(mids[0], outputs, 3)
        else:
            inner = [conv_norm(inputs, mids[0], 1), conv_norm(mids[0], mids[1], 3, stride)]
            last = conv(mids[1], outputs, 1)
        self.rest = nn.Sequential(*inner, *([nn.Dropout(dropout)] if dropout else []), last)
        self.shortcut = conv(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm(x))
        shortcut = x if self.shortcut is None else self.shortcut(y)
        return self.rest(y) + shortcut


class PreResNet(nn.Module):
    """Stem without a norm, pre-activation blocks, norm, relu, mean, linear: He, Zhang, Ren and Sun 2016b.

    With a 3x3 stem, wide basic blocks and dropout between their convolutions: Zagoruyko and Komodakis 2016.
    """

    def __init__(
        self, stem: int, blocks: tuple[Block, ...], classes: int, large: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, stem, 7, 2), nn.MaxPool2d(3, 2, 1)) if large else conv(3, stem, 3)
        widths = (stem, *(block.outputs for block in blocks))
        made = (PreActivationBlock(w, b, dropout) for w, b in zip(widths, blocks, strict=False))
        self.blocks = nn.Sequential(*made)
        self.norm, self.relu = nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True)
        self.mean, self.fc = Pooled(), nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mean(self.relu(self.norm(self.blocks(self.stem(x))))))


def linear_norm(inputs: int, outputs: int) -> nn.Sequential:
    """dropout(relu(BatchNorm(linear x)))."""
    parts = (nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.Dropout(0.5))
    return nn.Sequential(*parts)


class ResidualMLP(nn.Module):
    """Linear layers in blocks x + layer2(layer1 x), on vectors: Martinez, Hossain, Romero and Little 2017."""

    def __init__(self, inputs: int, width: int, mids: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.stem = linear_norm(inputs, width)
        self.blocks = nn.ModuleList(nn.Sequential(linear_norm(width, m), linear_norm(m, width)) for m in mids)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.fc(x)


def resnet18_full() -> nn.Module:
    blocks = (
        *stage(2, Block((64,), 64)),
        *stage(2, Block((128,), 128, 2)),
        *stage(2, Block((256,), 256, 2)),
        *stage(2, Block((512,), 512, 2)),
    )
    return ResNet(3, 64, blocks, 1000)


def resnet18_small() -> nn.Module:
    blocks = (Block((7,), 6), Block((5,), 6), Block((11,), 10, 2), Block((9,), 10), Block((13,), 14, 2))
    return ResNet(3, 6, blocks, 5)


def bottlenecks(width: int, groups: int = 1) -> tuple[Block, ...]:
    """The sixteen bottlenecks of a 50-layer network whose first inner width is `width`."""
    stages = ((3, 1), (4, 2), (6, 4), (3, 8))
    blocks = [stage(n, Block((width * f,) * 2, 256 * f, min(f, 2), groups)) for n, f in stages]
    return tuple(block for one in blocks for block in one)


def resnet50_small() -> nn.Module:
    blocks = (Block((5, 6), 14), Block((4, 7), 14), Block((8, 9), 18, 2), Block((10, 11), 18), Block((12, 13), 22, 2))
    return ResNet(3, 15, blocks, 5)


def resnext50_small() -> nn.Module:
    blocks = (Block((6, 9), 14, 1, 3), Block((9, 6), 14, 1, 3), Block((8, 12), 17, 2, 4), Block((12, 8), 17, 1, 4))
    return ResNet(3, 10, blocks, 5)


def regnet_full() -> nn.Module:
    """RegNetY-400MF: widths 48, 104, 208, 440; conv groups of 8 channels; squeeze to a quarter of the block's input."""
    rows = ((1, 32, 48), (3, 48, 104), (6, 104, 208), (6, 208, 440))
    blocks = [stage(n, Block((w, w), w, 2, w // 8, round(i / 4)), round(w / 4)) for n, i, w in rows]
    return ResNet(3, 32, tuple(b for one in blocks for b in one), 1000, stem_kernel=3, pool=False)


def regnet_small() -> nn.Module:
    blocks = (Block((9, 12), 14, 2, 3, 5), Block((12, 9), 14, 1, 3, 4), Block((8, 16), 18, 2, 4, 6))
    return ResNet(3, 7, blocks, 5, stem_kernel=3, pool=False)


def preresnet_small() -> nn.Module:
    blocks = (Block((5, 6), 13), Block((4, 7), 13), Block((8, 9), 17, 2), Block((10, 11), 17))
    return PreResNet(12, blocks, 5, large=True)


def wideresnet_full() -> nn.Module:
    """WRN-28-10 of CIFAR-10: four blocks a stage, ten times as wide."""
    blocks = (*stage(4, Block((160,), 160)), *stage(4, Block((320,), 320, 2)), *stage(4, Block((640,), 640, 2)))
    return PreResNet(16, blocks, 10, dropout=0.3)


def wideresnet_small() -> nn.Module:
    blocks = (Block((9,), 8), Block((7,), 8), Block((13,), 12, 2), Block((11,), 12), Block((15,), 16, 2))
    return PreResNet(5, blocks, 5, dropout=0.3)


def net1d_full() -> nn.Module:
    """The 18 layers of ResNet over one axis of 12 signals."""
    rows = ((64, 1), (128, 2), (256, 2), (512, 2))
    blocks = [stage(2, Block((width,), width, stride)) for width, stride in rows]
    return ResNet(12, 64, tuple(b for one in blocks for b in one), 1000, dims=1)


def net1d_small() -> nn.Module:
    blocks = (Block((7,), 8), Block((9,), 8), Block((13,), 12, 2), Block((11,), 12))
    return ResNet(4, 8, blocks, 5, dims=1)


def net3d_full() -> nn.Module:
    """R3D-18 of Kinetics-400: the first convolution keeps the frames, and no pooling follows it."""
    rows = ((64, 1), (128, 2), (256, 2), (512, 2))
    blocks = [stage(2, Block((width,), width, stride)) for width, stride in rows]
    stem = {"stem_kernel": (3, 7, 7), "stem_stride": (1, 2, 2), "pool": False}
    return ResNet(3, 64, tuple(b for one in blocks for b in one), 400, dims=3, **stem)


def net3d_small() -> nn.Module:
    blocks = (Block((7,), 6), Block((11,), 10, 2), Block((9,), 10))
    stem = {"stem_kernel": (3, 5, 5), "stem_stride": (1, 2, 2), "pool": False}
    return ResNet(3, 6, blocks, 5, dims=3, **stem)
