"""The networks by name. No torch here: the front end lists them without importing it."""

from __future__ import annotations

from dataclasses import dataclass


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
    )
    for depth in (20, 32, 44, 56, 110)
}
_PREACTS = {
    f"resnet{depth}-preact": NetworkSpec("preact", depth, "bottleneck", f"ResNet-{depth}, pre-activation bottlenecks")
    for depth in (20, 29, 56, 83, 110, 164)
}

SPECS: dict[str, NetworkSpec] = {
    **_RESNETS,
    **_PREACTS,
    "resnet164": _PREACTS["resnet164-preact"],
    "vgg11": NetworkSpec("vgg", 11, "norm", "VGG-11 with BatchNorm and one linear layer"),
    "vgg16": NetworkSpec("vgg", 16, "norm", "VGG-16 with BatchNorm and one linear layer"),
    "lenet": NetworkSpec("lenet", 4, "caffe", "LeNet 20-50-500"),
}
NAMES: tuple[str, ...] = tuple(SPECS)
