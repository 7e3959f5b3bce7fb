"""The headline of Wen et al. (NIPS 2016): at equal error, structured zeros make AlexNet 5.1 times as fast and scattered ones do not.

Speed asks for neither ImageNet nor training: at the published sparsities of table 4 positions are drawn and weights are random.
Two ways to run what is left. l1: the matrix as CSR. SSL: rows and columns removed. Each against dense, in interleaved pairs.
`product`: one thread, the product W X of one image alone, X being the lowered input; a product of each conv group.
`convolution`: the whole layer, all threads, same input and same output: the knife's cut, or lowering and CSR.
"""

from __future__ import annotations

import copy
import datetime
import math
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core import latency, table4
from core.headline_forms import LoweredCsr, Product, SideBySide, csr
from core.machine import cores, keep_memory
from core.networks.caffenet import CaffeNet
from core.structure import apply, plan_zeros

SEED = 0


@dataclass(frozen=True)
class Case:
    """One measurement: a layer at the sparsities of a row of table 4, or, where `row` is None, at `sparsity`.

    `weights`, `columns`, `rows`: fractions 0-1 that are zero, of single weights or of whole columns and rows.
    """

    protocol: str
    layer: str
    method: Literal["l1", "ssl"]
    row: int | None = None
    sparsity: float | None = None
    weights: float = 0.0
    columns: float = 0.0
    rows: float = 0.0

    @property
    def key(self) -> str:
        """Its name in a document: `product/row2/conv1`, `sweep/ssl-0.95/conv3`."""
        which = f"row{self.row}" if self.row else f"{self.method}-{self.sparsity}"
        return f"{self.protocol}/{which}/{self.layer}"

    @property
    def pairs(self) -> int:
        return 50 if table4.BATCHES[self.protocol] == 1 else 20


def cases(protocols: Iterable[str], layers: Iterable[str], rows: Iterable[int]) -> list[Case]:
    """Every case of these protocols, layers and rows of table 4; the sweep has sparsities in place of rows."""
    layers, rows, out = tuple(layers), tuple(rows), []
    for protocol in protocols:
        if protocol == "sweep":
            for layer in layers:
                for s in table4.SPARSITIES:
                    out.append(Case(protocol, layer, "l1", sparsity=s, weights=s))
                    out.append(Case(protocol, layer, "ssl", sparsity=s, columns=s))
            continue
        for number in rows:
            row = table4.ROWS[number]
            for layer in layers:
                at = table4.LAYERS.index(layer)
                zeros = {kind: getattr(row, kind)[at] for kind in ("weights", "columns", "rows") if getattr(row, kind)}
                out.append(Case(protocol, layer, row.method, row=number, **zeros))
    return out


@dataclass(frozen=True)
class Drawn:
    """Matrices (conv groups, rows, columns) with their zeros, and the positions kept, (conv groups, kept)."""

    matrices: Tensor
    rows: Tensor
    columns: Tensor

    @property
    def promised(self) -> float:
        """Dense MACs over those of the weights that are left."""
        return self.matrices.numel() / int(self.matrices.count_nonzero())

    def removed(self) -> list[Tensor]:
        """Each conv group's matrix without its zero rows and columns."""
        return [m[r][:, c] for m, r, c in zip(self.matrices, self.rows, self.columns, strict=True)]


@cache
def geometry(layer: str) -> tuple[nn.Conv2d, int]:
    """The layer of CaffeNet at 227 x 227, without weights, and the side of its input."""
    with torch.device("meta"):
        network = CaffeNet(num_classes=1000, in_channels=3, image_size=227)
        seen: list[int] = []
        conv: nn.Conv2d = getattr(network, layer)
        hook = conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
        network(torch.empty(1, 3, 227, 227))
    hook.remove()
    return conv, seen[0]


def drawn(case: Case, generator: torch.Generator) -> Drawn:
    """Random weights with the case's zeros, as many in each conv group."""
    conv, _ = geometry(case.layer)
    groups = conv.groups
    matrices = torch.randn(groups, conv.out_channels // groups, conv.weight[0].numel(), generator=generator)
    rows = _kept(groups, matrices.shape[1], case.rows, generator)
    columns = _kept(groups, matrices.shape[2], case.columns, generator)
    weights = _kept(groups, matrices[0].numel(), case.weights, generator)
    matrices = matrices * _ones(groups, matrices.shape[1], rows).unsqueeze(2)
    matrices = matrices * _ones(groups, matrices.shape[2], columns).unsqueeze(1)
    return Drawn(matrices * _ones(groups, matrices[0].numel(), weights).view_as(matrices), rows, columns)


def _kept(groups: int, count: int, gone: float, generator: torch.Generator) -> Tensor:
    """Long (groups, kept): sorted positions of what is left of `count`."""
    kept = count - round(gone * count)
    return torch.stack([torch.randperm(count, generator=generator)[:kept].sort().values for _ in range(groups)])


def _ones(groups: int, count: int, kept: Tensor) -> Tensor:
    return torch.zeros(groups, count).scatter_(1, kept, 1.0)


def product(case: Case, generator: torch.Generator) -> tuple[nn.Module, nn.Module, Tensor, float]:
    """(dense, what is left, lowered input (conv groups, columns, positions), promised)."""
    conv, side = geometry(case.layer)
    weights = drawn(case, generator)
    positions = ((side + 2 * int(conv.padding[0]) - conv.kernel_size[0]) // conv.stride[0] + 1) ** 2
    lowered = torch.randn(conv.groups, weights.matrices.shape[2], positions, generator=generator)
    left = weights.removed() if case.method == "ssl" else csr(weights.matrices)
    return Product(list(weights.matrices)), Product(left), lowered, weights.promised


def convolution(case: Case, generator: torch.Generator) -> tuple[nn.Module, nn.Module, Tensor, float]:
    """(dense, what is left, images, promised); the two give the same answers."""
    shape, side = geometry(case.layer)
    weights = drawn(case, generator)
    conv = copy.deepcopy(shape).to_empty(device="cpu").requires_grad_(False)
    conv.weight.copy_(weights.matrices.view_as(conv.weight))
    assert conv.bias is not None
    conv.bias.zero_()
    x = torch.randn(table4.BATCHES[case.protocol], conv.in_channels, side, side, generator=generator)
    if case.method == "l1":
        return conv, LoweredCsr(conv, weights.matrices), x, weights.promised
    source = (SideBySide(conv) if conv.groups > 1 else nn.Sequential(conv)).eval()
    plan = plan_zeros(source, x[:1])
    left = copy.deepcopy(conv) if plan.nothing_removed else apply(plan, source, x[:1])
    return conv, left, x, weights.promised


def measured(case: Case, pairs: int | None = None) -> dict[str, Any]:
    """A row: the case, and how many times as fast as dense, with quartiles, threads and processor; `pairs`: default `case.pairs`."""
    alone = case.protocol in ("product", "sweep")
    dense, left, x, promised = (product if alone else convolution)(case, torch.Generator().manual_seed(SEED))
    with threads(1 if alone else cores()):
        speed = latency.measure(dense, left, x, promised, pairs=pairs or case.pairs, budget_s=math.inf)
    told = speed.model_copy(update={"batch": table4.BATCHES[case.protocol]}).model_dump(exclude={"layers"})
    return {key: getattr(case, key) for key in ("protocol", "layer", "method", "row", "sparsity")} | told


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads inside, subnormal numbers flushed."""
    before = torch.get_num_threads()
    torch.set_flush_denormal(True)
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def about() -> dict[str, Any]:
    """What a document says of itself, but for its rows."""
    return {
        "name": table4.NAME, "title": "AlexNet at the sparsities of SSL's table 4: measured speed beside the paper's",
        "source": table4.SOURCE, "config": {"seed": SEED, "network": "caffenet", "image": 227, "weights": "random", "positions": "drawn"},
        "versions": {"torch": torch.__version__, "python": platform.python_version()}, "cpu": latency.processor(), "cores": cores(),
        "subnormals": "flushed", "memory_kept": keep_memory(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
