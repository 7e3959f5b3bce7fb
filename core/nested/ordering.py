"""Learned nesting: the order in which levels take channels and blocks, by what structure learning found worth keeping."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from core.nested.beside import Beside
from core.networks.describe import Outline, without_levels
from core.structure.groups import coupled
from core.structure.importance import importances
from core.structure.planning import relative
from core.structure.provenance import provenance
from core.structure.trace import Example, trace

EFFECT = "effect"  # a filter's norm times |gamma| / sigma of the batch norm behind it


class Orders(Beside):
    """Units by site and blocks by stage, those that levels take first in front; in a network, for levels to be made again."""

    def __init__(self, units: Mapping[str, Tensor], blocks: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.sites, self.stages = list(units), list(blocks)
        for i, order in enumerate(units.values()):
            self.register_buffer(f"site{i}", order)
        for i, numbers in enumerate(blocks.values()):
            self.register_buffer(f"stage{i}", torch.tensor(numbers))

    def units(self) -> dict[str, Tensor]:
        """By site: its units (Long)."""
        return {site: cast(Tensor, getattr(self, f"site{i}")) for i, site in enumerate(self.sites)}

    def blocks(self) -> dict[str, list[int]]:
        """By stage: its blocks."""
        return {stage: cast(Tensor, getattr(self, f"stage{i}")).tolist() for i, stage in enumerate(self.stages)}


def learned_orders(network: nn.Module, example: Example, outline: Outline) -> Orders:
    """The order that the network's weights give."""
    plain = without_levels(copy.deepcopy(network)).cpu()
    return Orders(orders(plain, example), block_orders(plain, example, outline))


def orders(network: nn.Module, example: Example) -> dict[str, Tensor]:
    """By site: its units, the most effective first (Long). Units that meet in a sum are ranked as one.

    A unit counts with its filter's norm times |gamma| / sigma, over its layer's mean; what meets, with the mean of these.
    """
    flow = provenance(trace(network, example), {}, {})
    scores = relative(flow, EFFECT)
    of_group = {site: torch.zeros(len(score), dtype=torch.float64) for site, score in scores.items()}
    for group in coupled(flow):
        members = [(site, unit) for site, units in group.units.items() for unit in units if site in scores]
        mean = sum(float(scores[site][unit]) for site, unit in members) / max(1, len(members))
        for site, unit in members:
            of_group[site][unit] = mean
    return {site: score.argsort(descending=True, stable=True) for site, score in of_group.items()}


def block_orders(network: nn.Module, example: Example, outline: Outline) -> dict[str, list[int]]:
    """By stage: its blocks, those that change their input most first; blocks whose input does not go on unchanged before all.

    A block counts with the norm of its last layer's filters, each times |gamma| / sigma.
    """
    flow = provenance(trace(network, example), {}, {})
    effects = {site.rpartition("/")[0]: score for site, score in importances(flow, EFFECT).items()}
    out = {}
    for stage, blocks in outline.stages:
        weight = [float(effects[block.convs[-1]].norm()) if block.convs[-1] in effects else 0.0 for block in blocks]
        must = [block.skip != "identity" for block in blocks]
        out[stage] = sorted(range(len(blocks)), key=lambda i: (not must[i], -weight[i], i))
    return out
