"""From a name to a network: the skeleton without weights, then weights from one generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import nn

from core.errors import BadInput, one_of
from core.networks import bottleneck, caffenet, convnet, lenet, mlp, peleenet, preact, resnet, vgg, wide
from core.networks.describe import Outline, Structure
from core.networks.names import NAMES, SPECS, NetworkSpec

SMALLEST_IMAGE = 4

_FAMILIES: dict[str, Callable[[NetworkSpec, int, int, int], nn.Module]] = {
    "resnet": resnet.make,
    "preact": preact.make,
    "vgg": vgg.make,
    "lenet": lenet.make,
    "mlp": mlp.make,
    "convnet": convnet.make,
    "bottleneck": bottleneck.make,
    "wide": wide.make,
    "caffenet": caffenet.make,
    "peleenet": peleenet.make,
}


class Described(Protocol):
    """What every network of this package offers beyond ``nn.Module``; `input_shape` is (C, H, W) of one image."""

    input_shape: tuple[int, int, int]

    def structures(self) -> list[Structure]: ...

    def outline(self) -> Outline: ...

    def initialise(self, generator: torch.Generator) -> None: ...


def build(
    name: str, num_classes: int, in_channels: int, image_size: int, generator: torch.Generator | None
) -> nn.Module:
    """The network on the CPU; every weight comes from ``generator``, torch's global generator is left alone."""
    network = skeleton(name, num_classes, in_channels, image_size).to_empty(device="cpu")
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()  # ones and zeros: nothing is drawn
    with torch.no_grad():
        cast(Described, network).initialise(generator)
    network.input_shape = (in_channels, image_size, image_size)  # type: ignore[assignment]
    return network


def skeleton(name: str, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """The network on the meta device: modules and shapes, no weights, no random numbers."""
    if name not in SPECS:
        raise one_of("network", name, NAMES)
    for what, value, least in (
        ("num_classes", num_classes, 1),
        ("in_channels", in_channels, 1),
        ("image_size", image_size, SMALLEST_IMAGE),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise BadInput(f"{what} of network {name} must be a whole number of at least {least}; got {value!r}")
    spec = SPECS[name]
    with torch.device("meta"):
        return _FAMILIES[spec.family](spec, num_classes, in_channels, image_size)
