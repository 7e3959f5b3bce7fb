"""What a structure-learning method is to the training loop.

The loop owns data, schedules and clocks; a method owns what it puts into the network, its optimizer groups, and what
it does to weights after a step. Everything hard (cutting, proving, counting) is below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from core.config import Phase
from core.networks.describe import Structure
from core.networks.factors import fold


@dataclass(frozen=True)
class Survival:
    """The value (factor or norm) and the alive flag of every unit, sites one after another; copies."""

    values: np.ndarray
    alive: np.ndarray


class MethodRun:
    """One method at work in one network, for one phase."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        self.phase = phase
        self.network = network
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.strengths: dict[str, float] = {}
        self.sites: list[Structure] = list(network.structures())  # type: ignore[operator]

    def parameter_groups(self) -> list[dict[str, object]]:
        """Groups for SGD: weights with decay; norms, biases and everything one-dimensional without."""
        own = {id(p) for p in self.own_parameters()}
        rest = [p for p in self.network.parameters() if id(p) not in own]
        weights, vectors = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim <= 1]
        return [{"params": weights, "weight_decay": self.weight_decay}, {"params": vectors, "weight_decay": 0.0}]

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters that the method updates itself; SGD leaves them alone."""
        return []

    def after_step_(self, lr: float, strength: float) -> None:
        """Act on weights after SGD's step, in place; `strength` is the schedule's fraction of the full strengths."""

    def factors_by_site(self) -> dict[str, Tensor]:
        """The factor of every site that this method learns; the others are only watched."""
        return {}

    @torch.no_grad()
    def survival(self) -> Survival:
        """What lives now, in the order of `sites`: every structure of the network, learned in this phase or not.

        A unit lives while what the network computes with it is not zero: its factor, or the affine vector or weights
        that make its output. A block is dead when its own factor is zero, or when a layer inside it has no filter left.
        """
        learned = self.factors_by_site()
        values, alive, where, start = [], [], {}, 0
        for site in self.sites:
            effective = _effective(self.network.get_submodule(site.module), site.total)
            shown = learned[site.site].detach() if site.site in learned else _norms(self.network, site)
            values.append(shown.float().cpu())
            alive.append((effective > 0).cpu())
            where[site.site] = slice(start, start + site.total)
            start += site.total
        if not values:
            return Survival(np.zeros(0, "f4"), np.zeros(0, "u1"))
        flags = torch.cat(alive).numpy().astype("u1")
        for block in (site.site.removesuffix("/block") for site in self.sites if site.kind == "block"):
            inside = [w for site, w in where.items() if site.startswith((f"{block}.", f"{block}/"))]
            if any(not flags[w].any() for w in inside):
                for w in inside:
                    flags[w] = 0
        return Survival(torch.cat(values).numpy().copy(), flags)

    def counts(self, survival: Survival) -> dict[str, int]:
        """Living units of every site."""
        counts, start = {}, 0
        for site in self.sites:
            counts[site.site] = int(survival.alive[start : start + site.total].sum())
            start += site.total
        return counts

    def folded(self) -> nn.Module:
        """A new network of plain torch modules that computes the same: what the knife cuts."""
        return fold(self.network)

    def state_tensors(self) -> dict[str, Tensor]:
        """The method's own state for a checkpoint."""
        return {}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_tensors`, in place."""
        if tensors:
            raise ValueError(
                f"{self.phase.method} keeps no state; got {sorted(tensors)}; the checkpoint is of another method"
            )


def _effective(module: nn.Module, total: int) -> Tensor:
    """(total,) The largest size of the numbers that make each unit's output, factors multiplied in; 0 where it is dead."""
    affine: Any = module.scaled() if hasattr(module, "scaled") else (module.weight, module.bias)  # type: ignore[operator]
    weight, bias = affine
    rows = weight.detach().flatten(1).abs().amax(dim=1) if weight.ndim > 1 else weight.detach().abs()
    if bias is not None:
        rows = torch.maximum(rows, bias.detach().abs())
    return rows if total > 1 else rows.amax().reshape(1)


def _norms(network: nn.Module, site: Structure) -> Tensor:
    """(total,) The L2 norm of each unit's weights; of a block, that of its last layer."""
    weight = cast(Tensor, network.get_submodule(site.layer).weight).detach()
    norms = weight.flatten(1).norm(dim=1)
    return norms if site.total > 1 else norms.norm().reshape(1)
