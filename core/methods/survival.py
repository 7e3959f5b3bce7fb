"""What lives in a network now: the value, the effective norm and the alive flag of every unit of every site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from core import lasso
from core.networks.describe import Structure

OUTPUTS = ("filter", "neuron", "group", "block")  # units that are a layer's outputs, all of them or some


@dataclass(frozen=True)
class Survival:
    """Of every unit, sites one after another: value (factor or norm), effective norm, alive flag; copies.

    The effective norm of an output is that of its weights x |scale| / sigma of the norm behind it (scaling factors in the
    scale): what reaches the next layer. Where no norm follows it is the norm of the weights, factors multiplied in.
    """

    values: np.ndarray
    effective: np.ndarray
    alive: np.ndarray


@torch.no_grad()
def survival(network: nn.Module, sites: Sequence[Structure], values: Mapping[str, Tensor]) -> Survival:
    """What lives, in the order of `sites`; `values`: by site, what is shown instead of the norm (a scaling factor).

    An output lives while its weights, and scale or shift of the norm behind it, are not all zero. A block is dead when
    its own factor is zero, or when a layer inside it has no filter left.
    """
    rows = [look(network, site, values.get(site.site)) for site in sites]
    if not rows:
        return Survival(np.zeros(0, "f4"), np.zeros(0, "f4"), np.zeros(0, "u1"))
    shown, effective = (torch.cat([row[i].float().cpu() for row in rows]).numpy().copy() for i in (0, 1))
    alive = torch.cat([row[2].cpu() for row in rows]).numpy().astype("u1")
    bury(sites, alive)
    return Survival(shown, effective, alive)


def look(network: nn.Module, site: Structure, shown: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(value, effective norm, alive) of the units of a site, each (total,)."""
    layer, module = network.get_submodule(site.layer), network.get_submodule(site.module)
    if site.kind not in OUTPUTS:
        groups = lasso.groups_of(site.layer, layer, site.kind)
        assert groups is not None
        norms = groups.norms().flatten()
        return norms, norms, norms > 0
    norms = merged(cast(Tensor, layer.weight).detach().flatten(1).norm(dim=1), site.total, torch.linalg.vector_norm)
    affine: Any = module.scaled() if hasattr(module, "scaled") else (module.weight, module.bias)  # type: ignore[operator]
    weight, bias = affine[0].detach(), None if affine[1] is None else affine[1].detach()
    if module is layer:
        own = merged(weight.flatten(1).norm(dim=1), site.total, torch.linalg.vector_norm)
        size = own if bias is None else torch.maximum(own, merged(bias.abs(), site.total, torch.amax))
        return (norms if shown is None else shown.detach()), own, size > 0 if shown is not None else own > 0
    sigma = (cast(Tensor, module.running_var) + cast(float, module.eps)).sqrt()
    passed = cast(Tensor, layer.weight).detach().flatten(1).norm(dim=1) * weight.abs() / sigma
    vectors = weight.abs() if bias is None else torch.maximum(weight.abs(), bias.abs())
    alive = (merged(vectors, site.total, torch.amax) > 0) & (norms > 0)
    return (norms if shown is None else shown.detach()), merged(passed, site.total, torch.linalg.vector_norm), alive


def merged(rows: Tensor, total: int, reduce: Any) -> Tensor:
    """(total,) of one number a filter: of a conv group or a block, those of its filters reduced to one."""
    return rows if total == len(rows) else reduce(rows.view(total, -1), dim=1)


def bury(sites: Sequence[Structure], alive: np.ndarray) -> None:
    """Everything inside a dead block is dead, in place."""
    where, start = {}, 0
    for site in sites:
        where[site.site] = slice(start, start + site.total)
        start += site.total
    for block in (site.site.removesuffix("/block") for site in sites if site.kind == "block"):
        inside = [w for site, w in where.items() if site.startswith((f"{block}.", f"{block}/"))]
        if any(not alive[w].any() for w in inside):
            for w in inside:
                alive[w] = 0
