"""A teacher's soft targets (Hinton et al., 2015, arXiv 1503.02531): the control that nested training is compared with."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from core.phases import Phase


def with_soft_targets(loss: Tensor, logits: Tensor, teacher: Tensor, phase: Phase) -> Tensor:
    """(1 - a) loss + a T^2 KL(teacher at T || network at T), `a` the phase's soft_targets and T its temperature."""
    t, share = phase.temperature, phase.soft_targets
    soft = F.kl_div((logits / t).log_softmax(1), (teacher / t).log_softmax(1), log_target=True, reduction="batchmean")
    return (1 - share) * loss + share * t * t * soft
