"""Table 4 of Wen et al. (NIPS 2016): AlexNet on ILSVRC-2012, layer by layer, by l1 and by SSL at equal error. No torch.

The network is CaffeNet, its convolutions conv1 to conv5. Rows 1 and 2 lose 2 points of accuracy, rows 4 and 5 none. Figure 1
of the paper draws the speed of the l1 rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.papers import CITATIONS

NAME = "ssl-alexnet-table4"
SOURCE = f"{CITATIONS['SSL']}, table 4"
EVIDENCE = Path(__file__).resolve().parents[1] / "assets" / "evidence" / "headline.json"
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
BASELINE_ERROR = 42.63
PAIRS = ((1, 2), (4, 5))
"""Rows of equal error: l1, then SSL."""
BATCHES = {"product": 1, "sweep": 1, "convolution-1": 1, "convolution-128": 128}
"""The protocols, and how many images each takes. `product`: the paper's own, the matrix product of one image alone, one thread;
`sweep`: the same at equal sparsity; `convolution-N`: the whole convolution of N images, all threads."""
SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97)
"""Where the two are compared at equal sparsity."""


@dataclass(frozen=True)
class Row:
    """A row: top-1 error in percent, and per layer the fractions 0-1 of zeros and the published speed-ups, times.

    `weights`: of single weights that are zero (l1). `columns`, `rows`: of the columns and rows of the layer's matrix (SSL).
    """

    method: Literal["l1", "ssl"]
    error: float
    cpu: tuple[float, ...]
    gpu: tuple[float, ...]
    weights: tuple[float, ...] = ()
    columns: tuple[float, ...] = ()
    rows: tuple[float, ...] = ()


ROWS = {
    1: Row(
        "l1", 44.67, (0.80, 2.91, 4.84, 3.83, 2.76), (0.25, 0.52, 1.38, 1.04, 1.36),
        weights=(0.676, 0.924, 0.972, 0.966, 0.943),
    ),
    2: Row(
        "ssl", 44.66, (1.05, 3.37, 6.27, 9.73, 4.93), (1.00, 2.37, 4.94, 4.03, 3.05),
        columns=(0.0, 0.632, 0.769, 0.847, 0.807), rows=(0.094, 0.129, 0.406, 0.469, 0.0),
    ),
    4: Row(
        "l1", 42.51, (0.34, 0.99, 1.30, 1.10, 0.93), (0.08, 0.17, 0.42, 0.30, 0.32),
        weights=(0.147, 0.762, 0.853, 0.815, 0.763),
    ),
    5: Row(
        "ssl", 42.53, (1.00, 1.27, 1.64, 1.68, 1.32), (1.00, 1.25, 1.63, 1.72, 1.36),
        columns=(0.0, 0.209, 0.397, 0.397, 0.246), rows=(0.0, 0.0, 0.0, 0.0, 0.0),
    ),
}  # fmt: skip


def published(row: int, layer: str) -> float:
    """The paper's speed-up of that layer on its CPU, times as fast as dense."""
    return ROWS[row].cpu[LAYERS.index(layer)]


def recorded() -> dict[str, Any]:
    """The measurement that came with the program: {name, conditions ..., rows}."""
    return json.loads(EVIDENCE.read_text(encoding="utf-8"))


def chosen(document: Mapping[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    """The measured rows whose fields are as `wanted`, in the order of the layers."""
    rows = [row for row in document["rows"].values() if all(row[key] == value for key, value in wanted.items())]
    return sorted(rows, key=lambda row: LAYERS.index(row["layer"]))


def mean_speed(document: Mapping[str, Any], protocol: str, row: int, value: str = "measured") -> float | None:
    """The mean over the five layers, as the paper's 5.1; None where a layer is missing."""
    found = chosen(document, protocol=protocol, row=row)
    return sum(r[value] for r in found) / len(found) if len(found) == len(LAYERS) else None
