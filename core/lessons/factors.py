"""Lesson 4: Sparse Structure Selection (Huang & Wang, ECCV 2018) in small runs on digits, and where its factor sits.

A run is an ordinary run of this program (`core.training.run`): WRN-8-1 on scikit-learn's digits, a factor on every filter of its
three inner convolutions, 112 in all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from core import events, training
from core.config import Phase, RunConfig, checked
from core.data import load
from core.errors import BadInput
from core.networks.factors import attach

NETWORK, SITE = "wrn-8-1", "stage1.0.conv1/filter"
EPOCHS, LR = 30, 0.08
STRENGTHS = (0.005, 0.01, 0.02, 0.04, 0.08)
SOLVERS = ("modified-apg", "ista")
COMPARED, SEEDS = 0.02, (0, 1, 2)
SIZES = tuple(k / 20 for k in range(20, -1, -1))


def run(strength: float = 0.02, solver: str = "modified-apg", seed: int = 0, epochs: int = EPOCHS) -> dict[str, Any]:
    """One run: after every epoch the factors of SITE, how many of all filters live, validation accuracy; test accuracy at the end."""
    phase = Phase(epochs=epochs, lr=LR, lr_schedule="cosine", lr_floor=0.05, kinds=("filter",))
    config = RunConfig(preset="lesson", network=NETWORK, batch_size=128, measure_every=0, phases=(phase,)).model_dump(
        mode="json"
    )
    config["phases"][0] |= {"strength_filter": strength, "solver": solver}
    told: dict[str, Any] = {
        "strength": strength,
        "solver": solver,
        "seed": seed,
        "factors": [],
        "alive": [],
        "accuracy": [],
    }
    where = slice(0, 0)
    for event in training.run(checked(config | {"seed": seed})):
        if isinstance(event, events.Started):
            where = _where(event.sites)
            told["total"] = sum(site["total"] for site in event.sites if site["kind"] == "filter")
            filters = [site["site"] for site in event.sites if site["kind"] == "filter"]
        elif isinstance(event, events.EpochDone):
            told["alive"].append(sum(event.alive[site] for site in filters))
            told["accuracy"].append(round(event.val_accuracy, 4))
        elif isinstance(event, events.Structure):
            told["factors"].append([0 if v == 0 else float(f"{v:.4g}") for v in event.values[where].tolist()])
        elif isinstance(event, events.Finished):
            told |= {"test": event.result["accuracy"]["test"], "verdict": event.result["certificate"]["verdict"]}
    return told


def _where(sites: list[dict[str, Any]]) -> slice:
    """Where the units of SITE lie among all units."""
    start = 0
    for site in sites:
        if site["site"] == SITE:
            break
        start += site["total"]
    return slice(start, start + site["total"])


@torch.no_grad()
def place(sizes: tuple[float, ...] | list[float] = SIZES) -> dict[str, Any]:
    """How much a channel says (standard deviation over 128 digits, mean of 8 channels) with a factor of each size, before and behind a norm.

    The norm is in training mode: it divides by the deviation of the very images it sees.
    """
    if not sizes or any(not 0 <= size <= 10 for size in sizes):
        raise BadInput(f"sizes must be numbers from 0 to 10; got {list(sizes)}; take [1, 0.5, 0]")
    dataset = load("digits", None)
    images = dataset.normalise(dataset.train.images[:128])
    said = {}
    for where in ("before", "behind"):
        generator = torch.Generator().manual_seed(0)
        conv, norm = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator))
        factor = attach(conv if where == "before" else norm, 1)
        rows = []
        for size in sizes:
            factor.fill_(size)
            rows.append(round(float(norm(conv(images)).std(dim=(0, 2, 3)).mean()), 4))
        said[where] = rows
    return {"sizes": list(sizes), **said}


def recorded() -> dict[str, Any]:
    """A run at every strength (seed 0), the compared strength under both solvers with several seeds, and the factor's place."""
    runs = {f"{s:g}": run(s) for s in STRENGTHS}
    solvers = {name: [_ends(run(COMPARED, name, seed)) for seed in SEEDS] for name in SOLVERS}
    return {
        "config": {"network": NETWORK, "dataset": "digits", "site": SITE, "epochs": EPOCHS, "lr": LR, "batch": 128, "compared": COMPARED},
        "seed": 0, "seeds": SEEDS, "runs": runs, "solvers": solvers, "place": place(),
    }  # fmt: skip


def _ends(told: dict[str, Any]) -> dict[str, Any]:
    """What is compared of a run: no factors."""
    return {key: value for key, value in told.items() if key != "factors"}
