"""The certificate of a level: the network that leaves against the full one, silenced by hooks where the level has nothing."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from core.nested.alone import put_head_
from core.nested.levels import Nested
from core.nested.nesting import extract
from core.nested.ties import Masked
from core.structure.certificate import (
    Certificate,
    certificate_of,
    check_inputs,
    difference_of_scale,
    masked,
    outputs,
    worst,
)
from core.structure.trace import eval_mode


def verify_level(
    nested: Nested, level: int, inputs: list[Tensor], left: nn.Module | None = None, nothing_removed: bool | None = None
) -> Certificate:
    """Compare a level that leaves with the full network whose missing units are silenced and whose norms are the level's.

    `left`: the network that leaves (default: `extract(nested, level)`); `nothing_removed`: whether it has all units of the full one
    (default: whether the level has). The reference uses nothing of the graph engine. BadInput for no level.
    """
    check_inputs(inputs)
    left = extract(nested, level) if left is None else copy.deepcopy(left)
    judged = silenced(nested, level)
    sites = {} if level == nested.num_levels - 1 else nested.inner[level].plan.masked
    with masked(judged, sites), eval_mode(judged, left):
        float32 = worst(difference_of_scale(outputs(judged, x.float()), outputs(left, x.float())) for x in inputs)
        judged, left = judged.double(), left.double()
        pairs = [(outputs(judged, x.double()), outputs(left, x.double())) for x in inputs]
    nothing = not sites if nothing_removed is None else nothing_removed
    return certificate_of(pairs, inputs, nothing, float32, "masked" if sites else "unmodified")


@torch.no_grad()
def silenced(nested: Nested, level: int) -> nn.Module:
    """The full network, a copy, with the level's norms, last layer and zero weights in the place of its own."""
    judged = extract(nested, nested.num_levels - 1)
    if level == nested.num_levels - 1:
        return judged
    inner, left = nested.inner[level], extract(nested, level)
    for path, channels in inner.channels.items():
        wide, own = judged.get_submodule(path), left.get_submodule(path)
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(wide, name)[channels] = getattr(own, name)
    if inner.head is not None:
        put_head_(judged, inner.head, cast(nn.Linear, left.get_submodule(inner.head.path)))
    for tie in inner.ties.values():
        if isinstance(tie, Masked):
            weight = judged.get_parameter(tie.source)
            weight[~tie.held(weight).view(weight.shape)] = 0.0
    return judged
