"""What a network looks at: attributions of its answer to the pixels, by Captum.

Integrated gradients (Sundararajan et al., ICML 2017): the gradient of one class's score, averaged along the straight
line from a baseline image to the image, times their difference; the attributions sum to the difference of the scores.
"""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients
from torch import Tensor, nn


def integrated_gradients(network: nn.Module, image: Tensor, target: int, *, steps: int = 32) -> Tensor:
    """Attribution of class `target`'s score to every pixel: (H, W), summed over channels; the baseline is 0.

    `image` (1, C, H, W), normalised, so that 0 is the mean image. The network is left as it was, without gradients.
    """
    method = IntegratedGradients(network)
    attribution = method.attribute(image, baselines=torch.zeros_like(image), target=target, n_steps=steps)
    network.zero_grad(set_to_none=True)
    return attribution.detach().sum(dim=1)[0]
