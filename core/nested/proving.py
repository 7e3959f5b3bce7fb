"""The certificate of a level: the network that leaves against the full one, silenced by hooks where the level has nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.nested.levels import Nested, extract
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


def verify_level(nested: Nested, level: int, inputs: list[Tensor]) -> Certificate:
    """Compare `extract(nested, level)` with the full network whose missing units are silenced and whose norms are the level's.

    The reference uses nothing of the graph engine. The full level removes nothing, and says so. BadInput for no level.
    """
    check_inputs(inputs)
    left = extract(nested, level)
    judged = silenced(nested, level)
    sites = {} if level == nested.num_levels - 1 else nested.inner[level].plan.masked
    with masked(judged, sites), eval_mode(judged, left):
        float32 = worst(difference_of_scale(outputs(judged, x.float()), outputs(left, x.float())) for x in inputs)
        judged, left = judged.double(), left.double()
        pairs = [(outputs(judged, x.double()), outputs(left, x.double())) for x in inputs]
    return certificate_of(pairs, inputs, not sites, float32, "masked" if sites else "unmodified")


@torch.no_grad()
def silenced(nested: Nested, level: int) -> nn.Module:
    """The full network, a copy, with the level's own norms in its place of the full width."""
    judged = extract(nested, nested.num_levels - 1)
    if level < nested.num_levels - 1:
        inner = nested.inner[level]
        for path, channels in inner.channels.items():
            wide, own = judged.get_submodule(path), inner.network.get_submodule(path)
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(wide, name)[channels] = getattr(own, name)
    return judged
