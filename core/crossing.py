"""Units that a hand crosses out, in the network: where they fall silent, and zeros in their place.

A crossed unit says nothing: what is silenced is its output behind the norm that carries its scale, so that the norm's shift goes
too (the filter with its channel of the norm: Li et al., ICLR 2017, section 3.1). Of a conv group these are its filters, of a
block all outputs of its last layer: the skip path is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from core.crossed import KINDS, checked_against
from core.methods.freezing import filter_parts
from core.networks.describe import Structure, structures_of

Chosen = Mapping[str, Iterable[int]]


def crossable(network: nn.Module) -> list[Structure]:
    """The sites whose units can be crossed out, in forward order."""
    return [site for site in structures_of(network) if site.kind in KINDS]


def silenced(network: nn.Module, crossed: Chosen) -> dict[str, list[int]]:
    """Where the knife takes crossed units for zero (`core.structure.sites.maskable`): outputs of a norm, or of a layer without one."""
    out: dict[str, set[int]] = {}
    for site, outputs in _outputs(network, crossed):
        layer = network.get_submodule(site.layer)
        kind = "norm" if site.module != site.layer else "neuron" if isinstance(layer, nn.Linear) else "filter"
        out.setdefault(f"{site.module}/{kind}", set()).update(outputs)
    return {place: sorted(outputs) for place, outputs in out.items()}


@torch.no_grad()
def cross_out_(network: nn.Module, crossed: Chosen) -> dict[str, Tensor]:
    """Set crossed units to zero, in place: weight and bias of the layer, scale and shift of the norm behind.

    Returns, by parameter, where it must stay zero.
    """
    masks: dict[str, Tensor] = {}
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    for site, outputs in _outputs(network, crossed):
        for part in filter_parts(network, site.layer, site.module):
            part[outputs] = 0.0
            masks.setdefault(names[id(part)], torch.zeros_like(part, dtype=torch.bool))[outputs] = True
    return masks


def _outputs(network: nn.Module, crossed: Chosen) -> list[tuple[Structure, list[int]]]:
    """Every crossed site with the outputs of its layer that its crossed units are. BadInput where there is no such unit."""
    sites = {site.site: site for site in crossable(network)}
    found = []
    for name, units in checked_against(crossed, {s.site: s.total for s in sites.values()}).items():
        site = sites[name]
        per = int(network.get_submodule(site.layer).weight.shape[0]) // site.total  # type: ignore[index]
        found.append((site, [output for unit in units for output in range(unit * per, (unit + 1) * per)]))
    return found
