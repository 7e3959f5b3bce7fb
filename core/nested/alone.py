"""One level and nothing else: the control of a nested level. The full network holds it, with zeros where the level has nothing.

And what levels take over from a full network that was trained before.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from core.nested.levels import Nested, OwnHead, home_of
from core.nested.nesting import NORMS, STATISTICS


@torch.no_grad()
def keep_only_(nested: Nested, level: int) -> None:
    """Zeros in the full network wherever a level has nothing, in place: weights, and scale and shift of norms."""
    if level == nested.num_levels - 1:
        return
    held, inner = nested.held(level), nested.inner[level]
    for name, parameter in nested.full.named_parameters():
        if name in held:
            parameter[~held[name].view(parameter.shape).to(parameter.device)] = 0.0
    for path, norm in own_norms(nested):
        channels = inner.channels.get(path)
        gone = torch.ones(norm.num_features, dtype=torch.bool)
        if channels is not None:
            gone[channels] = False
        for name in ("weight", "bias"):
            getattr(norm, name)[gone.to(norm.weight.device)] = 0.0


@torch.no_grad()
def settle_(nested: Nested, level: int) -> None:
    """The level's own norms and last layer into the full network, in place: it computes what the level does."""
    if level == nested.num_levels - 1:
        return
    inner = nested.inner[level]
    for path, norm in own_norms(nested):
        if path not in inner.channels:
            continue
        own = inner.network.get_submodule(path)
        for name in ("weight", "bias", *STATISTICS):
            if isinstance(getattr(own, name), torch.Tensor):  # what is shared is there already
                getattr(norm, name)[inner.channels[path].to(norm.weight.device)] = getattr(own, name)
    if inner.head is not None:
        put_head_(nested.full, inner.head, cast(nn.Linear, inner.network.get_submodule(inner.head.path)))


@torch.no_grad()
def put_head_(full: nn.Module, head: OwnHead, own: nn.Linear) -> None:
    """A level's own last layer in the place of the full network's, in place; inputs that the level lacks count nothing."""
    home, last = home_of(full, head.path)
    wide = cast(nn.Linear, getattr(home, last))
    made = nn.Linear(wide.in_features, own.out_features, bias=own.bias is not None).to(wide.weight)
    made.weight.zero_()
    made.weight[:, head.columns.to(made.weight.device)] = own.weight
    if own.bias is not None:
        made.bias.copy_(own.bias)
    setattr(home, last, made)


@torch.no_grad()
def inherit_(nested: Nested) -> None:
    """Norms of the inner levels begin as the full network's, in place: where it was trained before."""
    wide = dict(own_norms(nested))
    for inner in nested.inner:
        for path, channels in inner.channels.items():
            own = inner.network.get_submodule(path)
            for name in ("weight", "bias", *STATISTICS):
                if isinstance(getattr(own, name), torch.Tensor):  # else it is the full network's anyway
                    getattr(own, name).copy_(getattr(wide[path], name)[channels.to(wide[path].weight.device)])


def own_norms(nested: Nested) -> list[tuple[str, nn.modules.batchnorm._BatchNorm]]:
    """The full network's own batch norms by path."""
    return [
        (path, module)
        for path, module in nested.full.named_modules()
        if isinstance(module, NORMS) and path in {name.rpartition(".")[0] for name in nested.shared()}
    ]
