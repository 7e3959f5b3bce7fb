"""Structure learning, one method a file, all behind one small protocol (`base.MethodRun`)."""

from __future__ import annotations

from torch import nn

from core.config import Phase
from core.methods.base import MethodRun
from core.methods.dense import Dense
from core.methods.sss import SparseStructureSelection

METHODS: dict[str, type[MethodRun]] = {"sss": SparseStructureSelection, "dense": Dense}


def start(phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> MethodRun:
    """The method of `phase`, installed in `network` (in place: it may replace modules)."""
    return METHODS[phase.method](phase, network, momentum, weight_decay)
