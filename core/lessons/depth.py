"""Depth: what residual branches add to the stream, and what is left when blocks of the recorded demo are crossed out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.data import batches
from core.errors import one_of
from core.networks import layout
from core.trained import trained_network
from core.whatif import WhatIf

PRICED = {"resnet20-projection": (10, 32), "resnet164": (10, 32), "resnet50": (1000, 224)}
"""Networks of the published structures: classes and side of an image."""
DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo" / "checkpoints" / "00120.safetensors"


@cache
def demo() -> WhatIf:
    """The network that the recorded demo ended with, ready to be crossed out in."""
    network, config, dataset, _ = trained_network(DEMO)
    return WhatIf(network, dataset, config.network)


def blocks() -> list[str]:
    """The demo's residual blocks, `stage1.0` to `stage3.2`."""
    return [site.site.rpartition("/")[0] for site in demo().structures if site.kind == "block"]


@torch.no_grad()
def stream() -> dict[str, Any]:
    """What every block's branch adds to its stream, over all test images: [{block, branch, skip, change}].

    `branch`, `skip`: root mean square of what is added and of what the skip path brings; `change`: the largest difference between
    what leaves the block and what came in, null where the shape changes.
    """
    what = demo()
    images = torch.cat([x for x, _ in batches(what.dataset.test, what.dataset, 500, train=False)])
    rows = []
    for path in blocks():
        seen = passed(what.model, path, images)
        same = seen["into"].shape == seen["out"].shape
        rows.append({
            "block": path, "branch": rms(seen["branch"]), "skip": rms(seen["skip"]),
            "change": float((seen["out"] - seen["into"]).abs().max()) if same else None,
        })  # fmt: skip
    return {"images": len(images), "blocks": rows}


def passed(model: nn.Module, path: str, images: Tensor) -> dict[str, Tensor]:
    """What goes through the block at `path` of a ResNet: `into` it, by its `branch` and its `skip` path, and `out` of it."""
    block, seen = model.get_submodule(path), dict[str, Tensor]()
    hooks = [
        block.register_forward_hook(lambda m, inputs, out: seen.update(into=inputs[0], out=out)),
        block.get_submodule("bn2").register_forward_hook(lambda m, inputs, out: seen.update(branch=out)),
        block.get_submodule("shortcut").register_forward_hook(lambda m, inputs, out: seen.update(skip=out)),
    ]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def crossed(gone: Sequence[str] = ()) -> dict[str, Any]:
    """The demo's network without these blocks and without training again: test accuracy before and after, MACs, parameters, proof.

    `test`: as `core.whatif.compared` says; `certificate`: the verdict on the removal alone.
    """
    for name in gone:
        if name not in blocks():
            raise one_of("block", name, blocks())
    done = demo().cut({f"{name}/block": [0] for name in gone})
    return {
        "gone": sorted(gone), "test": demo().on_test(done), "macs": done.compact_cost.macs_per_image, "macs_dense": done.dense_cost.macs_per_image,
        "params": done.compact_cost.params, "params_dense": done.dense_cost.params,
        "certificate": demo().prove(done).model_dump(mode="json"),
    }  # fmt: skip


def choices() -> dict[str, Any]:
    """Every choice among the demo's living blocks: {dead: blocks that are dead anyway, rows: [{gone, right, macs, params}], images}."""
    dead = [row["block"] for row in stream()["blocks"] if row["branch"] == 0]
    living, what = [name for name in blocks() if name not in dead], demo()
    rows = []
    for count in range(len(living) + 1):
        for gone in combinations(living, count):
            done = what.cut({f"{name}/block": [0] for name in gone})
            test = what.on_test(done)
            rows.append({
                "gone": list(gone), "right": round(test["compact"]["accuracy"] * test["images"]), "macs": done.compact_cost.macs_per_image,
                "params": done.compact_cost.params,
            })  # fmt: skip
    return {
        "dead": dead,
        "images": len(what.dataset.test),
        "macs": what.cost.macs_per_image,
        "params": what.cost.params,
        "rows": rows,
    }


def rms(values: Tensor) -> float:
    """Root mean square."""
    return float(values.double().square().mean().sqrt())


def prices() -> dict[str, Any]:
    """By network and stage: blocks, and MACs and weights of the convolutions of one block, its second, which changes no shape."""
    found = {}
    for name, (classes, side) in PRICED.items():
        stages = layout(name, num_classes=classes, in_channels=3, image_size=side).stages
        found[name] = [
            {"blocks": len(stage.blocks), "size": stage.size, "macs": sum(c.macs for c in stage.blocks[1].convs), "weights": sum(c.params for c in stage.blocks[1].convs)}
            for stage in stages
        ]  # fmt: skip
    return found


def recorded() -> dict[str, Any]:
    """What branches add, every choice of blocks, and what blocks cost; about a minute."""
    config = {
        "network": "the recorded demo's, after its last epoch",
        "images": "all test images",
        "priced": list(PRICED),
    }
    return {"config": config, "seed": 0, "stream": stream(), "choices": choices(), "prices": prices()}
