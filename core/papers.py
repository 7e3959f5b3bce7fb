"""The papers' points: what they print, or what others quote, with certainty and source (`assets/papers.csv`). No torch."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "assets" / "papers.csv"
CITATIONS = {
    "SSL": "Wen et al., Learning Structured Sparsity in Deep Neural Networks, NIPS 2016, arXiv 1608.03665",
    "SSS": "Huang & Wang, Data-Driven Sparse Structure Selection for Deep Neural Networks, ECCV 2018, arXiv 1707.01213",
}


@dataclass(frozen=True)
class Point:
    """One point of a paper. `error`: test error in percent. `macs_left`, `params_left`: fractions 0-1; None: not printed.

    `counted`: what the MACs are of. `certainty`: paper, slides, secondary (quoted by others), read-off (from a figure).
    """

    paper: str
    place: str
    point: str
    method: str
    network: str
    dataset: str
    error: float
    macs_left: float
    params_left: float | None
    counted: str
    certainty: str
    note: str

    @property
    def source(self) -> str:
        """Where it is from, in words."""
        return f"{CITATIONS[self.paper]}, {self.place} ({self.certainty})"


@lru_cache(1)
def points() -> tuple[Point, ...]:
    """All points, in the file's order."""
    with FILE.open(encoding="utf-8", newline="") as rows:
        return tuple(
            Point(**row | {  # type: ignore[arg-type]
                "error": float(row["error"]), "macs_left": float(row["macs_left"]),
                "params_left": float(row["params_left"]) if row["params_left"] else None,
            })
            for row in csv.DictReader(rows)
        )  # fmt: skip


def points_beside(network: str, dataset: str) -> list[Point]:
    """The points of the papers on that network and data set."""
    return [point for point in points() if (point.network, point.dataset) == (network, dataset)]
