"""The networks by name. No torch here: the front end lists them without importing it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NetworkSpec:
    """What a network's name stands for: a family, how deep, which variant, and a line to show."""

    family: str
    depth: int
    variant: str
    title: str


_RESNETS = {
    f"resnet{depth}{suffix}": NetworkSpec("resnet", depth, variant, f"ResNet-{depth}, {words}")
    for suffix, variant, words in (
        ("", "pad", "parameter-free shortcuts"),
        ("-projection", "projection", "1x1 convolution shortcuts"),
        ("-half", "pad half", "half the filters, parameter-free shortcuts"),
        ("-7x7", "pad 7x7", "a stem of 7x7 filters, parameter-free shortcuts"),
    )
    for depth in (20, 32, 44, 56, 110)
}
_PREACTS = {
    f"resnet{depth}-preact": NetworkSpec("preact", depth, "bottleneck", f"ResNet-{depth}, pre-activation bottlenecks")
    for depth in (20, 29, 56, 83, 110, 164)
}
_WIDE = {
    f"wrn-{depth}-{widening}": NetworkSpec(
        "wide", depth, str(widening), f"WRN-{depth}-{widening}, parameter-free shortcuts"
    )
    for depth, widening in ((8, 1), (8, 2), (14, 1), (14, 2), (14, 4), (14, 8), (32, 1), (32, 2), (32, 4))
}

SPECS: dict[str, NetworkSpec] = {
    **_RESNETS,
    **_PREACTS,
    "resnet164": _PREACTS["resnet164-preact"],
    "vgg11": NetworkSpec("vgg", 11, "norm", "VGG-11 with BatchNorm and one linear layer"),
    "vgg16": NetworkSpec("vgg", 16, "norm", "VGG-16 with BatchNorm and one linear layer"),
    "lenet": NetworkSpec("lenet", 4, "caffe", "LeNet 20-50-500"),
    "mlp": NetworkSpec("mlp", 3, "relu", "Perceptron with 500 and 300 hidden neurons"),
    "convnet": NetworkSpec("convnet", 4, "caffe", "ConvNet 32-32-64, Caffe's cifar10_full"),
    "resnext20": NetworkSpec("bottleneck", 20, "32x1d", "ResNeXt-20, 32 conv groups"),
    "resnext164": NetworkSpec("bottleneck", 164, "32x1d", "ResNeXt-164, 32 conv groups"),
    **_WIDE,
    "resnet50": NetworkSpec("bottleneck", 50, "bottleneck", "ResNet-50, ImageNet form"),
    "resnext50": NetworkSpec("bottleneck", 50, "32x4d", "ResNeXt-50 32x4d, ImageNet form"),
    "caffenet": NetworkSpec("caffenet", 8, "caffe", "CaffeNet (AlexNet), images of 67 pixels and more"),
    "peleenet": NetworkSpec("peleenet", 114, "norm", "PeleeNet"),
}
NAMES: tuple[str, ...] = tuple(SPECS)

FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class OwnName:
    """A person's own network: its factory, `module:function`, and the absolute folder where the module is found."""

    factory: str
    folder: Path

    def __str__(self) -> str:
        return self.factory


def own_named(name: str) -> OwnName | None:
    """The own network that `module:function@FOLDER` names; None for any other name. Nothing is looked up."""
    factory, at, folder = name.partition("@")
    if not at or not FACTORY.fullmatch(factory) or not Path(folder).is_absolute():
        return None
    return OwnName(factory, Path(folder))


def shown(name: str) -> str:
    """A network's name as people read it: of a person's own, without the folder."""
    return str(own_named(name) or name)
