"""How much each unit carries of the answer: conductance, and a cheaper measure that needs one pass.

Conductance (Dhamdhere, Sundararajan and Yan, ICLR 2019, equation 2): how much of the difference of a score between a baseline and
an image flows through a unit. First-order Taylor (Molchanov et al., ICLR 2017, equation 7): how much the loss would change, to
first order, if the unit said nothing. Captum has both (LayerConductance, LayerGradientXActivation), conductance for one layer at
a time; here all layers are measured in the same passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.networks.describe import Structure

STEPS = 16
IMAGE = ""  # the path of what goes into the network
Score = Callable[[Tensor, Tensor], Tensor]  # of outputs (N, classes) and labels (N,): one number an image


@dataclass(frozen=True)
class Measured:
    """Of every unit, sites one after another, for every image: (images, units), not negative.

    `conductance`: |sum over the unit's channels and positions|, in units of the score. `taylor`: the same of activation x
    gradient of the loss. `gained`: (images,) the score less that of the baseline; `delta`: what the conductance of the image
    itself, through which everything flows, sums to less that, which is the error of the steps.
    """

    conductance: Tensor
    taylor: Tensor
    gained: Tensor
    delta: Tensor


def measure(
    network: nn.Module,
    sites: Sequence[Structure],
    images: Tensor,
    labels: Tensor,
    *,
    steps: int = STEPS,
    batch: int = 32,
    between: Callable[[int], None] = lambda done: None,
) -> Measured:
    """Both measures of the units of `sites` (filters, neurons, conv groups, blocks) at images (N, C, H, W), normalised.

    The score is that of the image's label, the baseline 0. `between` is told how many images are done. The network, in eval mode,
    is left as it was.
    """
    paths = list(dict.fromkeys(site.module for site in sites))
    flows, slopes, gains, deltas = [], [], [], []
    for start in range(0, len(images), batch):
        between(start)
        some, named = images[start : start + batch], labels[start : start + batch]
        flow, slope = (
            conductance(network, [IMAGE, *paths], some, named, steps=steps),
            taylor(network, paths, some, named),
        )
        with torch.no_grad():
            gained = label_score(network(some), named) - label_score(network(torch.zeros_like(some)), named)
        flows.append(torch.cat([by_unit(flow[site.module], site.total) for site in sites], dim=1))
        slopes.append(torch.cat([by_unit(slope[site.module], site.total) for site in sites], dim=1))
        gains.append(gained)
        deltas.append(flow[IMAGE].sum(1) - gained)
    return Measured(torch.cat(flows), torch.cat(slopes), torch.cat(gains), torch.cat(deltas))


def conductance(
    network: nn.Module, paths: Sequence[str], images: Tensor, labels: Tensor, *, steps: int = STEPS
) -> dict[str, Tensor]:
    """Of every module, by path (IMAGE: of the image): conductance of its channels (N, channels), summed over positions; signed.

    Along the line from 0 to the image: between two points, the change of the activation times the mean of its gradients at both.
    Summed over the channels of a layer through which everything flows, it is the score's difference.
    """
    total: dict[str, Tensor] = {}
    before = _looked(network, paths, torch.zeros_like(images), labels, label_score)
    for k in range(1, steps + 1):
        now = _looked(network, paths, images * (k / steps), labels, label_score)
        for path in paths:
            parts = [
                _by_channel((b - a) * (of_a + of_b) / 2, network.get_submodule(path))
                for (a, of_a), (b, of_b) in zip(before[path], now[path], strict=True)
            ]
            step = torch.stack(parts).sum(0)
            total[path] = total[path] + step if path in total else step
        before = now
    return total


def taylor(network: nn.Module, paths: Sequence[str], images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Of every module, by path: activation x gradient of the cross-entropy (N, channels), summed over positions; signed."""
    seen = _looked(network, paths, images, labels, lambda out, named: F.cross_entropy(out, named, reduction="none"))
    return {
        path: torch.stack([_by_channel(a * of_a, network.get_submodule(path)) for a, of_a in seen[path]]).sum(0)
        for path in paths
    }


def label_score(outputs: Tensor, labels: Tensor) -> Tensor:
    """The score (logit) of each image's label, (N,)."""
    return outputs.gather(1, labels.unsqueeze(1)).squeeze(1)


def by_unit(channels: Tensor, total: int) -> Tensor:
    """|sum over the channels of each of `total` units|, (N, total), of (N, channels): conv groups and blocks have several."""
    return channels.unflatten(1, (total, -1)).sum(2).abs()


def _by_channel(values: Tensor, module: nn.Module) -> Tensor:
    """(N, channels): summed over positions; channels come last behind a linear layer, else first."""
    moved = values.movedim(-1, 1) if isinstance(module, nn.Linear) else values
    return moved.flatten(2).sum(2) if moved.ndim > 2 else moved


def _looked(
    network: nn.Module, paths: Sequence[str], x: Tensor, labels: Tensor, score: Score
) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Of every module, by path: (what it gives, the score's gradient of that), one pair a call."""
    seen: dict[str, list[Tensor]] = {path: [] for path in paths}

    def keep(path: str):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            seen[path].append(output)
            return output.clone()  # what follows may work in place

        return hook

    x = x.detach().requires_grad_()
    seen[IMAGE] = [x]
    handles = [network.get_submodule(path).register_forward_hook(keep(path)) for path in paths if path != IMAGE]
    try:
        with torch.enable_grad():
            scores = score(network(x), labels)
    finally:
        for handle in handles:
            handle.remove()
    flat = [output for path in paths for output in seen[path]]
    gradients = torch.autograd.grad(scores.sum(), flat, materialize_grads=True, allow_unused=True)
    calls = iter([(output.detach(), gradient) for output, gradient in zip(flat, gradients, strict=True)])
    return {path: [next(calls) for _ in seen[path]] for path in paths}
