"""The tables of evidence, as data: which runs, over which seeds, beside which controls, and the papers' numbers.

Lengths are what two laptop cores can do: fewer epochs than the papers have, which every table says.
"""

from __future__ import annotations

from core.evidence import on_cifar, on_levels, on_mnist
from core.evidence.of_seeds import controlled
from core.evidence.wanted import Table
from core.presets import preset

DIGITS = Table(
    "digits",
    "ResNet-20 on digits: SSS in one pass",
    "What does the default run keep, and does its shape from scratch do as well?",
    tuple(controlled("digits-sss", "SSS", preset("digits-sss").config, (0, 1, 2, 3, 4))),
    error=False,
)
TABLES = {
    t.name: t
    for t in (
        DIGITS, on_mnist.SSL_LENET, on_mnist.SSL_MLP, on_cifar.SSL_DEPTH, on_cifar.SSL_CONVNET, on_cifar.SSS_RESNET, on_cifar.SSS_RESNEXT,
        on_levels.WEIGHTS, on_levels.CHANNELS, on_levels.FOUR, on_levels.HIERARCHY,
    )
}  # fmt: skip
