"""The tables of evidence, as data: which runs, over which seeds, beside which controls, and the papers' numbers.

Lengths are what two laptop cores can do: fewer epochs than the papers have, which every table says.
"""

from __future__ import annotations

from typing import Any

from core.config import RunConfig, with_settings
from core.evidence.wanted import Table, of_seeds, with_controls, with_level_controls
from core.presets import preset

THREE = (0, 1, 2)


def settings(name: str, **changes: Any) -> RunConfig:
    """A preset's settings with changes."""
    return with_settings(preset(name).config, changes)


def controlled(stem: str, point: str, config: RunConfig, seeds: tuple[int, ...] = THREE, tried: int = 1) -> list[Any]:
    """A point with its controls, seed by seed."""
    return [w for one in of_seeds(config, seeds) for w in with_controls(stem, point, one, tried)]


def nested(stem: str, point: str, config: RunConfig, student: bool = False) -> list[Any]:
    """A nested run with its controls, seed by seed."""
    return [w for one in of_seeds(config, THREE) for w in with_level_controls(stem, point, one, student)]


DIGITS = Table(
    "digits",
    "ResNet-20 on digits: SSS in one pass",
    "What the default run keeps and what it buys.",
    tuple(
        wanted
        for config in of_seeds(preset("digits-sss").config, (0, 1, 2, 3, 4))
        for wanted in with_controls("digits-sss", "SSS", config, scratch=False)
    ),
    error=False,
)
LENET = Table(
    "ssl-lenet",
    "SSL on MNIST: LeNet",
    "Does group lasso find a small LeNet that its shape from scratch does not reach?",
    (
        *controlled("ssl-lenet-table1", "filters", settings("ssl-lenet-table1"), tried=3),
        *controlled("ssl-lenet-table2", "shapes", settings("ssl-lenet-table2"), tried=3),
    ),
)  # fmt: skip
MLP = Table(
    "ssl-mlp", "SSL on MNIST: an MLP", "Neurons and pixels that lose all connections.",
    tuple(controlled("ssl-mlp-fig4", "neurons", settings("ssl-mlp-fig4"), tried=3)),
)  # fmt: skip
LAYERS: dict[str, Any] = {"epochs": 36, "phases.1.strength_layer": 0.03, "phases.1.joint": ["norms"]}
DEPTH = Table(
    "ssl-resnet20-depth", "SSL on CIFAR-10: ResNet-20 learns its depth",
    "Does depth regularisation take layers away and gain accuracy, against the network trained equally long?",
    tuple(controlled("ssl-resnet20-depth", "depth", settings("ssl-resnet20-fig6", **LAYERS), tried=4)),
)  # fmt: skip
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
TABLES = {t.name: t for t in (DIGITS, LENET, MLP, DEPTH, WEIGHTS, CHANNELS, FOUR, HIERARCHY)}
