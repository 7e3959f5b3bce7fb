"""Network slimming (Liu et al., ICCV 2017, arXiv 1708.06519): L1 on the scales of the batch norms, by subgradient.

The penalty's sign joins the gradient of every scale behind a filter; at the end of the phase, filters whose scale is at
most `slim_below` go, with the norm's shift. The difference to Sparse Structure Selection is the solver: nothing is exactly
zero before that cut.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.methods.base import MethodRun
from core.phases import Phase


class NetworkSlimming(MethodRun):
    """The scales of all norms behind filter sites."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        sites = [site for site in self.sites if site.kind == "filter"]
        modules = [network.get_submodule(site.module) for site in sites]
        self.norms = [m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.weight is not None]
        self.learned = [s for s, m in zip(sites, modules, strict=True) if m in self.norms]
        self.strengths = {"filter": phase.strength("filter")} if self.norms else {}

    @torch.no_grad()
    def before_step_(self, lr: float, strength: float) -> None:
        """Add the subgradient of the L1 norm to the scales' gradients."""
        scales: list[Tensor] = [norm.weight for norm in self.norms]
        gradients = [scale.grad for scale in scales if scale.grad is not None]
        if gradients and len(gradients) == len(scales):
            torch._foreach_add_(gradients, torch._foreach_sign(scales), alpha=strength * self.strengths["filter"])

    def factors_by_site(self) -> dict[str, Tensor]:
        """The scales by site."""
        return {site.site: norm.weight.abs() for site, norm in zip(self.learned, self.norms, strict=True)}

    @torch.no_grad()
    def finish_(self) -> None:
        """Cut: small scales become zero, with their shifts."""
        for norm in self.norms:
            small = norm.weight.abs() <= self.phase.slim_below
            norm.weight[small], norm.bias[small] = 0.0, 0.0
