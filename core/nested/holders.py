"""Each weight at the pace of a network of its own: the mean of the losses of the levels that have it, not of all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from core.nested.levels import Nested

Factors = list[tuple[Tensor, Tensor | float]]


@torch.no_grad()
def holders(nested: Nested, weights: Mapping[int, float]) -> Factors:
    """By what to multiply the gradient of the weighted mean of the losses of these levels (Kim et al., CVPR 2018, equation 5).

    `weights`: of the levels that a step trains, the full one among them. A weight that only some of them have then has the gradient of the
    weighted mean of theirs: for one level alone, that of its own loss. Factors are positive, so that where no gradient is left nothing
    changes. Returns (parameter, factor or a tensor of factors in its shape).
    """
    total, full = sum(weights.values()), nested.num_levels - 1
    held = {level: nested.held(level) for level in weights}
    found: Factors = []
    for k in weights.keys() - {full}:
        found += [(own, total / weights[k]) for own in nested.inner[k].parameters()]
    inner = {id(own) for level in nested.inner for own in level.parameters()}
    for name, parameter in nested.full.named_parameters():
        if id(parameter) in inner:
            continue
        if name not in held[full]:
            found.append((parameter, total / weights[full]))
            continue
        had = torch.stack([weight * held[level][name] for level, weight in weights.items()]).sum(0)
        found.append((parameter, torch.empty_like(parameter).copy_((total / had).view(parameter.shape))))
    return found
