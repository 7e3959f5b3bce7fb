"""What every level of a nested network is by itself: what it costs, how well it answers, and the proof that it is the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from core import checkpoint_file, cut, latency
from core.data import batches
from core.data.dataset import Dataset
from core.errors import BadInput
from core.nested import Adaptive, Nested, consensus, extract
from core.nested.answering import by_family
from core.nested.bands import bands
from core.nested.knowledge import View
from core.nested.masks import masked_weights
from core.nested.proving import verify_level
from core.networks.describe import LEVELS
from core.networks.factors import fold
from core.proof import proof_inputs
from core.structure import RemovalPlan, cost, remove_zeros
from core.trained import trained_network

TIMED_S = 1.0


def nested_in(network: nn.Module, name: str) -> Nested:
    """The nested network that `network` is the full level of. BadInput where nothing is nested in it."""
    if not hasattr(network, LEVELS):
        raise BadInput(f"{name} must be a run of the method nested; it has no levels; take one such as digits-nested")
    return Nested(network)


def adaptive(run: str | Path, data: Path | None = None) -> Adaptive:
    """The nested network of a run's folder, as it is now, to be asked at any level or budget. BadInput where there is none.

    `net = adaptive("~/.espalier/runs/RUN"); net.for_budget(ms=5); net(images)`.
    """
    folder = Path(run).expanduser()
    file = checkpoint_file.latest(folder / "checkpoints")
    if file is None:
        raise BadInput(f"{folder} must be the folder of a run with a checkpoint; it has none; train it first")
    return Adaptive(nested_in(trained_network(file, None, data)[0], folder.name))


def levels_of(
    network: nn.Module, name: str, views: Sequence[View], batch: int, *, learn: bool = False
) -> dict[str, Any]:
    """Every level, core first, as `python -m core levels RUN --json` prints them; `views`: what each knows.

    `bytes`: of parameters and buffers, of the nested network, and of n networks in files of their own; `density`: weights that are
    not zero over those of the full network. `accuracy.test` is of the level's own classes, `accuracy.extra` of an extra head's.
    `consensus`: test accuracy of NestedNet-A and, where `learn`, of NestedNet-L (on all training images); null where one level
    alone knows the run's classes. `bands`: what each has of every layer; `families`: of levels with coarser classes, by family.
    """
    nested = nested_in(network.cpu().eval(), name)
    dataset = views[-1].dataset
    example = torch.zeros(1, *dataset.shape)
    full = extract(nested, nested.num_levels - 1).eval()
    dense = cost(full, example)
    rows = []
    for level, view in enumerate(views):
        left = extract(nested, level).eval()
        own = cost(left, example)
        speed = None
        if level < nested.num_levels - 1:
            speed = timed(full, left, dataset, batch, dense.macs_per_image / own.macs_per_image)
        rows.append({
            "level": level, "params": own.params, "macs": own.macs_per_image, "bytes": size(left),
            "density": living(left) / max(1, living(full)), "classes": view.dataset.num_classes, "dataset": view.dataset.name,
            "accuracy": accuracies(nested, level, left, views), "speed": speed,
            "certificate": verify_level(nested, level, proof_inputs(left.double(), example, dataset)).model_dump(mode="json"),
        })  # fmt: skip
    return {
        "levels": rows,
        "consensus": consensus.agreed(nested, views, learned=learn),
        "subset_holds": {f"{j} in {k}": holds for (j, k), holds in nested.subset_holds().items()},
        "bytes": {"nested": size(network), "separate": sum(row["bytes"] for row in rows)},
        "bands": bands(nested), "families": by_family(nested, views),
    }  # fmt: skip


def accuracies(nested: Nested, level: int, left: nn.Module, views: Sequence[View]) -> dict[str, float]:
    """Test accuracy of a level's own classes, and of its extra head's, 0-1."""
    found = {"test": cut.accuracy(left, views[level].dataset, "test")}
    if not views[level].shares_classes and level in consensus.askable(nested, views):
        found["extra"] = consensus.accuracy_of(nested, views, level)
    return found


def level_of(
    network: nn.Module, name: str, level: int, views: Sequence[View]
) -> tuple[fx.GraphModule, RemovalPlan, Any]:
    """(network, plan, certificate) of one level, to take away. BadInput where there is no such level."""
    nested = nested_in(network.cpu().eval(), name)
    dataset = views[-1].dataset
    example = torch.zeros(1, *dataset.shape)
    left = extract(nested, level).eval()
    inputs = proof_inputs(extract(nested, level).double().eval(), example, dataset)
    if isinstance(left, fx.GraphModule):
        return left, nested.inner[level].plan, verify_level(nested, level, inputs)
    plan, compact = remove_zeros(fold(left), example)
    return compact, plan, verify_level(nested, level, inputs, compact, plan.nothing_removed)


def timed(full: nn.Module, left: nn.Module, dataset: Dataset, batch: int, promised: float) -> dict[str, Any]:
    """A level against the full one on real images, interleaved."""
    images, _ = next(iter(batches(dataset.train, dataset, min(batch, len(dataset.train.labels)), train=False)))
    return latency.measure(full, left, images.cpu(), promised, budget_s=TIMED_S).model_dump(mode="json")


def size(network: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in (*network.parameters(), *network.buffers()))


def living(network: nn.Module) -> int:
    """Weights of convolutions and linear layers that are not zero."""
    return sum(int(weight.count_nonzero()) for weight in masked_weights(network).values())
