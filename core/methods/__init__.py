"""Structure learning, one method a file, all behind one small protocol (`base.MethodRun`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from core.methods.base import MethodRun
from core.methods.dense import Dense
from core.methods.masks import MaskSearch
from core.methods.nested import NestedNet
from core.methods.prune import Prune
from core.methods.slimming import NetworkSlimming
from core.methods.ssl import StructuredSparsityLearning, watched_sites
from core.methods.sss import SparseStructureSelection
from core.nested.knowledge import View
from core.networks.describe import Structure, structures_of
from core.phases import Phase

METHODS: dict[str, type[MethodRun]] = {
    "sss": SparseStructureSelection,
    "ssl": StructuredSparsityLearning,
    "slimming": NetworkSlimming,
    "l1": StructuredSparsityLearning,
    "prune": Prune,
    "masks": MaskSearch,
    "nested": NestedNet,
    "dense": Dense,
}


def start(
    phase: Phase,
    network: nn.Module,
    momentum: float,
    weight_decay: float,
    sites: list[Structure] | None = None,
    views: Sequence[View] = (),
    kept: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> MethodRun:
    """The method of `phase`, installed in `network` (in place: it may replace modules).

    `sites`: what it is to watch. `views`: what each level of a nested phase knows. `kept`: of a checkpoint that will be put back, the
    network's tensors by name. `seed`: of what the method draws (random masks, random pruning, the sandwich rule).
    """
    if phase.method == "nested":
        method: MethodRun = NestedNet(phase, network, momentum, weight_decay, views, kept, seed)
    elif phase.method == "prune":
        method = Prune(phase, network, momentum, weight_decay, seed)
    else:
        method = METHODS[phase.method](phase, network, momentum, weight_decay)
    if sites is not None:
        method.sites = sites
    return method


def all_sites(phases: Sequence[Phase], network: nn.Module) -> list[Structure]:
    """Every site that any of the phases learns, with those that the network always shows: one list for a whole run."""
    found: dict[str, Structure] = {site.site: site for site in structures_of(network)}
    for phase in phases:
        if METHODS[phase.method] is StructuredSparsityLearning:
            for site in watched_sites(phase, network):
                found.setdefault(site.site, site)
    return list(found.values())
