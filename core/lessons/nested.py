"""Networks inside a network: a small nested ResNet-20 for digits, recorded, that answers at every level; and who lies in whom."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from core import checkpoint, checkpoint_file
from core.config import RunConfig
from core.cut import accuracy
from core.data.dataset import Dataset
from core.errors import BadInput
from core.level_settings import Level
from core.levels import nested_in
from core.nested import Nested, Schedule, consensus, extract, nest
from core.nested.answering import agrees, disagreements, probabilities
from core.nested.bands import bands, first_held, shared_layers
from core.nested.knowledge import View, views_of
from core.nested_presets import joint, level_control
from core.networks import build
from core.presets import dense_control, preset
from core.structure import cost
from core.trained import trained_network
from core.training import run

FILE = Path(__file__).resolve().parents[2] / "assets" / "lessons" / "digits-nested.safetensors"
LEVELS = (Level(width=0.25), Level(width=0.5), Level())
EPOCHS = 60
FOUR = (Schedule(0.5, 0.5), Schedule(0.5, 1.0), Schedule(1.0, 0.5))
"""Half of the channels and of the blocks (of three, two); half of the channels; half of the blocks; last comes the whole (Kim et al., figure 4)."""


def settings() -> RunConfig:
    """The recorded network's: ResNet-20 at half width, a quarter of its channels in half of them in all."""
    own = preset("digits-nested").config
    return own.model_copy(update={"network": "resnet20-half", "phases": (joint(EPOCHS, LEVELS),)})


def record(folder: Path) -> None:
    """Trains the nested network, every inner level alone and the full network alone, about two minutes; writes `digits-nested.safetensors`.

    Its facts hold `alone`: test accuracy of each level trained alone equally long, core first, 0-1.
    """
    with tempfile.TemporaryDirectory() as work:
        controls = [level_control(settings(), level) for level in range(len(LEVELS) - 1)] + [dense_control(settings())]
        alone = [finished(config, Path(work) / f"alone{level}")[0] for level, config in enumerate(controls)]
        file = finished(settings(), Path(work) / "nested")[1]
        tensors, facts = checkpoint.load(file)
    weights = {name: tensor for name, tensor in tensors.items() if name.startswith("weights/")}
    kept = {key: facts[key] for key in ("config", "phase", "epoch", "classes") if key in facts}
    checkpoint.save(folder / FILE.name, weights, kept | {"alone": alone})


def finished(config: RunConfig, folder: Path) -> tuple[float, Path]:
    """Trains a run: test accuracy of what it leaves, and its last checkpoint."""
    result = next(event.result for event in run(config, folder=folder) if event.type == "finished")  # type: ignore[attr-defined]
    file = checkpoint_file.latest(folder / "checkpoints")
    assert file is not None
    return float(result["accuracy"]["compact"]), file


@cache
def kept() -> tuple[Nested, list[View], Dataset]:
    """The recorded network, what each of its levels knows, and its data set."""
    network, config, dataset, _ = trained_network(FILE)
    return nested_in(network, config.preset), views_of(config.phases[-1].levels, dataset), dataset


def answers(index: int = 0, pixels: Sequence[Sequence[int]] = ()) -> dict[str, Any]:
    """What every level says about a test image, or about `pixels`, 8 x 8 of 0-255: {index, label, pixels, levels: [probabilities]}."""
    nested, views, dataset = kept()
    label = None
    if pixels:
        image = image_of(pixels, dataset.shape)
    else:
        index %= len(dataset.test)
        image, label = dataset.test.images[index : index + 1], int(dataset.test.labels[index])
    told = probabilities(nested, views, image)
    return {
        "index": index, "label": label, "pixels": image[0, 0].tolist(),
        "levels": [[round(float(p), 4) for p in own[0]] for own in told],
    }  # fmt: skip


def image_of(pixels: Sequence[Sequence[int]], shape: tuple[int, int, int]) -> torch.Tensor:
    """A grey image (1, 1, H, W), uint8. BadInput for anything else."""
    _, height, width = shape
    rows = [[p for p in row if isinstance(p, int) and 0 <= p <= 255] for row in pixels]
    if [len(row) for row in rows] != [width] * height:
        raise BadInput(
            f"pixels must be {height} rows of {width} whole numbers from 0 to 255; got rows of {[len(row) for row in rows]}; draw again"
        )
    return torch.tensor(rows, dtype=torch.uint8)[None, None]


def family() -> dict[str, Any]:
    """The recorded network by level: accuracy, alone, MACs, parameters, bands, the subset rule, consensus, where levels disagree.

    `answers`: of the test images about which some level and the full one disagree, and of twelve others.
    """
    nested, views, dataset = kept()
    example = torch.zeros(1, *dataset.shape)
    rows = []
    for level, alone in enumerate(checkpoint.load(FILE)[1]["alone"]):
        left = extract(nested, level).eval()
        price = cost(left, example)
        rows.append({
            "level": level, "macs": price.macs_per_image, "params": price.params, "accuracy": accuracy(left, dataset, "test"), "alone": alone,
        })  # fmt: skip
    parted = disagreements(nested, views, len(dataset.test))["rows"]
    shown = [row["index"] for row in parted] + [i for i in range(60) if i not in {row["index"] for row in parted}][:12]
    return {
        "network": settings().network, "epochs": EPOCHS, "seed": settings().seed, "images": len(dataset.test),
        "widths": [level.width for level in LEVELS], "levels": rows, "bands": bands(nested), "grids": grids(nested), **rule(nested),
        "consensus": consensus.agreed(nested, views, learned=True),
        "parted": core_differs(nested, views, dataset), "answers": [answers(index) for index in shown],
        "four": four(),
    }  # fmt: skip


def core_differs(nested: Nested, views: list[View], dataset: Dataset) -> list[int]:
    """Of how many test images each level says something else than the full one, core first."""
    said = [told.argmax(1) for told in probabilities(nested, views, dataset.test.images[:])]
    return [
        int((~same).sum())
        for view, own in zip(views, said, strict=True)
        if (same := agrees(view, own, said[-1])) is not None
    ]


def grids(nested: Nested) -> dict[str, list[list[int]]]:
    """By layer: a grid of output by input channels with the first level that has each pair's weights."""
    out = {}
    for name in shared_layers(nested):
        held = first_held(nested, name)
        out[name.removesuffix(".weight")] = held.flatten(2).amin(2).tolist() if held.ndim == 4 else held.tolist()
    return out


def rule(nested: Nested) -> dict[str, Any]:
    """Equation 5's condition for every pair of levels: {subset_holds: {"j in k": whether}}."""
    return {"subset_holds": {f"{j} in {k}": holds for (j, k), holds in nested.subset_holds().items()}}


def four() -> dict[str, Any]:
    """Four levels by channels and blocks of an untrained ResNet-20 at half width: bands of each, and who lies in whom."""
    full = build(settings().network, num_classes=10, in_channels=1, image_size=8)
    nested = nest(full, torch.zeros(2, 1, 8, 8), FOUR)
    names = ["half of the channels, 2 of 3 blocks", "half of the channels", "2 of 3 blocks", "everything"]
    return {"names": names, "bands": bands(nested), **rule(nested)}


def recorded() -> dict[str, Any]:
    """Trains the network and its controls anew, writes its weights, and says what `family` does; about three minutes."""
    record(FILE.parent)
    kept.cache_clear()
    return {"config": {"network": settings().network, "dataset": settings().dataset, "epochs": EPOCHS}} | family()
