"""What training minimises: cross-entropy, and a teacher's soft targets (Hinton et al., 2015, arXiv 1503.02531) where there is one."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import RunConfig
from core.phases import Phase


class Objective:
    """The loss of a network on a batch, at the run's precision. `teacher`: whose soft targets the phase takes."""

    def __init__(self, config: RunConfig, phase: Phase, teacher: nn.Module | None) -> None:
        self.config, self.phase, self.teacher = config, phase, teacher

    def __call__(self, network: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(Class scores (N, classes) as float32, mean loss)."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            logits = network(images).float()
            loss = F.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
            if self.teacher is not None:
                with torch.no_grad():
                    told = self.teacher(images).float()
                loss = with_soft_targets(loss, logits, told, self.phase)
            return logits, loss

    def gradient_(self, network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
        """A pass that leaves gradients only on what the optimizer does not train; the norms' statistics stay as they were."""
        kept = [buffer.clone() for buffer in network.buffers()]
        self(network, images, labels)[1].backward()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in zip(network.buffers(), kept, strict=True):
                buffer.copy_(before)


def with_soft_targets(loss: Tensor, logits: Tensor, teacher: Tensor, phase: Phase) -> Tensor:
    """(1 - a) loss + a T^2 KL(teacher at T || network at T), `a` the phase's soft_targets and T its temperature."""
    t, share = phase.temperature, phase.soft_targets
    soft = F.kl_div((logits / t).log_softmax(1), (teacher / t).log_softmax(1), log_target=True, reduction="batchmean")
    return (1 - share) * loss + share * t * t * soft
