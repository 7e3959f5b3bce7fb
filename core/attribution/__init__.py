"""What a network looks at, and which of its filters carry the answer: attributions, by Captum where it has them."""

from core.attribution.asked import Asked, asked_networks
from core.attribution.filters import Measured, measure
from core.attribution.pixels import enlarged, grad_cam, integrated_gradients, last_convolution
from core.attribution.ranks import auc, ranks, spearman

__all__ = [
    "Asked",
    "Measured",
    "asked_networks",
    "auc",
    "enlarged",
    "grad_cam",
    "integrated_gradients",
    "last_convolution",
    "measure",
    "ranks",
    "spearman",
]
