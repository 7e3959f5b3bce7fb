"""How far two orders of the same things agree: Spearman's rank correlation (1904) and the area under the ROC curve."""

from __future__ import annotations

import numpy as np


def ranks(values: np.ndarray) -> np.ndarray:
    """1 for the smallest; things of one value share the mean of their ranks. float64, (n,)."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return ((2 * last - counts + 1) / 2)[which]


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of the ranks, -1 to 1; NaN where one of them says the same of all, or fewer than three are there."""
    if len(a) < 3:
        return float("nan")
    centred = [r - r.mean() for r in (ranks(a), ranks(b))]
    size = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / size) if size else float("nan")


def auc(values: np.ndarray, kept: np.ndarray) -> float:
    """The chance that one of the kept (bool) has a larger value than one of the lost, ties a half (Mann and Whitney, 1947).

    NaN where all were kept, or all lost.
    """
    several, others = int(kept.sum()), int((~kept).sum())
    if not several or not others:
        return float("nan")
    return float((ranks(values)[kept].sum() - several * (several + 1) / 2) / (several * others))
