"""Numbers behind the lesson on trade-off curves, from the rows of evidence and the papers' points."""

from __future__ import annotations

import json
import re
import statistics
from functools import cache
from typing import Any

from app import sentences
from app.lessons.recorded import recorded
from core.evidence.counting import recorded as evidence
from core.evidence.tables import TABLES
from core.evidence.wanted import DENSE, METHOD
from core.papers import points
from core.runs.home import PROJECT

IMAGES = 360  # test images of digits
LIU = {
    "41 layers": {"pruned by SSS": (75.44, None), "fresh weights, as many epochs": (75.70, None), "fresh weights, as many MACs spent": (76.17, None)},
    "32 layers": {"pruned by SSS": (74.18, None), "fresh weights, as many epochs": (73.79, None), "fresh weights, as many MACs spent": (74.67, None)},
    "26 layers": {"pruned by SSS": (71.82, None), "fresh weights, as many epochs": (72.31, None), "fresh weights, as many MACs spent": (73.41, None)},
}  # fmt: skip
"""Top-1 accuracy on ImageNet of ResNet-50 cut by SSS, and of its shapes trained from scratch: Liu et al., ICLR 2019, arXiv 1810.05270."""


@cache
def rows() -> dict[str, dict[str, Any]]:
    """The rows of evidence of ResNet-20 on digits, by name."""
    return {name: dict(row) for name, row in evidence(TABLES["digits"]).items()}


def accuracies() -> dict[str, list[float]]:
    """Test accuracy in percent of the dense control and of SSS, by seed."""
    told = sorted(rows().values(), key=lambda row: row["seed"])
    return {
        name: [100 * row["accuracy"]["compact"] for row in told if row["role"] == role]
        for name, role in (("dense", DENSE), ("SSS", METHOD))
    }


def differences() -> list[float]:
    """SSS minus dense, in points, seed by seed."""
    runs = accuracies()
    return [own - dense for own, dense in zip(runs["SSS"], runs["dense"], strict=True)]


def signed(points_: float, digits: int = 1) -> str:
    """A difference in points with its sign."""
    return sentences.points(points_ / 100, digits).removesuffix(" pp")


def halved() -> list[dict[str, Any]]:
    """The paper's table of ResNet-56 at half of its weights: {name, accuracy, baseline}, in percent, worst first."""
    found = [
        p
        for p in points()
        if (p.paper, p.place, p.network) == ("NestedNet", "table 1", "resnet56") and p.macs_left == 0.5
    ]
    own = next(p for p in points() if (p.paper, p.place, p.point) == ("NestedNet", "table 1", "baseline"))
    out = []
    for point in found:
        if "random" in point.point:
            continue
        other = re.search(r"own baseline has ([\d.]+) %", point.note)
        name = (
            point.point.replace(" (", "<br>(")
            .replace("NestedNet ", "NestedNet<br>")
            .removesuffix(" 2x")
            .replace(" 2x)", ")")
        )
        out.append(
            {
                "name": name,
                "accuracy": round(100 - point.error, 2),
                "baseline": round(100 - float(other[1] if other else own.error), 2),
            }
        )
    return sorted(out, key=lambda row: row["accuracy"])


@cache
def clocks() -> list[dict[str, Any]]:
    """What MACs promise and what clocks said: SSS on digits over seeds, and the paper's four levels with random weights."""
    own = [row["speed"] for row in rows().values() if row["role"] == METHOD]
    ratios = [speed["measured"] for speed in own]
    out: list[dict[str, Any]] = [{
        "name": "ResNet-20, SSS", "promised": statistics.fmean(speed["promised"] for speed in own),
        "clocks": {"one CPU thread, batch 128": (statistics.fmean(ratios), min(ratios), max(ratios))},
    }]  # fmt: skip
    levels = json.loads((PROJECT / "assets" / "evidence" / "nested.json").read_text(encoding="utf-8"))["rows"]
    for place, name in ((2, "WRN-14-4 of WRN-32-4"), (1, "WRN-32-1 of WRN-32-4"), (0, "WRN-14-1 of WRN-32-4")):
        told = {}
        for batch in (128, 1):
            row = levels[f"inference: batch {batch}"]
            faster = row["ways"]["taken away"][place]["faster"]
            told[f"one CPU thread, batch {batch}"] = (faster["median"], *faster["quartiles"])
        paper = row["paper_faster"][place]
        out.append(
            {"name": name, "promised": row["fewer"][place], "clocks": told | {"the paper's GPU": (paper, paper, paper)}}
        )
    return out


def shapes(source: str) -> list[dict[str, Any]]:
    """Pruned networks and the same shapes from fresh weights: {name, points}."""
    if source == "imagenet":
        return [{"name": f"ResNet-50, {name}", "points": told} for name, told in LIU.items()]
    runs = recorded("digits")["runs"]
    told: dict[str, tuple[float, float | None]] = {}
    for role, words in (("SSS", "pruned by SSS"), ("from scratch", "fresh weights, as many epochs")):
        values = [100 * run["accuracy"] for run in runs if run["role"] == role]
        told[words] = (statistics.fmean(values), statistics.stdev(values))
    dense = accuracies()["dense"]
    told["dense, the whole network"] = (statistics.fmean(dense), statistics.stdev(dense))
    return [{"name": "ResNet-20 on digits, a third of the MACs", "points": told}]
