"""Cut what a run has driven to zero, prove the cut, count and time it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from core import latency, losses, proof
from core.config import RunConfig
from core.data import batches
from core.data.dataset import Dataset
from core.networks.factors import fold, has_factors
from core.structure import Certificate, Cost, RemovalPlan, apply, cost, explain, plan_zeros, remove_zeros, save


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
        """MACs per image of each layer, (dense, compact), by path; a layer that left as several has those of all."""
        after: dict[str, int] = {}
        for layer in self.compact_cost.layers:
            source = self.sources.get(layer.path, layer.path)
            after[source] = after.get(source, 0) + layer.macs_per_image
        return {layer.path: (layer.macs_per_image, after.get(layer.path, 0)) for layer in self.dense_cost.layers}

    @property
    def sources(self) -> dict[str, str]:
        """Of each layer of the compact network: the path of the one it was made of."""
        return self.compact.meta.get("sources", {})


def cut(trained: nn.Module, dataset: Dataset, source: str) -> Cut:
    """Cut every exact zero out of `trained` (which may carry factors); it is left untouched, on its device."""
    return without_zeros(trained, torch.zeros(1, *dataset.shape), source)


def without_zeros(trained: nn.Module, example: Tensor, source: str) -> Cut:
    """Every exact zero cut out of `trained`, which is left untouched.

    Where there are factors, a unit counts as zero where factor x weight is so in float64: the proof multiplies there, and a product
    that is too small for float32 is not zero to it.
    """
    plain = fold(trained).cpu().float().eval()
    if has_factors(trained):
        exact = fold(copy.deepcopy(trained).cpu().double()).eval()
        plan = plan_zeros(exact, example.double(), source=source)
        compact = apply(plan, plain, example)
    else:
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
    images = first_images(dataset, batch)
    a, b = (_channels_last(net, device) for net in (done.plain, done.compact))
    speed = latency.measure(
        a,
        b,
        images.to(device, memory_format=torch.channels_last),
        done.promised,
        budget_s=budget_s,
        layer_macs=done.layer_macs,
        sources=done.sources,
    )
    return speed.model_copy(update={"layers": with_reasons(speed.layers, done, images[:1].to(device), len(images))})


def first_images(dataset: Dataset, most: int) -> Tensor:
    """At most so many training images, (N, C, H, W), prepared as for an answer."""
    images, _ = next(iter(batches(dataset.train, dataset, min(most, len(dataset.train.labels)), train=False)))
    return images


def with_reasons(
    layers: tuple[latency.LayerSpeed, ...], done: Cut, example: Tensor, batch: int
) -> tuple[latency.LayerSpeed, ...]:
    """Timed layers, each with the reason why its time parts from its MACs."""
    dense, compact = (
        layer_shapes(net, example, c) for net, c in ((done.plain, done.dense_cost), (done.compact, done.compact_cost))
    )
    told = []
    for layer in layers:
        if layer.path in dense:
            reason, numbers = losses.reason(dense[layer.path], compact.get(layer.path), batch)
            layer = layer.model_copy(update={"reason": reason, "numbers": numbers})
        told.append(layer)
    return tuple(told)


def layer_shapes(network: nn.Module, example: Tensor, counted: Cost) -> dict[str, losses.LayerShape]:
    """Shapes and counts of every convolution and linear layer that runs on `example` (one image), by path."""
    macs = {layer.path: layer.macs for layer in counted.layers}
    found: dict[str, losses.LayerShape] = {}

    def look(path: str, module: nn.Module, x: Tensor, out: Tensor) -> None:
        ins, outs = (
            (module.in_channels, module.out_channels) if isinstance(module, nn.Conv2d) else (x.shape[-1], out.shape[-1])
        )
        found[path] = losses.LayerShape(
            in_channels=ins, out_channels=outs, macs=macs.get(path, 0), inputs=x[0].numel(), outputs=out[0].numel(),
            weights=sum(p.numel() for p in module.parameters(recurse=False)),
        )  # fmt: skip

    hooks = [
        module.register_forward_hook(lambda m, inputs, out, path=path: look(path, m, inputs[0], out))
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        with torch.inference_mode():
            network.eval()(example)
    finally:
        for hook in hooks:
            hook.remove()
    return found


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
        "conv_macs": {name: c.conv_macs for name, c in pair},
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
