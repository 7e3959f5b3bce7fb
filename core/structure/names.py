"""Names of torch's operations, by what they do to a tensor's shape."""

from __future__ import annotations

from torch import nn


def named(home: object, *names: str) -> tuple:
    """The functions or classes of these names that this version of torch has."""
    return tuple(getattr(home, name) for line in names for name in line.split() if hasattr(home, name))


ACTIVATIONS = (
    "ReLU ReLU6 LeakyReLU PReLU RReLU ELU SELU CELU GELU SiLU Mish Sigmoid LogSigmoid Tanh Softplus Softsign Hardtanh "
    "Hardsigmoid Hardswish Hardshrink Softshrink Tanhshrink Threshold"
)
DROPOUTS = "Identity Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout"
NORMS = (
    "BatchNorm1d BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d InstanceNorm3d GroupNorm LayerNorm "
    "LocalResponseNorm"
)
SAME_TENSOR = frozenset(named(nn, DROPOUTS))  # modules that give their input itself, in eval mode
SAME_SHAPE = frozenset(named(nn, ACTIVATIONS, DROPOUTS, NORMS))  # modules whose result is shaped like their input
