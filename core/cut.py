"""Cut what a run has driven to zero, prove the cut, count and time it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import latency
from core.config import RunConfig
from core.data import batches
from core.data.dataset import Dataset
from core.networks.factors import fold
from core.structure import Certificate, Cost, RemovalPlan, apply, cost, plan_zeros, save, verify

PROOF_IMAGES = 16


@dataclass(frozen=True)
class Cut:
    """A trained network, its plain form, the plan, the compact network, and what they cost."""

    plain: nn.Module
    plan: RemovalPlan
    compact: nn.Module
    dense_cost: Cost
    compact_cost: Cost

    @property
    def promised(self) -> float:
        """The ratio of MACs per image, dense / compact."""
        return self.dense_cost.macs_per_image / max(1, self.compact_cost.macs_per_image)

    @property
    def layer_macs(self) -> dict[str, tuple[float, float]]:
        """MACs per image of each layer, (dense, compact), by path."""
        after = {layer.path: layer.macs for layer in self.compact_cost.layers}
        return {layer.path: (layer.macs, after.get(layer.path, 0)) for layer in self.dense_cost.layers}


def cut(trained: nn.Module, dataset: Dataset, source: str) -> Cut:
    """Cut every exact zero out of `trained` (which may carry factors); it is left untouched, on its device."""
    plain = fold(trained).cpu().float().eval()
    example = torch.zeros(1, *dataset.shape)
    plan = plan_zeros(plain, example, source=source)
    compact = apply(plan, plain, example).eval()
    return Cut(plain, plan, compact, cost(plain, example), cost(compact, example))


def prove(trained: nn.Module, done: Cut, dataset: Dataset) -> Certificate:
    """The certificate of the cut against the unmodified trained network, factors and all, in float64.

    The factors are multiplied in after the conversion to float64, so no product is rounded to float32 on the way.
    Inputs: validation images and noise, at the size the network learned from and, where it takes one, a larger size.
    """
    reference = _float64(trained)
    model = fold(reference)
    inputs = [_proof_inputs(dataset, 0)]
    if _takes(reference, larger := _proof_inputs(dataset, 8)):
        inputs.append(larger)
    example = torch.zeros(1, *dataset.shape, dtype=torch.float64)
    return verify(model, done.plan, example, inputs, compact=done.compact, reference=reference)


def _float64(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).cpu().double().eval()


def _proof_inputs(dataset: Dataset, more: int) -> Tensor:
    """Half real validation images, half noise, `more` pixels larger on a side; float64, (N, C, H, W)."""
    half = PROOF_IMAGES // 2
    images, _ = next(iter(batches(dataset.val, dataset, half, train=False)))
    real = images.cpu().double().contiguous()
    if more:
        real = F.interpolate(real, scale_factor=1 + more / real.shape[-1], mode="nearest")
    noise = torch.randn(real.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.cat([real, noise])


def _takes(network: nn.Module, images: Tensor) -> bool:
    try:
        with torch.inference_mode():
            network(images)
    except RuntimeError:  # a linear layer behind a flatten fixes the size
        return False
    return True


@torch.inference_mode()
def accuracy(network: nn.Module, dataset: Dataset, split: str, device: str = "cpu") -> float:
    """Fraction of right answers of `network` on a split, in float32 eval mode; its mode is restored."""
    was_training = network.training
    network.eval()
    right = torch.zeros((), dtype=torch.int64, device=device)
    part = getattr(dataset, split)
    try:
        for images, labels in batches(part, dataset, 500, train=False):
            right += (network(images.to(device)).argmax(1) == labels.to(device)).sum()
    finally:
        network.train(was_training)
    return int(right) / len(part.labels)


def timed(done: Cut, dataset: Dataset, *, batch: int, device: str, budget_s: float = 1.0) -> latency.Speed:
    """Dense against compact on real images, interleaved, under the measuring lock."""
    images, _ = next(iter(batches(dataset.train, dataset, min(batch, len(dataset.train.labels)), train=False)))
    a, b = (_channels_last(net, device) for net in (done.plain, done.compact))
    return latency.measure(
        a,
        b,
        images.to(device, memory_format=torch.channels_last),
        done.promised,
        budget_s=budget_s,
        layer_macs=done.layer_macs,
    )


def _channels_last(network: nn.Module, device: str) -> nn.Module:
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def result_of(trained: nn.Module, dataset: Dataset, config: RunConfig, folder: Path | None) -> dict[str, Any]:
    """Cut, prove, count, time and save: the end of a run, keyed as `python -m core show --json` prints it."""
    done = cut(trained, dataset, config.network)
    certificate = prove(trained, done, dataset)
    compact_accuracy = accuracy(done.compact, dataset, "test")
    if folder is not None:
        about = {"network": config.network, "dataset": config.dataset, "config": config.model_dump(mode="json")}
        save(folder / "compact.safetensors", done.compact, source=about, plan=done.plan, certificate=certificate)
    speed = timed(done, dataset, batch=config.batch_size, device=config.device, budget_s=2.0)
    return {
        "accuracy": {
            "test": accuracy(trained, dataset, "test", config.device), "compact": compact_accuracy, "finetuned": None,
        },
        **counts(done),
        "certificate": certificate.model_dump(mode="json"),
        "speed": speed.model_dump(mode="json"),
    }  # fmt: skip


def counts(done: Cut) -> dict[str, Any]:
    """MACs, parameters and what was removed, as the JSON documents name them."""
    pair = (("dense", done.dense_cost), ("compact", done.compact_cost))
    removed: dict[str, int] = {}
    for site, units in done.plan.removed.items():
        kind = site.rsplit("/", 1)[1]
        removed[kind] = removed.get(kind, 0) + len(units)
    removed["layer"] = len(done.plan.removed_layers)
    return {
        "macs": {name: c.macs for name, c in pair},
        "macs_per_image": {name: c.macs_per_image for name, c in pair},
        "params": {name: c.params for name, c in pair},
        "uncounted": sorted({what for _, c in pair for what in c.uncounted}),
        "removed": removed,
        "refilled": [dict(r) if isinstance(r, dict) else r.model_dump() for r in done.plan.refilled],
    }
