"""What several networks of the zoo are made of: a convolution with its norm, and squeeze-excite."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
Kernel = int | tuple[int, ...]


def conv(
    inputs: int, outputs: int, kernel: Kernel, stride: Kernel = 1, groups: int = 1, bias: bool = False, dims: int = 2
) -> nn.Module:
    """A convolution over `dims` axes, padded so that stride 1 keeps the size."""
    padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    return CONVS[dims](inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: Kernel,
    stride: Kernel = 1,
    groups: int = 1,
    act: type[nn.Module] | None = nn.ReLU,
    eps: float = 1e-5,
    dims: int = 2,
) -> nn.Sequential:
    """act(BatchNorm(conv x)), the activation in place; without it if `act` is None."""
    parts = [conv(inputs, outputs, kernel, stride, groups, dims=dims), NORMS[dims](outputs, eps=eps)]
    return nn.Sequential(*parts, *([act(inplace=True)] if act else []))


class SqueezeExcite(nn.Module):
    """x * gate(fc2(act(fc1(mean of x over the image)))), both fc 1x1 convolutions: Hu, Shen and Sun 2018."""

    def __init__(
        self, channels: int, squeezed: int, act: type[nn.Module] = nn.ReLU, gate: type[nn.Module] = nn.Sigmoid
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.act = nn.Conv2d(channels, squeezed, 1), act()
        self.fc2, self.gate = nn.Conv2d(squeezed, channels, 1), gate()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc2(self.act(self.fc1(self.pool(x)))))


class Pooled(nn.Module):
    """The features of a network as one vector an image: mean over all positions, then flatten."""

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        self.pool = AVERAGE_POOLS[dims](1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.pool(x), 1)
