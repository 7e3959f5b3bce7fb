"""Sparse Structure Selection (Huang & Wang, ECCV 2018, arXiv 1707.01213).

Every filter (neuron) and every residual block carries a scaling factor, 1 at the start, without weight decay. An L1
penalty of strength gamma, taken as a proximal step inside Nesterov's momentum (equations 10-12, `proximal.apg_step_`),
drives factors to exact zero while SGD trains the weights from the same backward pass. A structure whose factor is zero
computes nothing and can be removed; it may still revive while training goes on. Other solvers by name: standard APG (a
second pass at a point ahead), ISTA (no momentum), and the subgradient with a threshold at the end, as network slimming has it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.methods.base import MethodRun
from core.networks.factors import KINDS, install
from core.phases import Phase
from core.proximal import apg_step_, ista_step_, look_ahead, standard_apg_step_, subgradient_step_


class SparseStructureSelection(MethodRun):
    """Factors of the kinds that `phase.kinds` names and the network has; a strength for each kind."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        offered = {site.kind for site in self.sites}
        kinds = [kind for kind in phase.kinds if offered & set(KINDS[kind])]
        self.strengths = {kind: getattr(phase, f"strength_{kind}") for kind in kinds}
        factors = install(network, set(kinds)) if kinds else {}
        self.learned = [site for site in self.sites if site.site in factors]
        self.factors: list[Tensor] = [factors[site.site] for site in self.learned]
        self._velocity = [torch.zeros_like(factor) for factor in self.factors]
        self._before = [factor.detach().clone() for factor in self.factors]
        self.steps = 0
        self.ahead: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self._members = {kind: [i for i, site in enumerate(self.learned) if site.kind in KINDS[kind]] for kind in kinds}

    def own_parameters(self) -> list[Tensor]:
        """The factors."""
        return self.factors

    @property
    def solver(self) -> str:
        """The solver by name: modified-apg (the paper's), apg, ista or subgradient."""
        return self.phase.own_solver

    def gradient_elsewhere_(self, backward: Callable[[], None]) -> None:
        """Standard APG needs the gradient at d, ahead of the factors: a second pass, which the modified form saves."""
        if self.solver == "apg" and self.factors:
            step = self.steps + 1
            self.ahead = look_ahead(self.factors, self._before, step)
            now = [factor.detach().clone() for factor in self.factors]
            with torch.no_grad():
                torch._foreach_copy_(self.factors, self.ahead)
            backward()
            self.gradients = [f.grad.clone() if f.grad is not None else torch.zeros_like(f) for f in self.factors]
            with torch.no_grad():
                torch._foreach_copy_(self.factors, now)

    def after_step_(self, lr: float, strength: float) -> None:
        """One step of the solver on the factors of each kind, with that kind's strength, in place."""
        self.steps += 1
        for kind, members in self._members.items():
            factors, gamma = [self.factors[i] for i in members], strength * self.strengths[kind]
            if self.solver == "modified-apg":
                apg_step_(factors, [self._velocity[i] for i in members], lr, gamma, self.momentum)
            elif self.solver == "apg":
                ahead, gradients = ([part[i] for i in members] for part in (self.ahead, self.gradients))
                standard_apg_step_(factors, [self._before[i] for i in members], ahead, gradients, lr, gamma)
            elif self.solver == "ista":
                ista_step_(factors, lr, gamma)
            else:
                subgradient_step_(factors, [self._velocity[i] for i in members], lr, gamma, self.momentum)
        for factor in self.factors:
            factor.grad = None
        super().after_step_(lr, strength)

    @torch.no_grad()
    def finish_(self) -> None:
        """Only the subgradient needs a cut at the end: its factors hover around zero and never stay there."""
        if self.solver == "subgradient":
            for factor in self.factors:
                factor.masked_fill_(factor.abs() <= self.phase.slim_below, 0.0)

    def factors_by_site(self) -> dict[str, Tensor]:
        """The factors by site."""
        return {site.site: factor for site, factor in zip(self.learned, self.factors, strict=True)}

    def state_tensors(self) -> dict[str, Tensor]:
        """The momentum of every factor, and its value before the last step; the factors are weights of the network."""
        own = {site.site: v for site, v in zip(self.learned, self._velocity, strict=True)}
        if self.solver == "apg":
            own |= {f"before/{site.site}": v for site, v in zip(self.learned, self._before, strict=True)}
            own["steps"] = torch.tensor(self.steps)
        return super().state_tensors() | own

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_tensors`, in place."""
        super().load_state_tensors({k: v for k, v in tensors.items() if k.startswith("frozen/")})
        for site, velocity, before in zip(self.learned, self._velocity, self._before, strict=True):
            velocity.copy_(tensors[site.site])
            before.copy_(tensors.get(f"before/{site.site}", before))
        self.steps = int(tensors.get("steps", torch.tensor(0)))
