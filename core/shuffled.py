"""A shape drawn at random: as many dead structures in every layer as a network has, others than it chose (the random-mask control).

Filters and neurons trade places, with the norms behind them and the columns that read them, so that the knife leaves as much as
of the network itself; taps trade places inside each window, and the inputs of a linear layer that reads the image. What is a part
of a sum, a residual stream, keeps its place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.methods.freezing import LAYERS, frozen_masks
from core.networks.measure import example_of
from core.structure.joints import Beside, beside


@torch.no_grad()
def shuffle_shape_(network: nn.Module, like: nn.Module, seed: int) -> dict[str, Tensor]:
    """Set to zero in `network`, in place, as many structures of each layer as are zero in `like`, drawn from `seed`.

    Returns, by parameter, where it must stay zero.
    """
    masks = shuffled(like, torch.Generator().manual_seed(seed))
    for name, mask in masks.items():
        network.get_parameter(name).masked_fill_(mask, 0.0)
    return masks


def shuffled(like: nn.Module, draw: torch.Generator) -> dict[str, Tensor]:
    """The dead structures of `like` by parameter, True where dead, at other places."""
    masks = {name: mask.clone() for name, mask in frozen_masks(like, "structures").items()}
    around = beside(like, example_of(like))
    read = {name for near in around.values() for name in near.columns}
    for path, layer in like.named_modules():
        name = f"{path}.weight"
        if isinstance(layer, LAYERS) and name in masks:
            _shuffle_columns_(masks[name], draw, whole=name not in read and isinstance(layer, nn.Linear))
    for site, near in around.items():
        if near.columns:
            _shuffle_units_(like, masks, site.rpartition("/")[0], near, draw)
    for path, layer in like.named_modules():  # a filter that is dead leaves no constant behind
        name = f"{path}.weight"
        if isinstance(layer, LAYERS) and name in masks and layer.bias is not None:
            masks[f"{path}.bias"] = masks[name].flatten(1).all(1)
    return {name: mask for name, mask in masks.items() if mask.any()}


def _shuffle_columns_(mask: Tensor, draw: torch.Generator, whole: bool) -> None:
    """Taps of each input trade places, the same in every filter; `whole`: all inputs do, for they are the image's pixels."""
    columns = mask.flatten(2) if mask.ndim > 2 else mask.unsqueeze(2)  # (filters, inputs, taps)
    if whole:
        columns = columns.transpose(1, 2)
    order = torch.rand(columns.shape[1:], generator=draw).argsort(1).expand(len(columns), -1, -1)
    moved = columns.gather(2, order)
    mask.copy_((moved.transpose(1, 2) if whole else moved).reshape(mask.shape))


def _shuffle_units_(like: nn.Module, masks: dict[str, Tensor], path: str, near: Beside, draw: torch.Generator) -> None:
    """The units of a layer trade places, with the rows of their norms and the columns that read them."""
    total = len(like.get_parameter(f"{path}.weight"))
    order = torch.randperm(total, generator=draw)
    for name in (f"{path}.weight", *near.norms):
        if name in masks:
            masks[name] = masks[name][order]
    for name, (start, span) in near.columns.items():
        if name in masks:
            mask = masks[name]
            mask[:, start : start + total * span] = (
                mask[:, start : start + total * span].unflatten(1, (total, span))[:, order].flatten(1, 2)
            )
