"""How much a unit matters, by its weights: what a threshold or a target ranks units by."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.structure.layers import site_of, weight_by_input, weight_in
from core.structure.values import Flow, Op


def by_l1(weight: Tensor, scale: Tensor | None) -> Tensor:
    """Sum of absolute weights of a filter (Li et al., ICLR 2017)."""
    return weight.abs().sum((1, 2))


def by_l2(weight: Tensor, scale: Tensor | None) -> Tensor:
    """Euclidean norm of a filter (the group norm of Wen et al., 2016)."""
    return weight.square().sum((1, 2)).sqrt()


def by_scale(weight: Tensor, scale: Tensor | None) -> Tensor:
    """|gamma| of the batch norm behind the filter (Liu et al., ICCV 2017); without one, the l2 norm."""
    return by_l2(weight, None) if scale is None else scale.abs()


def by_effect(weight: Tensor, scale: Tensor | None) -> Tensor:
    """Euclidean norm of the filter as the norm behind it lets it through, |gamma| / sigma times its own."""
    return by_l2(weight, None) * (1 if scale is None else scale.abs())


IMPORTANCE: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "l1": by_l1,
    "l2": by_l2,
    "scale": by_scale,
    "effect": by_effect,
}


def importances(flow: Flow, name: str = "l1") -> dict[str, Tensor]:
    """float64[units] for each site, raw. BadInput for a name that is not in `IMPORTANCE`."""
    if name not in IMPORTANCE:
        raise BadInput(f"importance must be one of {', '.join(IMPORTANCE)}; got {name!r}")
    out: dict[str, Tensor] = {}
    for op in flow.ops:
        if op.kind == "layer" and op.module is not None:
            weight = weight_by_input(op.module, weight_in(op.module)).cpu().double()
            score = IMPORTANCE[name](weight, scale_behind(flow, op, name == "effect"))
            site = site_of(op.path, op.module)
            out[site] = torch.maximum(out[site], score) if site in out else score
    return out


def scale_behind(flow: Flow, op: Op, over_sigma: bool) -> Tensor | None:
    """gamma (over sigma, if asked) of the batch norm that alone reads a layer's result; None without one."""
    users = list(op.node.users)
    norm = next((o.module for o in flow.ops if len(users) == 1 and o.node is users[0] and o.kind == "norm"), None)
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.weight is None or norm.running_var is None:
        return None
    gamma = norm.weight.detach().cpu().double()
    return gamma / (norm.running_var.cpu().double() + norm.eps).sqrt() if over_sigma else gamma
