"""Lesson 1: zeros in a layer of AlexNet (CaffeNet), and what they save when it runs. Measured, never computed.

Three ways to run what is left, each against the dense layer in interleaved pairs: `dense`, as if the zeros were numbers;
`csr`, scattered zeros stored as compressed sparse rows; `removed`, whole columns of zeros taken out. Cases, products and
whole layers are those of the headline (`core.headline`, after Wen et al., NIPS 2016, table 4).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from core import headline, latency, table4
from core.errors import BadInput
from core.headline import Case
from core.headline_forms import Product

LAYER = "conv3"
WAYS = ("dense", "csr", "removed")
SHOWN = ("measured", "low", "high", "promised", "n", "dense_ms", "compact_ms", "threads", "cpu", "batch")
PAIRS, RECORDED_PAIRS = 50, 100


def product(sparsity: float = 0.9, pairs: int = PAIRS) -> dict[str, Any]:
    """The matrix product of one image alone: a row of times for each way."""
    return _told("sweep", sparsity, pairs)


def layer(sparsity: float = 0.9, pairs: int = PAIRS) -> dict[str, Any]:
    """The whole layer for one image, same input and same output: a row of times for each way."""
    return _told("convolution-1", sparsity, pairs)


def recorded() -> dict[str, Any]:
    """Both at every sparsity at which the headline compares."""
    return {
        "config": {"layer": LAYER, "pairs": RECORDED_PAIRS, "weights": "random", "positions": "drawn"},
        "seed": headline.SEED,
        "product": {str(s): product(s, RECORDED_PAIRS)["rows"] for s in table4.SPARSITIES},
        "layer": {str(s): layer(s, RECORDED_PAIRS)["rows"] for s in table4.SPARSITIES},
    }


def _told(protocol: str, sparsity: float, pairs: int) -> dict[str, Any]:
    """Every way timed on one thread."""
    if not 0 < sparsity <= 0.99:
        raise BadInput(f"sparsity must be more than 0 and at most 0.99; got {sparsity}; take 0.9")
    if not 7 <= pairs <= 1000:
        raise BadInput(f"pairs must be from 7 to 1000; got {pairs}; take {PAIRS}")
    rows = {}
    for way in WAYS:
        dense, left, x, promised = made(protocol, way, sparsity)
        with headline.threads(1):
            speed = latency.measure(dense, left, x, promised, pairs=pairs, budget_s=math.inf).model_dump()
        rows[way] = {key: _rounded(speed[key]) for key in SHOWN}
    return {"layer": LAYER, "sparsity": sparsity, "rows": rows}


def made(protocol: str, way: str, sparsity: float) -> tuple[nn.Module, nn.Module, Tensor, float]:
    """(dense, what is left, input, promised) of a protocol of the headline; `dense`: the full layer, and itself with zeros in it."""
    build = headline.product if protocol == "sweep" else headline.convolution
    generator = torch.Generator().manual_seed(headline.SEED)
    if way == "csr":
        return build(Case(protocol, LAYER, "l1", sparsity=sparsity, weights=sparsity), generator)
    if way == "removed":
        return build(Case(protocol, LAYER, "ssl", sparsity=sparsity, columns=sparsity), generator)
    full, _, x, _ = build(Case(protocol, LAYER, "l1", sparsity=0.0), generator)
    weights = headline.drawn(Case(protocol, LAYER, "l1", sparsity=sparsity, weights=sparsity), generator)
    if protocol == "sweep":
        return full, Product(list(weights.matrices)), x, weights.promised
    zeroed = copy.deepcopy(full)
    conv = next(module for module in zeroed.modules() if isinstance(module, nn.Conv2d))
    conv.weight.copy_(weights.matrices.view_as(conv.weight))
    return full, zeroed, x, weights.promised


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
