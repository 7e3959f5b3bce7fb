"""Finding a mask for single weights: equation 2 of NestedNet (Kim et al., CVPR 2018, arXiv 1712.03781, section 3.2).

The network computes with W M, M from |W| and tau; where M is 0 output and gradient are, and the weight is no longer updated. So
the network holds W M, true zeros, and W itself is kept beside it. A search goes on from the weights that the one before it left.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from core.methods.base import MethodRun
from core.nested.masks import Fallen, fallen_of, implicit_mask, mask_slope, masked_weights, threshold_for
from core.networks.describe import MASKS
from core.networks.factors import fold
from core.phases import Phase


class MaskSearch(MethodRun):
    """One search: weights at or below tau in size fall, and stay away. tau is given, or found for a compression.

    A compression takes its tau from the weights at the beginning; `gradual`, in steps along that part of the phase. Behind the
    implicit mask more than that may fall: what comes to lie at or below tau.
    """

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        self.weights = masked_weights(network)
        self.found: Fallen = fallen_of(network)
        self.found.searches += 1
        self.tau = 0.0 if phase.tau is None else phase.tau
        self.progress = 0.0
        with torch.no_grad():
            for name, weight in self.weights.items():  # where nothing fell, the network's own
                latent = self.found.latent(name)
                latent.copy_(torch.where(self.found.fell(name) == 0, weight, latent))
        self.raise_(0.0)
        self.show_()

    def at_(self, progress: float) -> None:
        """Told before each step how much of the phase is done, 0-1."""
        if self.progress < self.phase.gradual:
            self.raise_(progress)
            self.show_()

    @torch.no_grad()
    def raise_(self, progress: float) -> None:
        """Where a compression is wanted, the tau of this moment; what lies at or below it falls.

        `gradual`: of what is to go from what stood when the search began, 1 - (1 - t)^3 is gone at t (Zhu & Gupta, arXiv 1710.01878).
        """
        self.progress = progress
        if self.phase.tau is None:
            t = min(1.0, progress / self.phase.gradual) if self.phase.gradual else 1.0
            fell = [self.found.fell(name) for name in self.weights]
            stood = sum(int(((f == 0) | (f == self.found.searches)).sum()) for f in fell)
            wanted = sum(f.numel() for f in fell) / self.phase.compression
            kept = round(stood + (wanted - stood) * (1 - (1 - t) ** 3))
            standing = [
                torch.where(self.found.fell(name) == 0, self.found.latent(name).abs(), -1.0) for name in self.weights
            ]
            self.tau = threshold_for(standing, kept)
        self.fall_()

    @torch.no_grad()
    def fall_(self) -> None:
        """Let fall what lies at or below tau."""
        for name in self.weights:
            fell = self.found.fell(name)
            fell[(fell == 0) & (self.found.latent(name).abs() <= self.tau)] = int(self.found.searches)

    @torch.no_grad()
    def show_(self) -> None:
        """The network's weights: W M."""
        for name, weight in self.weights.items():
            weight.copy_(self.mask(name) * self.found.latent(name))

    def mask(self, name: str) -> Tensor:
        """M of a parameter: 0 where it fell, elsewhere 1 or the implicit mask."""
        standing = self.found.fell(name) == 0
        if self.phase.mask_gradient == "detached":
            return standing.to(self.weights[name].dtype)
        return implicit_mask(self.found.latent(name), self.tau) * standing

    @torch.no_grad()
    def before_step_(self, lr: float, strength: float) -> None:
        """Gradients of W from those of W M; SGD then steps W."""
        for name, weight in self.weights.items():
            latent = self.found.latent(name)
            if weight.grad is not None:
                slope = (self.found.fell(name) == 0).to(weight.dtype)
                if self.phase.mask_gradient == "implicit":
                    slope = slope * mask_slope(latent, self.tau)
                weight.grad.mul_(slope)
            weight.copy_(latent)

    @torch.no_grad()
    def after_step_(self, lr: float, strength: float) -> None:
        """What fell stays as it was; more may fall where tau is given, or the mask depends on it."""
        super().after_step_(lr, strength)
        for name, weight in self.weights.items():
            latent = self.found.latent(name)
            latent.copy_(torch.where(self.found.fell(name) == 0, weight, latent))
        if self.phase.tau is not None or self.phase.mask_gradient == "implicit":
            self.fall_()
        self.show_()

    def finish_(self) -> None:
        """What is still to fall does; the mask is made binary, for use."""
        if self.progress < self.phase.gradual:
            self.raise_(1.0)
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(self.found.latent(name) * (self.found.fell(name) == 0))

    def folded(self) -> nn.Module:
        """The network with true zeros, and what is known of its weights."""
        plain = fold(self.network)
        plain.add_module(MASKS, copy.deepcopy(self.found))
        return plain

    def state_tensors(self) -> dict[str, Tensor]:
        """tau and progress; what fell is in the network."""
        return super().state_tensors() | {"tau": torch.tensor([self.tau, self.progress], dtype=torch.float64)}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_tensors`."""
        self.tau, self.progress = tensors["tau"].tolist()
        super().load_state_tensors({k: v for k, v in tensors.items() if k.startswith("frozen/")})
