"""Pruning by size, as a control: the smallest filters of each layer (Li et al., ICLR 2017), or the smallest weights of all.

At once, or gradually over a part of the phase along the cubic curve of Zhu & Gupta (arXiv 1710.01878): of what is to go,
1 - (1 - t)^3 is gone at t. What is gone stays gone. With the ranking `random` the same number goes, drawn from the seed.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from core.methods.base import MethodRun
from core.methods.freezing import filter_parts
from core.phases import Phase

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


class Prune(MethodRun):
    """Masks of filters (each layer keeps the fraction `keep`) or of weights (the whole network does)."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float, seed: int = 0) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        self.draw = torch.Generator().manual_seed(seed)
        self.filters = [s for s in self.sites if s.kind in ("filter", "neuron")] if "filter" in phase.kinds else []
        self.gone = {site.site: torch.zeros(site.total, dtype=torch.bool) for site in self.filters}
        self.chance = {site.site: torch.rand(site.total, generator=self.draw) for site in self.filters}
        self.weights = (
            {name: m.weight for name, m in network.named_modules() if isinstance(m, LAYERS)}
            if "weight" in phase.kinds
            else {}
        )
        self.masks = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in self.weights.items()}
        self.progress = 0.0
        self.prune_(0.0)

    def at_(self, progress: float) -> None:
        """Told before each step how much of the phase is done, 0-1."""
        if self.phase.gradual and self.progress < self.phase.gradual:
            self.prune_(progress)

    @torch.no_grad()
    def prune_(self, progress: float) -> None:
        """Let go what must be gone at `progress`."""
        self.progress = progress
        t = min(1.0, progress / self.phase.gradual) if self.phase.gradual else 1.0
        share = (1 - self.phase.keep) * (1 - (1 - t) ** 3)
        for site in self.filters:
            wanted = min(site.total - 1, round(share * site.total))
            gone = self.gone[site.site]
            if wanted > int(gone.sum()):
                score = self._score_filters(site.layer) if self.phase.ranking != "random" else self.chance[site.site]
                gone[score.masked_fill(gone, -1.0).argsort(stable=True)[:wanted]] = True
        total = sum(mask.numel() for mask in self.masks.values())
        wanted = round(share * total)
        if wanted > sum(int(mask.sum()) for mask in self.masks.values()):
            self._prune_weights(wanted)
        self.hold_()

    def _score_filters(self, path: str) -> Tensor:
        weight = cast(Tensor, self.network.get_submodule(path).weight).detach().cpu().flatten(1)
        return weight.abs().sum(1) if self.phase.ranking == "l1" else weight.norm(dim=1)

    def _prune_weights(self, wanted: int) -> None:
        scores = [
            torch.rand(w.shape, generator=self.draw) if self.phase.ranking == "random" else w.detach().abs().cpu()
            for w in self.weights.values()
        ]
        flat = torch.cat([
            score.masked_fill(mask.cpu(), -1.0).flatten() for score, mask in zip(scores, self.masks.values(), strict=True)
        ])  # fmt: skip
        gone = torch.zeros(len(flat), dtype=torch.bool)
        gone[flat.argsort(stable=True)[:wanted]] = True
        for (name, mask), part in zip(
            self.masks.items(), gone.split([m.numel() for m in self.masks.values()]), strict=True
        ):
            self.masks[name] = part.view(mask.shape).to(mask.device)

    @torch.no_grad()
    def hold_(self) -> None:
        """What is gone is zero, whatever the optimizer did."""
        for site in self.filters:
            gone = self.gone[site.site]
            if gone.any():
                for part in filter_parts(self.network, site.layer, site.module):
                    part[gone.to(part.device)] = 0.0
        for name, mask in self.masks.items():
            self.weights[name].masked_fill_(mask, 0.0)

    def after_step_(self, lr: float, strength: float) -> None:
        """Keep zero what is gone."""
        super().after_step_(lr, strength)
        self.hold_()

    def state_tensors(self) -> dict[str, Tensor]:
        """What is gone, and the random numbers' state."""
        masks = {f"filters/{site}": gone.to(torch.uint8) for site, gone in self.gone.items()}
        masks |= {f"weights/{name}": mask.to(torch.uint8) for name, mask in self.masks.items()}
        return (
            super().state_tensors() | masks | {"draw": self.draw.get_state(), "progress": torch.tensor(self.progress)}
        )

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_tensors`."""
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            if part == "filters":
                self.gone[rest] = tensor.bool()
            elif part == "weights":
                self.masks[rest] = tensor.bool().to(self.masks[rest].device)
        self.draw.set_state(tensors["draw"])
        self.progress = float(tensors["progress"])
        super().load_state_tensors({k: v for k, v in tensors.items() if k.startswith("frozen/")})
