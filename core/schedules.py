"""Curves over a phase: pure functions of progress in [0, 1)."""

from __future__ import annotations

import math

from core.config import Phase


def lr_at(phase: Phase, progress: float) -> float:
    """Learning rate at `progress` (fraction of the phase done); a warm-up rises linearly from a tenth of it."""
    rising = min(1.0, 0.1 + 0.9 * progress / phase.warmup) if phase.warmup else 1.0
    return rising * _scheduled(phase, progress)


def _scheduled(phase: Phase, progress: float) -> float:
    if phase.lr_schedule == "step":
        return phase.lr * 0.1 ** sum(progress >= drop for drop in phase.lr_drops)
    if phase.lr_schedule == "cosine":
        return phase.lr * (phase.lr_floor + (1 - phase.lr_floor) * _cosine(progress))
    if phase.lr_schedule == "one-cycle":  # Smith & Topin 2018: up over three tenths from 1/25, down to the floor
        rise = progress / 0.3
        if rise < 1:
            return phase.lr * (1 - 0.96 * _cosine(rise))
        return phase.lr * (phase.lr_floor + (1 - phase.lr_floor) * _cosine((progress - 0.3) / 0.7))
    return phase.lr


def _cosine(progress: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def strength_factor(phase: Phase, progress: float) -> float:
    """Fraction of the full strength at `progress`: 1, or from `phase.ramp_from` to 1 over `phase.ramp`."""
    if phase.strength_schedule == "constant":
        return 1.0
    done = min(1.0, progress / phase.ramp)
    if phase.strength_schedule == "geometric":
        return float(phase.ramp_from ** (1 - done))
    return phase.ramp_from + (1 - phase.ramp_from) * done
