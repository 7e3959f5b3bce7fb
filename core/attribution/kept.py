"""Did it keep what mattered? A unit's importance before any unit died, against how long it then lived.

A dead unit's importance is 0 by construction, so importance is taken where all compared units were alive, and never after.
Layers are compared within themselves (what flows through a layer is shared by its units, so that wide layers have less for each)
and all units across layers. Intervals: 95 % of bootstrap samples (Efron, 1979): of units drawn again within their layer, and across
layers of whole layers, whose units often die together (none for few layers).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.attribution.ranks import auc, spearman

RESAMPLES = 500
FEW = 5  # layers below which drawing layers anew tells nothing


@dataclass(frozen=True)
class Layer:
    """A layer's units that were alive when importance was taken: `value` (n,), and the epoch of `death` (n,), infinite of the living."""

    value: np.ndarray
    death: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """Which are alive."""
        return np.isinf(self.death)


def deaths(alive: np.ndarray) -> np.ndarray:
    """Epoch at which each unit died for good (units,), infinite where it is alive at the end; `alive` (epochs, units), 0 or 1."""
    last = len(alive) - 1 - alive[::-1].argmax(axis=0)
    never = ~alive.any(axis=0)
    return np.where(alive[-1] > 0, np.inf, np.where(never, 0, last + 1))


def life(layer: Layer) -> float:
    """Rank correlation of importance and of the epoch of death; the living share the last rank."""
    return spearman(layer.value, layer.death)


def of_kept(layer: Layer) -> float:
    """The chance that a kept unit was more important than a lost one."""
    return auc(layer.value, layer.kept)


def within(layers: Sequence[Layer], of: Callable[[Layer], float]) -> float:
    """The mean of `of` over layers where it is defined, weighted by their units; NaN where it is nowhere."""
    found = [(of(layer), len(layer.value)) for layer in layers]
    there = [(value, n) for value, n in found if not np.isnan(value)]
    return float(np.average([v for v, _ in there], weights=[n for _, n in there])) if there else float("nan")


def across(layers: Sequence[Layer], of: Callable[[Layer], float]) -> float:
    """`of` for the units of all layers together."""
    return of(Layer(*(np.concatenate([getattr(layer, name) for layer in layers]) for name in ("value", "death"))))


def agreement(layers: Sequence[Layer], seed: int = 0) -> dict[str, dict[str, float]]:
    """`within`, `across` (rank correlations with life) and `auc` (within layers), each {value, low, high}."""
    draw = np.random.default_rng(seed)
    statistics: dict[str, Callable[[Sequence[Layer]], float]] = {
        "within": lambda some: within(some, life),
        "across": lambda some: across(some, life),
        "auc": lambda some: within(some, of_kept),
    }
    samples: dict[str, list[float]] = {name: [] for name in statistics}
    for _ in range(RESAMPLES):
        units = [_drawn(layer, draw) for layer in layers]
        whole = units if len(layers) == 1 else [layers[i] for i in draw.integers(0, len(layers), len(layers))]
        for name, of in statistics.items():
            samples[name].append(of(whole if name == "across" else units))
    if 1 < len(layers) < FEW:
        samples["across"] = []
    return {name: {"value": of(layers), **_interval(samples[name])} for name, of in statistics.items()}


def repeatable(images: np.ndarray, sizes: Sequence[int]) -> float:
    """How well two halves of the images rank units alike: the mean rank correlation within layers; `images` (images, units)."""
    halves = [half.mean(0) for half in (images[::2], images[1::2])]
    return within([Layer(halves[0][place], halves[1][place]) for place in places_of(sizes)], life)


def alike(a: np.ndarray, b: np.ndarray, sizes: Sequence[int], seed: int = 0) -> dict[str, float]:
    """The mean rank correlation within layers of two numbers of all units (units,): {value, low, high}."""
    layers = [Layer(a[place], b[place]) for place in places_of(sizes)]
    return agreement(layers, seed)["within"]


def places_of(sizes: Sequence[int]) -> list[np.ndarray]:
    """Where each layer's units stand among all."""
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def layer_rows(sites: Sequence[dict[str, Any]], layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """One row a site: units alive then, how many were lost since, rank correlation and AUC."""
    return [
        {
            "site": site["site"], "kind": site["kind"], "total": site["total"], "compared": len(layer.value),
            "lost": int((~layer.kept).sum()), "rho": life(layer), "auc": of_kept(layer),
        }
        for site, layer in zip(sites, layers, strict=True)
    ]  # fmt: skip


def _drawn(layer: Layer, draw: np.random.Generator) -> Layer:
    again = draw.integers(0, len(layer.value), len(layer.value))
    return Layer(layer.value[again], layer.death[again])


def _interval(samples: Sequence[float]) -> dict[str, float]:
    there = np.array(samples)[~np.isnan(samples)]
    low, high = np.percentile(there, [2.5, 97.5]) if len(there) else (float("nan"),) * 2
    return {"low": float(low), "high": float(high)}
