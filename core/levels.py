"""What every level of a nested network is by itself: what it costs, how well it answers, and the proof that it is the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from core import cut, latency
from core.data import batches
from core.data.dataset import Dataset
from core.errors import BadInput
from core.nested import Nested, extract
from core.nested.proving import verify_level
from core.networks.describe import LEVELS
from core.networks.factors import fold
from core.proof import proof_inputs
from core.structure import RemovalPlan, cost, remove_zeros

TIMED_S = 1.0


def nested_in(network: nn.Module, name: str) -> Nested:
    """The nested network that `network` is the full level of. BadInput where nothing is nested in it."""
    if not hasattr(network, LEVELS):
        raise BadInput(f"{name} must be a run of the method nested; it has no levels; take one such as digits-nested")
    return Nested(network)


def levels_of(network: nn.Module, name: str, dataset: Dataset, batch: int) -> dict[str, Any]:
    """Every level, core first, as `python -m core levels RUN --json` prints them; `bytes`: of its parameters and buffers.

    `consensus.average`: test accuracy of the mean of all levels' class probabilities (NestedNet-A). `bytes`: of the nested
    network, and of n networks in files of their own.
    """
    nested = nested_in(network.cpu().eval(), name)
    example = torch.zeros(1, *dataset.shape)
    full = extract(nested, nested.num_levels - 1).eval()
    dense = cost(full, example)
    rows = []
    for level in range(nested.num_levels):
        left = extract(nested, level).eval()
        own = cost(left, example)
        speed = None
        if level < nested.num_levels - 1:
            speed = timed(full, left, dataset, batch, dense.macs_per_image / own.macs_per_image)
        rows.append({
            "level": level, "params": own.params, "macs": own.macs_per_image, "bytes": size(left), "density": own.params / dense.params,
            "accuracy": {"test": cut.accuracy(left, dataset, "test")}, "speed": speed,
            "certificate": verify_level(nested, level, proof_inputs(left.double(), example, dataset)).model_dump(mode="json"),
        })  # fmt: skip
    return {
        "levels": rows,
        "consensus": {"average": average_accuracy(nested, dataset), "learned": None},
        "subset_holds": {f"{j} in {k}": holds for (j, k), holds in nested.subset_holds().items()},
        "bytes": {"nested": size(network), "separate": sum(row["bytes"] for row in rows)},
    }


def level_of(network: nn.Module, name: str, level: int, dataset: Dataset) -> tuple[fx.GraphModule, RemovalPlan, Any]:
    """(network, plan, certificate) of one level, to take away. BadInput where there is no such level."""
    nested = nested_in(network.cpu().eval(), name)
    example = torch.zeros(1, *dataset.shape)
    left = extract(nested, level).eval()
    certificate = verify_level(nested, level, proof_inputs(extract(nested, level).double().eval(), example, dataset))
    if level == nested.num_levels - 1:
        plan, left = remove_zeros(fold(left), example)
    else:
        plan = nested.inner[level].plan
    assert isinstance(left, fx.GraphModule)
    return left, plan, certificate


def timed(full: nn.Module, left: nn.Module, dataset: Dataset, batch: int, promised: float) -> dict[str, Any]:
    """A level against the full one on real images, interleaved."""
    images, _ = next(iter(batches(dataset.train, dataset, min(batch, len(dataset.train.labels)), train=False)))
    return latency.measure(full, left, images.cpu(), promised, budget_s=TIMED_S).model_dump(mode="json")


@torch.inference_mode()
def average_accuracy(nested: Nested, dataset: Dataset) -> float:
    """Test accuracy of the mean of the levels' class probabilities, 0-1."""
    networks = [nested.at(level).eval() for level in range(nested.num_levels)]
    right = 0
    for images, labels in batches(dataset.test, dataset, 500, train=False):
        mean: Tensor = torch.stack([network(images.cpu()).softmax(1) for network in networks]).mean(0)
        right += int((mean.argmax(1) == labels.cpu()).sum())
    return right / len(dataset.test.labels)


def size(network: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))
