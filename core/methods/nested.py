"""NestedNet's joint training (Kim et al., CVPR 2018, arXiv 1712.03781, equation 5): the mean of every level's loss.

The levels share weights; each has its own batch norms. Gradients of shared weights add up level by level, so that only one
level's activations are in memory; then one step of SGD. The regulariser acts on the full level's weights, which are all there are.
"""

from __future__ import annotations

import torch
from torch import nn

from core.methods.base import MethodRun
from core.nested import Schedule, nest
from core.networks.describe import input_shape_of, outline_of
from core.phases import Phase


class NestedNet(MethodRun):
    """The levels of the phase inside the network, which is the full one."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        outline = outline_of(network)
        first = outline.stem or outline.stages[0][1][0].convs
        whole = (first[0],) if phase.first_whole else ()
        schedules = [Schedule(level.width, level.depth, whole) for level in phase.levels[:-1]]
        like = next(network.parameters())
        self.nested = nest(network, torch.zeros(1, *input_shape_of(network)), schedules)
        for level in self.nested.inner:
            level.to(like.device)

    def levels(self) -> list[nn.Module]:
        """All levels, core first, each called like a network."""
        return [self.nested.at(level) for level in range(self.nested.num_levels)]
