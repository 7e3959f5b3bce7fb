"""How alike filters are: normalised mutual information within and between levels (Kim et al., CVPR 2018, section 4).

The paper prints 0.38 within a level and 0.08 between levels for the 7 x 7 first convolution of a ResNet-56, and no estimator. Here
the values of a filter are put into three bins of equal size (low, middle, high), and two filters of P values compared by place:
NMI = I / sqrt(H H'), I and the entropies from the counts. Few values make it too large by chance: `chance` says by how much.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 3
SHUFFLES = 20


def quantised(filters: Tensor, bins: int = BINS) -> Tensor:
    """Bins 0 to bins - 1 of the values (N, P) of each filter, as many values in each as can be; equal values by their place."""
    ranks = filters.argsort(dim=1, stable=True).argsort(dim=1)
    return ranks * bins // filters.shape[1]


def normalised_mutual_information(labels: Tensor, others: Tensor) -> Tensor:
    """NMI of every row of `labels` (N, P) with every row of `others` (M, P), whole numbers from 0: (N, M), float64, 0-1.

    0 where a row has one label only.
    """
    bins = int(max(labels.max(), others.max())) + 1
    one, two = (F.one_hot(rows, bins).double() for rows in (labels, others))  # (N, P, bins), (M, P, bins)
    joint = torch.einsum("npa,mpb->nmab", one, two) / labels.shape[1]
    alone = one.mean(1)[:, None, :, None] * two.mean(1)[None, :, None, :]
    shared = (torch.xlogy(joint, joint) - torch.xlogy(joint, alone)).sum((2, 3))
    entropies = [-torch.xlogy(share, share).sum(1) for share in (one.mean(1), two.mean(1))]
    size = (entropies[0][:, None] * entropies[1][None, :]).sqrt()
    return torch.where(size > 0, shared / size.clamp_min(1e-300), 0.0)


def alikeness(filters: Tensor, level: Tensor, seed: int = 0) -> dict[str, Any]:
    """NMI over all pairs of filters (N, P) that come in at the same level, or at different ones (`level`, N whole numbers).

    {within, between: {mean, std, pairs} or null without pairs, chance: the mean over pairs of shuffled filters, bins}.
    """
    labels = quantised(filters.double())
    found = normalised_mutual_information(labels, labels)
    pair = torch.ones_like(found, dtype=torch.bool).triu(1)
    same = level[:, None] == level[None, :]
    draw = torch.Generator().manual_seed(seed)
    shuffled = [labels[:, torch.randperm(labels.shape[1], generator=draw)] for _ in range(SHUFFLES)]
    chance = [normalised_mutual_information(labels, other).mean() for other in shuffled]
    return {
        "within": _summary(found[pair & same]), "between": _summary(found[pair & ~same]),
        "chance": float(torch.stack(chance).mean()), "bins": BINS, "values": filters.shape[1],
    }  # fmt: skip


def _summary(values: Tensor) -> dict[str, float] | None:
    """Mean, standard deviation and number; None of nothing."""
    if not len(values):
        return None
    return {"mean": float(values.mean()), "std": float(values.std(unbiased=False)), "pairs": len(values)}
