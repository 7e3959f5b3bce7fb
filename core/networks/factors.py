"""Scaling factors on filters, neurons, conv groups and blocks (Sparse Structure Selection, Huang & Wang, ECCV 2018).

A factor of 0 switches its structure off. It never multiplies activations: it scales the affine vectors of the
BatchNorm behind the structure, or the weights and biases of the layer where no norm follows, which gives the same
function for the price of multiplying a few small tensors. A module carries one factor vector: one number per output, one
per conv group, or a single one for all.
"""

from __future__ import annotations

import copy
from collections.abc import Set
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn

from core.errors import BadInput, one_of
from core.networks.describe import structures_of, without_levels

KINDS = {"filter": ("filter", "neuron"), "group": ("group",), "block": ("block",)}


class FactorBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm with ``factor * weight`` and ``factor * bias``; ``factor`` is (C,), (1,), or (conv groups,)."""

    factor: nn.Parameter
    per_factor: int = 1  # channels that share a factor, where there is one per conv group
    momentum: float | None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share = self.momentum or 0.0
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the mean over all batches, as in torch
                share = 1.0 / float(self.num_batches_tracked)
        weight, bias = self.scaled()
        own = self.training or self.running_mean is None
        return F.batch_norm(x, self.running_mean, self.running_var, weight, bias, own, share, self.eps)

    def scaled(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The affine vectors that count, each (C,)."""
        factor = self.factor if self.per_factor == 1 else self.factor.repeat_interleave(self.per_factor)
        return factor * self.weight, factor * self.bias


class FactorBatchNorm1d(FactorBatchNorm, nn.BatchNorm1d):
    """Of vectors."""


class FactorBatchNorm2d(FactorBatchNorm, nn.BatchNorm2d):
    """Of images."""


class FactorConv2d(nn.Conv2d):
    """Convolution with ``factor * weight`` and ``factor * bias``; ``factor`` is (out,) or (1,)."""

    factor: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x, *self.scaled())

    def scaled(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The weight (out, in, kh, kw) and the bias (out,) that count."""
        bias = None if self.bias is None else self.factor * self.bias
        return self.factor.view(-1, 1, 1, 1) * self.weight, bias


class FactorLinear(nn.Linear):
    """Linear layer with ``factor * weight`` and ``factor * bias``; ``factor`` is (out,) or (1,)."""

    factor: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, *self.scaled())

    def scaled(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The weight (out, in) and the bias (out,) that count."""
        bias = None if self.bias is None else self.factor * self.bias
        return self.factor.view(-1, 1) * self.weight, bias


_FACTORED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: FactorBatchNorm1d,
    nn.BatchNorm2d: FactorBatchNorm2d,
    nn.Conv2d: FactorConv2d,
    nn.Linear: FactorLinear,
}
_PLAIN = {factored: plain for plain, factored in _FACTORED.items()}


def install(network: nn.Module, kinds: Set[str]) -> dict[str, nn.Parameter]:
    """Put factors of value 1 into ``network``, in place, and return them by site, in forward order.

    ``kinds``: some of "filter" (filters, and neurons in linear layers), "group" (conv groups) and "block". The function
    computed is unchanged. The modules that carry them keep their parameters, only their class changes.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise one_of("kind of scaling factor", kind, KINDS)
    wanted = {kind for asked in kinds for kind in KINDS[asked]}
    places = [s for s in structures_of(network) if s.kind in wanted]
    if not places:
        asked = " or ".join(sorted(kinds)) or "no kind"
        offered = ", ".join(sorted({s.kind for s in structures_of(network)}))
        raise BadInput(
            f"scaling factors of {type(network).__name__} must be of a kind that it has ({offered}); got {asked}"
        )
    return {s.site: attach(network.get_submodule(s.module), s.total, s.module) for s in places}


def attach(module: nn.Module, num_factors: int, path: str = "module") -> nn.Parameter:
    """Turn a plain module into its factored form, in place, and return its factor, a vector of ``num_factors`` ones."""
    if type(module) not in _FACTORED:
        rule = "a BatchNorm, Conv2d or Linear without a factor"
        raise BadInput(f"{path} must be {rule} to carry one; got {type(module).__name__}")
    module.__class__ = _FACTORED[type(module)]
    weight = cast(torch.Tensor, module.weight)
    if isinstance(module, FactorBatchNorm) and num_factors > 1:
        module.per_factor = module.num_features // num_factors
    factor = nn.Parameter(torch.ones(num_factors, dtype=weight.dtype, device=weight.device))
    module.register_parameter("factor", factor)
    return factor


def has_factors(network: nn.Module) -> bool:
    """Whether any module of `network` carries factors."""
    return any(isinstance(module, tuple(_PLAIN)) for module in network.modules())


def fold(network: nn.Module) -> nn.Module:
    """A new network of plain torch modules with every factor multiplied in, in the module's own dtype.

    The products are those of the forward pass itself, so in eval mode the outputs agree to the last bit. Levels nested in the
    network are left out: it is the full one.
    """
    folded = without_levels(copy.deepcopy(network))
    for module in folded.modules():
        if isinstance(module, FactorBatchNorm | FactorConv2d | FactorLinear):
            with torch.no_grad():
                weight, bias = module.scaled()
            del module.factor
            module.weight = nn.Parameter(weight)
            if bias is not None:
                module.bias = nn.Parameter(bias)
            module.__dict__.pop("per_factor", None)
            cast(nn.Module, module).__class__ = _PLAIN[type(module)]
    return folded
