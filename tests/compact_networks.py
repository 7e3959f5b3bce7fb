"""Networks with dead parts and what the knife leaves of them: what a file of any format must be able to hold."""

from __future__ import annotations

import functools
from typing import NamedTuple

import oracles_structure as oracles
import torch
import zoo
from torch import Tensor, fx, nn

from core.structure import apply, plan_zeros

ORACLES = {  # maker, an example's shape, another size
    "resnet_silu": (lambda: oracles.resnet(nn.SiLU), (4, 3, 12, 12), (4, 3, 16, 13)),
    "resnet_projection": (lambda: oracles.resnet(nn.ReLU, True), (4, 3, 12, 12), (4, 3, 16, 13)),
    "preresnet_softplus": (lambda: oracles.preresnet(nn.Softplus), (4, 3, 12, 12), (4, 3, 16, 13)),
    "vgg_sigmoid": (lambda: oracles.vgg(nn.Sigmoid), (4, 3, 8, 8), None),
    **{
        f"random_{seed}": (functools.partial(oracles.RandomNet, seed), (4, 3, 9, 9), None)
        for seed in (0, 10, 11, 12, 19, 36, 51, 58)
    },
}
NAMES = [*ORACLES, *zoo.names()]


class Made(NamedTuple):
    """A network, what is left of it, an example of one image, and batches of random images, two sizes where it takes two."""

    network: nn.Module
    compact: fx.GraphModule
    example: Tensor
    batches: list[Tensor]


def made(name: str, dtype: torch.dtype = torch.float32, seed: int = 2) -> Made:
    """The knife works in float64; then both networks get their type."""
    if name in ORACLES:
        make, *shapes = ORACLES[name]
        network = oracles.kill(oracles.settle(make(), shapes[0], seed), seed, whole=0.0)
    else:
        shapes = [zoo.example_shape(name), zoo.second_shape(name)]
        network = zoo.settle(zoo.small(name), shapes[0], seed)
        zoo.zero(network, "all", seed)
    example = torch.zeros(1, *shapes[0][1:])
    compact = apply(plan_zeros(network, example.double()), network, example.double())
    draw = torch.Generator().manual_seed(seed)
    batches = [torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype) for shape in shapes if shape]
    return Made(network.to(dtype), compact.to(dtype), example.to(dtype), batches)


def outputs(network: nn.Module, *inputs: Tensor) -> list[Tensor]:
    """All tensors that a network gives, in order."""
    with torch.no_grad():
        output = network(*inputs)
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else [output]
    return list(parts)
