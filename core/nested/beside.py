"""What a network keeps beside its layers, as modules, so that copies and checkpoints take it along."""

from __future__ import annotations

from torch import Tensor, nn


class Beside(nn.Module):
    """No layer: where a network calls all its modules in turn, as a Sequential does, it passes on what it gets."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Levels(Beside, nn.ModuleList):
    """The inner levels of a nested network, core first."""
