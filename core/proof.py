"""The proof of a cut: the trained network against the network cut by the plan, on real images and noise, in float64."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data import batches
from core.data.dataset import Dataset
from core.networks.factors import fold
from core.structure import Certificate, RemovalPlan, verify

PROOF_IMAGES = 16
MORE_PIXELS = 8  # on a side, of the second size


def prove(
    trained: nn.Module, plan: RemovalPlan, compact: nn.Module, example: Tensor, dataset: Dataset | None = None
) -> Certificate:
    """The certificate of `plan` against `trained`, factors and all; `compact` is the network to deliver.

    The factors are multiplied in after the conversion to float64, so no product is rounded to float32 on the way.
    """
    reference = copy.deepcopy(trained).cpu().double().eval()
    images = proof_inputs(reference, example, dataset)
    return verify(fold(reference), plan, example.double(), images, compact=compact, reference=reference)


def proof_inputs(network: nn.Module, example: Tensor, dataset: Dataset | None = None) -> list[Tensor]:
    """Batches of inputs (N, C, H, W), float64: of the example's size and, where `network` takes one, a larger size.

    Half validation images of `dataset`, half noise; noise alone without a data set.
    """
    sizes = [0, MORE_PIXELS] if example.dim() == 4 else [0]
    inputs = [_batch(example, dataset, more) for more in sizes]
    return inputs[:1] + [x for x in inputs[1:] if takes(network, x)]


def takes(network: nn.Module, images: Tensor) -> bool:
    """Whether a batch of `images` goes through `network` and comes out as one answer for each."""
    try:
        with torch.inference_mode():
            answers = network(images)
    except (RuntimeError, ValueError, AssertionError, LookupError):  # a linear layer behind a flatten fixes the size
        return False
    return not isinstance(answers, Tensor) or answers.shape[:1] == images.shape[:1]


def _batch(example: Tensor, dataset: Dataset | None, more: int) -> Tensor:
    """`PROOF_IMAGES` inputs, `more` pixels larger on a side than the example."""
    if dataset is None:
        side = [size + more for size in example.shape[2:]] if example.dim() == 4 else list(example.shape[2:])
        return _noise([PROOF_IMAGES, *example.shape[1:2], *side])
    images, _ = next(iter(batches(dataset.val, dataset, PROOF_IMAGES // 2, train=False)))
    real = images.cpu().double().contiguous()
    if more:
        real = F.interpolate(real, scale_factor=1 + more / real.shape[-1], mode="nearest")
    return torch.cat([real, _noise(list(real.shape))])


def _noise(shape: list[int]) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
