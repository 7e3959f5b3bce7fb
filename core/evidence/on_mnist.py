"""The tables of SSL on MNIST (Wen et al., NIPS 2016, tables 1 and 2, figure 4), each point beside its controls.

No augmentation. Strengths were chosen by validation error at the MACs that the paper's point has; label smoothing and averaged weights in
fine-tuning, which the paper does not have, are the controls' too.
"""

from __future__ import annotations

from typing import Any

from core.evidence.of_seeds import controlled, settings
from core.evidence.wanted import Table, Wanted

EPOCHS = {"measure_every": 0, "phases.0.epochs": 8, "phases.1.epochs": 10}
OF_LENET: dict[str, Any] = EPOCHS | {
    "label_smoothing": 0.1, "phases.2.epochs": 14, "phases.2.lr": 0.05, "phases.2.ema": 0.999,
}  # fmt: skip
OF_MLP: dict[str, Any] = EPOCHS | {
    "label_smoothing": 0.2, "weight_decay": 2e-4, "phases.0.lr": 0.1, "phases.2.epochs": 40, "phases.2.lr": 0.1, "phases.2.ema": 0.999,
}  # fmt: skip
LENET = {  # point: preset, strengths on filters and on shapes, multiplier of the linear layers, strengths tried
    "filters, row 2": ("ssl-lenet-table1", 0.0125, 0.0, 0.1, 11),
    "filters, row 3": ("ssl-lenet-table1", 0.0158, 0.0, 0.1, 11),
    "filters, beyond": ("ssl-lenet-table1", 0.05, 0.0, 0.02, 11),
    "shapes, row 4": ("ssl-lenet-table2", 0.008, 0.008, 0.1, 6),
    "shapes, row 5": ("ssl-lenet-table2", 0.0103, 0.0103, 0.1, 6),
}
MLP = {"neurons, row 2": (0.00215, 0.009), "neurons, row 3": (0.00253, 0.01)}  # strengths on neurons, on pixels


def lenet(point: str) -> list[Wanted]:
    """A point of LeNet with its controls; all share the dense network, which trains equally long."""
    name, filters, shapes, linear, tried = LENET[point]
    strengths = {"strength_filter": filters, "strength_shape": shapes, "multipliers": {"fc*": linear}}
    config = settings(name, **OF_LENET, **{f"phases.1.{key}": value for key, value in strengths.items()})
    return controlled(f"ssl-lenet-{_words(point)}", point, config, tried=tried, dense="ssl-lenet", shuffled=True)


def mlp(point: str) -> list[Wanted]:
    """A point of the perceptron with its controls; all share the dense network, which trains equally long."""
    neurons, pixels = MLP[point]
    strengths = {"phases.1.strength_filter": neurons, "phases.1.strength_channel": pixels}
    config = settings("ssl-mlp-fig4", **OF_MLP, **strengths)
    return controlled(f"ssl-mlp-{_words(point)}", point, config, tried=14, dense="ssl-mlp", shuffled=True)


def _words(point: str) -> str:
    """`filters, row 2` as part of a row's name."""
    return point.replace(", row", "").replace(",", "").replace(" ", "-")


SSL_LENET = Table(
    "ssl-lenet", "SSL on MNIST: LeNet",
    "Does group lasso find a small LeNet that neither its shape from scratch nor a random mask of that shape reaches?",
    tuple(wanted for point in LENET for wanted in lenet(point)), cost="conv_macs",
    paper={"filters, row 2": "LeNet 2", "filters, row 3": "LeNet 3", "shapes, row 4": "LeNet 4", "shapes, row 5": "LeNet 5"},
)  # fmt: skip
SSL_MLP = Table(
    "ssl-mlp", "SSL on MNIST: a perceptron",
    "How many neurons and pixels can lose all connections?",
    tuple(wanted for point in MLP for wanted in mlp(point)),
    paper={"neurons, row 2": "MLP 2", "neurons, row 3": "MLP 3"},
)  # fmt: skip
