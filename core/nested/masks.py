"""Nested masks on single weights: sparser ones inside denser ones (Kim et al., CVPR 2018, section 3.2).

M = tanh(gamma max(|W| - tau, 0)) with gamma 1e5 (equation 3). Masks are found from the lowest tau up, each from the weights that
the one before left: what falls does not come back. So one number a weight tells all masks: the search in which it fell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from core.nested.beside import Beside
from core.networks.describe import MASKS

GAMMA = 1e5
LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def implicit_mask(weight: Tensor, tau: float) -> Tensor:
    """tanh(gamma max(|W| - tau, 0)), shaped like `weight`, differentiable (equation 3)."""
    return torch.tanh(GAMMA * torch.relu(weight.abs() - tau))


def mask_slope(weight: Tensor, tau: float) -> Tensor:
    """d(W M)/dW of the implicit mask, M + W dM/dW, shaped like `weight`; 0 where M is 0."""
    mask = implicit_mask(weight, tau)
    return mask + weight.abs() * GAMMA * (1 - mask.square()) * (weight.abs() > tau)


def masked_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """What masks act on, by name: the weights of all convolutions and linear layers, each once."""
    layers = {path for path, module in network.named_modules() if isinstance(module, LAYERS)}
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if name.rpartition(".")[0] in layers and name.endswith(".weight")
    }


class Fallen(Beside):
    """By weight: the search in which it fell, from 1; 0: it did not (uint8). And `latent`: its value, also where it fell.

    `searches`: how many there were.
    """

    searches: Tensor

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = list(weights)
        self.masks: dict[tuple[str, int, int], tuple[tuple[object, ...], Tensor]] = {}
        self.register_buffer("searches", torch.zeros((), dtype=torch.uint8))
        for i, weight in enumerate(weights.values()):
            self.register_buffer(f"fell{i}", torch.zeros_like(weight, dtype=torch.uint8))
            self.register_buffer(f"latent{i}", weight.detach().clone())

    def fell(self, name: str) -> Tensor:
        """The search in which each weight of parameter `name` fell, 0 for none; uint8, its shape."""
        return cast(Tensor, getattr(self, f"fell{self.names.index(name)}"))

    def latent(self, name: str) -> Tensor:
        """The values of parameter `name`, also of what fell."""
        return cast(Tensor, getattr(self, f"latent{self.names.index(name)}"))

    def keep(self, name: str, level: int, levels: int) -> Tensor:
        """Bool: which weights of a parameter level `level` of `levels` has; the full level has all."""
        fell = self.fell(name)
        return (fell == 0) | (fell >= levels - level)

    def mask(self, name: str, level: int, levels: int, like: Tensor) -> Tensor:
        """`keep` as zeros and ones of the type of `like`; made once, until something falls."""
        fell = self.fell(name)
        state = (fell.data_ptr(), written(fell))
        kept = self.masks.get((name, level, levels))
        if kept is None or kept[0] != state or kept[1].dtype != like.dtype:
            with torch.inference_mode(False):
                kept = (state, self.keep(name, level, levels).to(like.dtype))
            self.masks[name, level, levels] = kept
        return kept[1]


def written(tensor: Tensor) -> object:
    """How often a tensor was written to; of one made under `torch.inference_mode`, which does not count, something new each time."""
    return object() if tensor.is_inference() else tensor._version


def fallen_of(network: nn.Module) -> Fallen:
    """What is known of the network's single weights, kept in it; begun where nothing is."""
    if not hasattr(network, MASKS):
        found = Fallen(masked_weights(network))
        network.add_module(MASKS, found.to(next(network.parameters()).device))
    return cast(Fallen, getattr(network, MASKS))


@torch.no_grad()
def threshold_for(sizes: Sequence[Tensor], kept: int) -> float:
    """The tau above which `kept` of all these sizes lie; -1, below any size, where all are kept."""
    flat = torch.cat([size.flatten() for size in sizes])
    if kept >= len(flat):
        return -1.0
    return float(flat.kthvalue(len(flat) - kept).values)


@torch.no_grad()
def fall_at_once(network: nn.Module, kept: Sequence[int], generator: torch.Generator | None) -> Fallen:
    """All searches at once, from the weights as they are: the largest stay, or, with a generator, drawn ones.

    `kept`: how many weights are left by each search, falling. What falls keeps its value in the network.
    """
    weights = masked_weights(network)
    found = fallen_of(network)
    device = found.searches.device
    if generator is None:
        order = torch.cat([w.detach().abs().flatten() for w in weights.values()]).argsort(descending=True, stable=True)
    else:
        order = torch.randperm(sum(w.numel() for w in weights.values()), generator=generator).to(device)
    fell = torch.zeros(len(order), dtype=torch.uint8, device=device)
    for search, count in enumerate(kept, 1):
        gone = order[count:]
        fell[gone[fell[gone] == 0]] = search
    for (name, weight), part in zip(weights.items(), fell.split([w.numel() for w in weights.values()]), strict=True):
        found.fell(name).copy_(part.view(weight.shape))
        found.latent(name).copy_(weight)
    found.searches.fill_(len(kept))
    return found
