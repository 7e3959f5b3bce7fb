"""The lane's questions about nested runs: every level's answer to one image, where levels part, what they are made of; taking one away."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import BadInput
from core.latency import processor
from core.levels import nested_in
from core.nested import Adaptive, Nested, budget
from core.nested.alikeness import alikeness
from core.nested.answering import agrees, disagreements, probabilities
from core.nested.bands import bands, first_held, shared_layers
from core.nested.knowledge import View, views_of
from core.runs.folder import RunFolder, write_atomically
from core.runs.jobs import extract_of
from core.runs.lane_stands import Questions, Stands

LOOKED = 500  # test images among which the levels' disagreements are sought
MAX_KERNELS = 256


class LevelQuestions(Questions):
    """Answers from the checkpoint after `epoch` epochs, or the nearest one before it (None: the newest); what was found in one is kept."""

    def __init__(self, stands: Stands) -> None:
        super().__init__(stands)
        self.nested = lru_cache(4)(self._nested)
        self.parted = lru_cache(16)(self._parted)
        self.made = lru_cache(16)(self._made)

    def levels(self, folder: str, index: int = 0, pixels: str = "", epoch: int | None = None) -> dict[str, Any]:
        """What every level says about a test image, or about `pixels`: (H, W, C) uint8 of the data set's shape, in base64."""
        nested, views, done = self.nested(self.which(RunFolder(Path(folder)), epoch))
        dataset = views[-1].dataset
        split, label = dataset.test, None
        if pixels:
            image = image_of(pixels, dataset.shape)
        else:
            index %= len(split)
            image, label = split.images[index : index + 1], int(split.labels[index])
        told = probabilities(nested, views, image)
        said = [own.argmax(1) for own in told]
        alike = [agrees(view, own, said[-1]) for view, own in zip(views, said, strict=True)]
        return {
            "epoch": done, "index": index, "images": len(split), "label": label, "pixels": image[0].permute(1, 2, 0).tolist(),
            "class_names": list(dataset.class_names),
            "levels": [
                {
                    "names": list(view.dataset.class_names), "probabilities": [round(float(p), 4) for p in own[0]],
                    "agrees": None if same is None else bool(same), "of": None if view.of is None else view.of.tolist(),
                }
                for view, own, same in zip(views, told, alike, strict=True)
            ],
        }  # fmt: skip

    def part(self, folder: str, epoch: int | None = None) -> dict[str, Any]:
        """Test images about which a level and the full one disagree, of the first LOOKED."""
        return self.parted(self.which(RunFolder(Path(folder)), epoch))

    def nesting(self, folder: str, epoch: int | None = None) -> dict[str, Any]:
        """What every level has of every layer, and the first layer's kernels with the level at which each weight comes in."""
        return self.made(self.which(RunFolder(Path(folder)), epoch))

    def needs(self, folder: str, batch: int = 1, epoch: int | None = None) -> dict[str, Any]:
        """What every level needs, core first: MACs an image, bytes, milliseconds a batch (median and quartiles of n passes) here and now."""
        nested, views, done = self.nested(self.which(RunFolder(Path(folder)), epoch))
        found = Adaptive(nested, torch.zeros(batch, *views[-1].dataset.shape)).needs()
        return {
            "epoch": done, "batch": batch, "n": budget.N, "threads": torch.get_num_threads(), "cpu": processor(),
            "levels": [asdict(need) for need in found],
        }  # fmt: skip

    def extract(self, folder: str, level: int, output: str) -> dict[str, Any]:
        """A level written to `output` in the form of its suffix, what is known of it in `output`.json."""
        told = extract_of(RunFolder(Path(folder)), level, Path(output), self.data)
        write_atomically(Path(f"{output}.json"), json.dumps(told))
        return told

    def _nested(self, file: str) -> tuple[Nested, list[View], int]:
        network, config, epoch = self.network_of(file)
        nested = nested_in(network, config.preset)
        return nested, views_of(config.phases[-1].levels, self.dataset_of(config.dataset), self.data), epoch

    def _parted(self, file: str) -> dict[str, Any]:
        nested, views, epoch = self.nested(file)
        names = [list(view.dataset.class_names) for view in views]
        return {"epoch": epoch, "names": names, **disagreements(nested, views, LOOKED)}

    def _made(self, file: str) -> dict[str, Any]:
        nested, _, epoch = self.nested(file)
        holds = {f"{j} in {k}": found for (j, k), found in nested.subset_holds().items()}
        return {"epoch": epoch, "bands": bands(nested), "subset_holds": holds, "first": first_layer(nested)}


def first_layer(nested: Nested) -> dict[str, Any] | None:
    """Kernels of the first convolution (filters, channels, h, w), the first level of every weight, and how alike filters are.

    None where the first layer is no convolution over a plane. At most MAX_KERNELS filters.
    """
    name = shared_layers(nested)[0]
    weight = dict(nested.full.named_parameters())[name].detach().cpu()[:MAX_KERNELS]
    if weight.ndim != 4:
        return None
    level = first_held(nested, name).cpu()[:MAX_KERNELS]
    return {
        "layer": name.removesuffix(".weight"), "kernels": rounded(weight / (weight.abs().max() or 1.0)), "level": level.tolist(),
        "alike": alikeness(weight.flatten(1), level.flatten(1).amin(1)),
    }  # fmt: skip


def rounded(values: Tensor) -> list[Any]:
    """Nested lists of three digits behind the point."""
    return [rounded(value) if value.ndim else round(float(value), 3) for value in values]


def image_of(pixels: str, shape: tuple[int, int, int]) -> Tensor:
    """An image (1, C, H, W), uint8, of base64 of (H, W, C) bytes. BadInput for anything else."""
    channels, height, width = shape
    try:
        found = base64.b64decode(pixels, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != channels * height * width:
        raise BadInput(
            f"pixels must be base64 of {height} x {width} x {channels} bytes; got {len(found)} bytes; resize the image first"
        )
    return torch.frombuffer(bytearray(found), dtype=torch.uint8).view(1, height, width, channels).permute(0, 3, 1, 2)
