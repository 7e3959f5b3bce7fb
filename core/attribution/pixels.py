"""Where a network looks: attributions of one class's score to places of the image.

Integrated gradients (Sundararajan et al., ICML 2017): the gradient of the score, averaged along the straight line from a
baseline image to the image, times their difference; the attributions sum to the difference of the scores.
Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2, without the last ReLU, so that what speaks against stays): the maps
of the last convolution whose map tells places apart, each weighted by the mean gradient of the score over its positions, summed.
"""

from __future__ import annotations

import torch
from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam
from torch import Tensor, nn

from core.errors import BadInput

PLACES = 16  # positions of a map that tells where, 4 x 4


def integrated_gradients(network: nn.Module, image: Tensor, target: int, *, steps: int = 32) -> tuple[Tensor, float]:
    """Attribution of class `target`'s score to every pixel: (H, W), summed over channels; the baseline is 0. And its delta.

    `image` (1, C, H, W), normalised, so that 0 is the mean image. Delta: the sum of the attributions less the difference of the
    scores, which it would be without the error of `steps` steps; zeros where the scores do not depend on the image. The network is left as it was, without gradients.
    """
    with torch.enable_grad():
        told = network(image.detach().clone().requires_grad_())
    if not told.requires_grad:  # it says the same to every image: no pixel has a part in it
        return image.new_zeros(image.shape[2:]), 0.0
    attribution, delta = IntegratedGradients(network).attribute(
        image, baselines=torch.zeros_like(image), target=target, n_steps=steps, return_convergence_delta=True
    )
    network.zero_grad(set_to_none=True)
    return attribution.detach().sum(dim=1)[0], float(delta[0])


def grad_cam(network: nn.Module, image: Tensor, target: int, wanted: str = "") -> tuple[Tensor, str]:
    """Grad-CAM of class `target`'s score at the last convolution that counts: (h, w), its map's size, and its path.

    `image` (1, C, H, W), normalised. `wanted`: taken instead where it counts too, as in another network. BadInput where there is
    no such convolution.
    """
    path = last_convolution(network, image, target, wanted)
    cam = LayerGradCam(network, network.get_submodule(path)).attribute(image, target=target)
    network.zero_grad(set_to_none=True)
    return cam.detach()[0, 0], path


def enlarged(cam: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (h, w) at an image's size (H, W), bilinear."""
    return LayerAttribution.interpolate(cam[None, None], size, interpolate_mode="bilinear")[0, 0]


def last_convolution(network: nn.Module, image: Tensor, target: int, wanted: str = "") -> str:
    """Path of the convolution that runs last of those with PLACES positions and an effect on the score; else, with more than one.

    A dead block still runs in a network that was not cut: nothing of it reaches the score, so it is passed over. BadInput where
    none is left.
    """
    maps: list[tuple[str, Tensor]] = []

    def keep(path: str):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            maps.append((path, output))
            return output.clone()  # what follows may work in place

        return hook

    handles = [
        module.register_forward_hook(keep(path))
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        with torch.enable_grad():
            score = network(image)[0, target]
    finally:
        for handle in handles:
            handle.remove()
    wide = [(path, output) for path, output in maps if output.requires_grad and output[0, 0].numel() > 1]
    if wide and score.requires_grad:
        gradients = torch.autograd.grad(score, [output for _, output in wide], allow_unused=True)
        count = [
            (path, output[0, 0].numel())
            for (path, output), g in zip(wide, gradients, strict=True)
            if g is not None and bool(g.any())
        ]
        if count:
            telling = [path for path, places in count if places >= PLACES]
            return wanted if wanted in dict(count) else (telling or [count[-1][0]])[-1]
    raise BadInput(
        "Grad-CAM needs a convolution that gives a map of more than one position and has an effect on the score; "
        "this network has none; take integrated gradients"
    )
