"""What a structure-learning method is to the training loop.

The loop owns data, schedules and clocks; a method owns what it puts into the network, its optimizer groups, and what
it does to weights after a step. Everything hard (cutting, proving, counting) is below it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import cast

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


class MethodRun(ABC):
    """One method at work in one network, for one phase."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        self.phase = phase
        self.network = network
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.strengths: dict[str, float] = {}
        self.sites = self._structures()

    def _structures(self) -> list[Structure]:
        return list(self.network.structures())  # type: ignore[operator]

    def parameter_groups(self) -> list[dict[str, object]]:
        """Groups for SGD: weights with decay; norms, biases and everything one-dimensional without."""
        own = {id(p) for p in self.own_parameters()}
        rest = [p for p in self.network.parameters() if id(p) not in own]
        weights, vectors = [p for p in rest if p.ndim > 1], [p for p in rest if p.ndim <= 1]
        return [{"params": weights, "weight_decay": self.weight_decay}, {"params": vectors, "weight_decay": 0.0}]

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters that the method updates itself; SGD leaves them alone."""
        return []

    def after_step_(self, lr: float, strength: float) -> None:  # noqa: B027
        """Act on weights after SGD's step, in place; `strength` is the schedule's fraction of the full strengths."""

    @abstractmethod
    def survival(self) -> Survival:
        """What lives now, in the order of `sites`."""

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

    def layer_norms(self) -> np.ndarray:
        """The L2 norm of every unit's weights, sites one after another (of a block: of its last layer)."""
        rows = []
        for site in self.sites:
            weight = cast(Tensor, self.network.get_submodule(site.layer).weight).detach()
            norms = weight.flatten(1).norm(dim=1)
            rows.append(norms if site.total > 1 else norms.norm().reshape(1))
        return torch.cat(rows).float().cpu().numpy().copy() if rows else np.zeros(0, "f4")
