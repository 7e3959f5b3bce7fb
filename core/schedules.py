"""Curves over a phase: pure functions of progress in [0, 1)."""

from __future__ import annotations

import math

from core.config import Phase


def lr_at(phase: Phase, progress: float) -> float:
    """Learning rate at `progress` (fraction of the phase done)."""
    if phase.lr_schedule == "step":
        return phase.lr * 0.1 ** sum(progress >= drop for drop in phase.lr_drops)
    if phase.lr_schedule == "cosine":
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return phase.lr * (phase.lr_floor + (1 - phase.lr_floor) * cosine)
    return phase.lr


def strength_factor(phase: Phase, progress: float) -> float:
    """Fraction of the full strength at `progress`: 1, or linear from `phase.ramp_from` to 1 over `phase.ramp`."""
    if phase.strength_schedule == "constant":
        return 1.0
    return min(1.0, phase.ramp_from + (1 - phase.ramp_from) * progress / phase.ramp)
