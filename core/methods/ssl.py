"""Structured Sparsity Learning (Wen et al., NIPS 2016, arXiv 1608.03665), and l1 on single weights as its control.

A group lasso on filters, channels, filter shapes, 2-D filters and layers, any mixture, each with its own strength
(`core.lasso`). Solvers: `paper` adds the subgradient before momentum and cuts small weights after every step, so that
zeros may regrow; `proximal` takes the exact group threshold after the step, with lr lambda / (1 - mu) behind momentum.

Left out as in the paper: projection shortcuts; in residual networks the first convolution; for `layer` everything
outside residual branches. The class scores keep all their outputs, the image all its channels.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from torch import nn

from core import joint, lasso
from core.joint import JointGroups, Part
from core.methods.base import MethodRun
from core.networks.describe import Structure
from core.networks.measure import example_of
from core.networks.roles import Role, roles
from core.phases import Phase
from core.structure.joints import beside

DYKSTRA_PASSES = 5


class StructuredSparsityLearning(MethodRun):
    """A group lasso with the phase's kinds, strengths and multipliers."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        every = list(penalised(phase, network))
        self.joints = joined(phase, network, every) if phase.joint else []
        held = {g.site for g in self.joints}
        self.groups = [g for g in every if g.site not in held]
        present = {g.kind for g in every}
        self.strengths = {kind: phase.strength(kind) for kind in phase.kinds if kind in present}
        known = {site.site for site in self.sites}
        self.sites += [site for site in watched_sites(phase, network) if site.site not in known]

    def before_step_(self, lr: float, strength: float) -> None:
        """The paper's solver: the penalty's subgradient joins the loss's, before momentum."""
        if self.phase.own_solver == "paper":
            lasso.add_subgradient_(self.groups, self._now(strength))
            joint.add_subgradient_(self.joints, self._now(strength))

    def after_step_(self, lr: float, strength: float) -> None:
        """The paper's solver cuts small weights wherever they are; the proximal one thresholds groups."""
        if self.phase.own_solver == "paper":
            lasso.cut_small_(self.network.parameters(), self.phase.cut_below)
        else:
            step = lr / (1 - self.momentum)
            lasso.threshold_(
                self.groups, self._now(strength), step, splitting=self.phase.splitting, passes=DYKSTRA_PASSES
            )
            joint.threshold_(self.joints, self._now(strength), step)
        super().after_step_(lr, strength)

    def _now(self, strength: float) -> dict[str, float]:
        return {kind: strength * full for kind, full in self.strengths.items()}


def penalised(phase: Phase, network: nn.Module) -> Iterator[lasso.Groups]:
    """The groups that the phase penalises, layer by layer, multipliers in them."""
    known = roles(network)
    residual = any(role.branch for role in known.values())
    for path, role in known.items():
        layer = network.get_submodule(path)
        for kind in phase.kinds:
            if not offered(kind, role, layer, phase.kinds, residual):
                continue
            groups = lasso.groups_of(path, layer, kind)
            if groups is None:
                continue
            factor = multiplier(phase.multipliers, path, groups.site)
            factor *= groups.size**0.5 if phase.size_weights else 1.0
            if factor:
                yield lasso.groups_of(path, layer, kind, factor) or groups


def joined(phase: Phase, network: nn.Module, every: list[lasso.Groups]) -> list[JointGroups]:
    """The groups of filters and layers that hold more than their own weights, as `phase.joint` says."""
    around = beside(network, example_of(network))
    found = []
    for g in (g for g in every if g.kind in ("filter", "layer")):
        path = g.site.rpartition("/")[0]
        layer = network.get_submodule(path)
        near = around.get(f"{path}/{'neuron' if isinstance(layer, nn.Linear) else 'filter'}")
        names = list(near.norms) if near is not None and "norms" in phase.joint else []
        if layer.bias is not None:
            names.insert(0, f"{path}.bias")
        parts = [Part(network.get_parameter(name)) for name in (f"{path}.weight", *names)]
        if near is not None and "readers" in phase.joint and g.kind == "filter":
            parts += [Part(network.get_parameter(name), 1, *columns) for name, columns in near.columns.items()]
        if len(parts) > 1:
            groups = JointGroups(g.site, g.kind, g.total, tuple(parts))
            size = (groups.size / g.size) ** 0.5 if phase.size_weights else 1.0
            found.append(JointGroups(g.site, g.kind, g.total, tuple(parts), g.multiplier * size))
    return found


def offered(kind: str, role: Role, layer: nn.Module, kinds: tuple[str, ...], residual: bool) -> bool:
    """Whether a layer of this role may be penalised by groups of this kind."""
    if kind == "weight":
        return True
    if role.shortcut or (role.first and residual):
        return False
    if kind == "filter":
        return not role.scores
    if kind == "layer":
        return role.branch
    linear = isinstance(layer, nn.Linear)
    if kind == "channel":
        return linear or not role.first
    if kind == "shape" and linear:
        return "channel" not in kinds  # a column of a linear layer is an input either way
    return True


def multiplier(patterns: dict[str, float], path: str, site: str) -> float:
    """The multiplier of a layer or site; the last pattern that fits holds."""
    found = 1.0
    for pattern, value in patterns.items():
        if fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(site, pattern):
            found = value
    return found


def watched_sites(phase: Phase, network: nn.Module) -> list[Structure]:
    """What the phase penalises as sites to watch; single weights are no structure."""
    found = []
    for groups in penalised(phase, network):
        path, _, kind = groups.site.rpartition("/")
        if groups.kind != "weight":
            found.append(Structure(groups.site, kind, path, groups.total, path))  # type: ignore[arg-type]
    return found
