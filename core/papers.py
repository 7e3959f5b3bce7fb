"""The papers' points: what they print, or what others quote, with certainty and source (`assets/papers.csv`). No torch."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "assets" / "papers.csv"
CITATIONS = {
    "SSL": "Wen et al., Learning Structured Sparsity in Deep Neural Networks, NIPS 2016, arXiv 1608.03665",
    "SSS": "Huang & Wang, Data-Driven Sparse Structure Selection for Deep Neural Networks, ECCV 2018, arXiv 1707.01213",
    "NestedNet": "Kim, Ahn & Oh, NestedNet: Learning Nested Sparse Structures in Deep Neural Networks, CVPR 2018, arXiv 1712.03781",
}

PREFIXES = {"ssl": "SSL", "sss": "SSS", "nested": "NestedNet"}  # of presets' names
NUMBERED = re.compile(r"-(table|fig)(\d+)(?:-|$)")

UNKNOWN = {
    "SSL": "The paper prints no strength for any row; the one here was chosen by hand, and training lengths differ.",
    "SSS": "The paper's strengths for CIFAR are not published, its protocol is taken as others remember it, and its rows are quoted by later papers.",
    "NestedNet": "The paper prints no learning rates, lengths or batch sizes, and how its levels are normalised is not said.",
}


@dataclass(frozen=True)
class Point:
    """One point of a paper. `error`: test error in percent. `macs_left`, `params_left`: fractions 0-1; None: not printed.

    `counted`: what the MACs are of. `dataset`: a name behind a dash says which of its classes are told apart.
    `certainty`: paper, slides, secondary (quoted by others), read-off (from a figure).
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


def is_published(preset: str) -> bool:
    """Whether a preset is named after a published experiment: ssl-..., sss-..., or nested-... with a table or figure."""
    return paper_of(preset) is not None


def paper_of(preset: str) -> str | None:
    """The paper whose experiment a preset is named after."""
    paper = PREFIXES.get(preset.partition("-")[0])
    return None if paper == "NestedNet" and NUMBERED.search(preset) is None else paper


def published(preset: str, network: str, dataset: str) -> list[Point]:
    """The rows of the published experiment that a preset is named after: of its paper, and of its table or figure
    where the name says one (the dense baseline beside them); none for any other preset."""
    paper = paper_of(preset)
    if paper is None:
        return []
    numbered = NUMBERED.search(preset)
    place = f"{numbered[1].replace('fig', 'figure')} {numbered[2]}" if numbered else ""
    return [
        point
        for point in points_beside(network, dataset)
        if point.paper == paper and (place in point.place or (point.method == "dense" and paper != "NestedNet"))
    ]


def caveats(points: Sequence[Point]) -> list[str]:
    """What is unknown about published rows, and how their numbers may be compared with a run's, in sentences."""
    if not points:
        return []
    told = [UNKNOWN[paper] for paper in dict.fromkeys(point.paper for point in points)]
    counted = {point.counted for point in points}
    if "conv MACs" in counted:
        told.append("The paper's MACs are those of the convolutions alone, not of the whole network.")
    if "weights" in counted:
        told.append("The paper's column counts weights, which in this network are its MACs.")
    if "parameters" in counted:
        told.append("Where the paper counts parameters, its points stand at their share of these, not of the MACs.")
    told.append("One run is one seed; the papers do not say of how many theirs are.")
    return told
