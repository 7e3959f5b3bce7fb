"""Sparse Structure Selection (Huang & Wang, ECCV 2018, arXiv 1707.01213).

Every filter (neuron) and every residual block carries a scaling factor, 1 at the start, without weight decay. An L1
penalty of strength gamma, taken as a proximal step inside Nesterov's momentum (equations 10-12, `proximal.apg_step_`),
drives factors to exact zero while SGD trains the weights from the same backward pass. A structure whose factor is zero
computes nothing and can be removed; it may still revive while training goes on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config import Phase
from core.methods.base import MethodRun
from core.networks.factors import KINDS, install
from core.proximal import apg_step_


class SparseStructureSelection(MethodRun):
    """Factors of the kinds that `phase.kinds` names and the network has; a strength for each kind."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        offered = {site.kind for site in self.sites}
        kinds = [kind for kind in phase.kinds if offered & set(KINDS[kind])]
        self.strengths = {kind: getattr(phase, f"strength_{kind}") for kind in kinds}
        factors = install(network, set(kinds)) if kinds else {}
        self.learned = [site for site in self.sites if site.site in factors]
        self.factors = [factors[site.site] for site in self.learned]
        self._velocity = [torch.zeros_like(factor) for factor in self.factors]
        self._members = {kind: [i for i, site in enumerate(self.learned) if site.kind in KINDS[kind]] for kind in kinds}

    def own_parameters(self) -> list[nn.Parameter]:
        """The factors."""
        return self.factors

    def after_step_(self, lr: float, strength: float) -> None:
        """One APG step on the factors of each kind, with that kind's strength, in place."""
        for kind, members in self._members.items():
            apg_step_(
                [self.factors[i] for i in members], [self._velocity[i] for i in members],
                lr, strength * self.strengths[kind], self.momentum,
            )  # fmt: skip
        for factor in self.factors:
            factor.grad = None

    def factors_by_site(self) -> dict[str, Tensor]:
        """The factors by site."""
        return {site.site: factor for site, factor in zip(self.learned, self.factors, strict=True)}

    def state_tensors(self) -> dict[str, Tensor]:
        """The momentum of every factor (the factors themselves are weights of the network)."""
        return {site.site: v for site, v in zip(self.learned, self._velocity, strict=True)}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore the momentum, in place."""
        for site, velocity in zip(self.learned, self._velocity, strict=True):
            velocity.copy_(tensors[site.site])
