"""Who contains whom: what every level has of every layer, and at which level each weight of the first layer comes in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.nested.levels import Nested, own_tensors
from core.nested.masks import masked_weights


def bands(nested: Nested) -> list[dict[str, Any]]:
    """By layer: `units` and `weights`, each {kept: of every level, core first; total}. A unit counts where any of its weights does.

    Layers with weights in the network's order; a last layer that some level has for itself is not among them.
    """
    held = [nested.held(level) for level in range(nested.num_levels)]
    weights = dict(nested.full.named_parameters())
    rows = []
    for name in shared_layers(nested):
        masks = [level[name].view(weights[name].shape[0], -1) for level in held]
        rows.append({
            "layer": name.removesuffix(".weight"), "kind": "linear" if weights[name].ndim == 2 else "conv",
            "units": {"kept": [int(mask.any(1).sum()) for mask in masks], "total": weights[name].shape[0]},
            "weights": {"kept": [int(mask.sum()) for mask in masks], "total": weights[name].numel()},
        })  # fmt: skip
    return rows


def shared_layers(nested: Nested) -> list[str]:
    """Names of the weights of all layers that no level has for itself."""
    own = set(own_tensors(nested.full)) - {f"{level.head.path}.weight" for level in nested.inner if level.head}
    return [name for name in masked_weights(nested.full) if name in own]


def first_held(nested: Nested, name: str) -> Tensor:
    """Of every weight of a parameter the first level that has it, int64, in the parameter's shape."""
    held = torch.stack([nested.held(level)[name] for level in range(nested.num_levels)])
    return held.int().argmax(0).view(dict(nested.full.named_parameters())[name].shape)
