"""Ways to run a convolution whose matrix has zeros: the product alone, lowering and CSR, conv groups side by side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Product(nn.Module):
    """W X of each conv group. A matrix with fewer columns reads the first ones of X: where they lay makes no difference."""

    def __init__(self, matrices: Sequence[Tensor]) -> None:
        super().__init__()
        self.matrices = matrices

    def forward(self, lowered: Tensor) -> list[Tensor]:
        return [torch.mm(w, x[: w.shape[1]]) for w, x in zip(self.matrices, lowered, strict=True)]


class LoweredCsr(nn.Module):
    """A convolution by lowering, image by image as Caffe does it, and a CSR product of each conv group."""

    def __init__(self, conv: nn.Conv2d, matrices: Tensor) -> None:
        super().__init__()
        self.conv, self.matrices = conv, csr(matrices)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        size, pad, step = conv.kernel_size, int(conv.padding[0]), conv.stride
        side = (x.shape[-1] + 2 * pad - size[0]) // step[0] + 1
        out = x.new_empty(len(x), conv.out_channels, side * side)
        for image, into in zip(x.split(1), out, strict=True):
            lowered = F.unfold(image, size, padding=pad, stride=step)[0].chunk(conv.groups)
            for w, columns, rows in zip(self.matrices, lowered, into.chunk(conv.groups), strict=True):
                torch.mm(w, columns, out=rows)
        assert conv.bias is not None
        return out.add_(conv.bias.unsqueeze(1)).unflatten(2, (side, side))


class SideBySide(nn.Module):
    """Conv groups as convolutions of their own: the knife removes columns of a convolution that has none."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert conv.bias is not None
        self.parts = nn.ModuleList()
        for weight, bias in zip(conv.weight.chunk(conv.groups), conv.bias.chunk(conv.groups), strict=True):
            part = nn.Conv2d(weight.shape[1], len(weight), conv.kernel_size, conv.stride, conv.padding)  # type: ignore[arg-type]
            part.weight, part.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
            self.parts.append(part)

    def forward(self, x: Tensor) -> Tensor:
        inputs = torch.chunk(x, len(self.parts), 1)
        return torch.cat([part(inputs[i]) for i, part in enumerate(self.parts)], 1)


def csr(matrices: Tensor) -> list[Tensor]:
    """Each matrix in compressed sparse rows."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return [m.to_sparse_csr() for m in matrices]
