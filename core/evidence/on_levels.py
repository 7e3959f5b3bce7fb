"""The tables of NestedNet (Kim et al., CVPR 2018, tables 1-3), in small: levels beside networks of their own."""

from __future__ import annotations

from core.evidence.of_seeds import nested, settings
from core.evidence.wanted import Table

WEIGHTS = Table(
    "nested-weights", "NestedNet: masks on the weights of ResNet-20 at half width, CIFAR-10",
    "Do nested masks cost accuracy against a network of their own, and does searching for them beat drawing them?",
    tuple(nested("nested-weights", "masks", settings("nested-resnet20-weights", epochs=12))),
)  # fmt: skip
CHANNELS = Table(
    "nested-channels", "NestedNet: channels of ResNet-20 at half width, CIFAR-10",
    "Does a level of half of the weights cost accuracy against a network of its own?",
    tuple(nested("nested-channels", "channels", settings("nested-resnet20-channels", epochs=8))),
)  # fmt: skip
FOUR = Table(
    "nested-four-levels", "NestedNet: four levels of WRN-14-2, CIFAR-100",
    "Which levels gain from being trained together, and does consensus beat the full level?",
    tuple(nested("nested-four-levels", "four levels", settings("nested-wrn-14-2", epochs=5), student=True)),
)  # fmt: skip
HIERARCHY = Table(
    "nested-hierarchy", "NestedNet: 20 coarse classes inside 100, WRN-14-2, CIFAR-100",
    "Does a core of 20 classes cost the 100 anything?",
    tuple(nested("nested-hierarchy", "hierarchy", settings("nested-wrn-14-2-hierarchy", epochs=5))),
)  # fmt: skip
