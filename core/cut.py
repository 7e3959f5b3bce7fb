"""Cut what a run has driven to zero, prove the cut, count and time it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from core import latency, proof
from core.config import RunConfig
from core.data import batches
from core.data.dataset import Dataset
from core.networks.factors import fold
from core.structure import Certificate, Cost, RemovalPlan, cost, explain, remove_zeros, save


@dataclass(frozen=True)
class Cut:
    """A trained network, its plain form, the plan, the compact network, and what they cost."""

    plain: nn.Module
    plan: RemovalPlan
    compact: fx.GraphModule
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
    plan, compact = remove_zeros(plain, example, source=source)
    compact.eval()
    return Cut(plain, plan, compact, cost(plain, example), cost(compact, example))


def prove(trained: nn.Module, done: Cut, dataset: Dataset) -> Certificate:
    """The certificate of the cut against the unmodified trained network, on the images of its data set and on noise."""
    return proof.prove(trained, done.plan, done.compact, torch.zeros(1, *dataset.shape), dataset)


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
        "why": reasons(done, dataset),
        "certificate": certificate.model_dump(mode="json"),
        "speed": speed.model_dump(mode="json"),
    }  # fmt: skip


def counts(done: Cut) -> dict[str, Any]:
    """MACs, parameters and what was removed, as the JSON documents name them."""
    pair = (("dense", done.dense_cost), ("compact", done.compact_cost))
    return {
        "macs": {name: c.macs for name, c in pair},
        "macs_per_image": {name: c.macs_per_image for name, c in pair},
        "params": {name: c.params for name, c in pair},
        "uncounted": sorted({what for _, c in pair for what in c.uncounted}),
        "removed": done.plan.counts(),
        "refilled": [refilled.model_dump() for refilled in done.plan.refilled],
    }


def reasons(done: Cut, dataset: Dataset) -> dict[str, Any]:
    """What every unit of the trained network was, and why what stayed stays: `units` {verdict: count}, `sites`, `groups`."""
    found = explain(done.plain, torch.zeros(1, *dataset.shape))
    sites = []
    for site, units in found.sites.items():
        said = [unit.verdict for unit in units]
        unread = sum(unit.verdict == "alive" and not unit.read for unit in units)
        removed = len(done.plan.removed.get(site, ()))
        row: dict[str, Any] = {"site": site, "total": len(units), "unread": unread, "removed": removed}
        sites.append(row | {name: said.count(name) for name in found.units})
    return {"units": found.units, "sites": sites, "groups": [group.units for group in found.groups]}
