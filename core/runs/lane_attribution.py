"""The lane's question where networks look: integrated gradients and Grad-CAM of every network of a run at the same images."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core import latency
from core.attribution.asked import Asked, asked_networks, class_asked
from core.attribution.pixels import enlarged, grad_cam, integrated_gradients
from core.attribution.ranks import spearman
from core.errors import BadInput
from core.nested.knowledge import View, views_of
from core.runs.folder import RunFolder
from core.runs.lane_levels import image_of
from core.runs.lane_stands import Questions, Stands

STEPS = 32
MAX_IMAGES = 4
DIGITS = 4
LEAST = 16  # positions below which a rank correlation of two maps would be luck


class AttributionQuestions(Questions):
    """Answers from the checkpoint after `epoch` epochs, or the nearest one before it (None: the newest); what was found is kept."""

    def __init__(self, stands: Stands) -> None:
        super().__init__(stands)
        self.networks = lru_cache(4)(self._networks)
        self.looked = lru_cache(64)(self._looked)

    def attributions(
        self,
        folder: str,
        indices: tuple[int, ...] = (0,),
        pixels: str = "",
        epoch: int | None = None,
        control: str = "",
    ) -> dict[str, Any]:
        """Where every network of a run looks: at test images, or at `pixels`, (H, W, C) uint8 of the data set's shape in base64.

        `control`: the folder of a dense control whose network is asked too. All explain the class that the first network names.
        """
        file = self.which(RunFolder(Path(folder)), epoch)
        other = self.which(RunFolder(Path(control)), None) if control else ""
        networks, note, done = self.networks(file, other)
        dataset = networks[0].view.dataset
        chosen = [None] if pixels else [int(index) % len(dataset.test) for index in list(indices)[:MAX_IMAGES]]
        return {
            "epoch": done, "note": note, "steps": STEPS, "images": len(dataset.test), "class_names": list(dataset.class_names),
            "shown": [self.looked(file, other, index, pixels) for index in chosen],
        }  # fmt: skip

    def _networks(self, file: str, other: str) -> tuple[list[Asked], str, int]:
        trained, config, epoch = self.network_of(file)
        dataset = self.dataset_of(config.dataset)
        found, note = asked_networks(trained, dataset, views_of(config.phases[-1].levels, dataset, self.data))
        if other:
            control, theirs, _ = self.network_of(other)
            if theirs.dataset != config.dataset:
                raise BadInput(
                    f"a dense control must have the run's data set {config.dataset}; it has {theirs.dataset}"
                )
            found.insert(1, Asked("dense control", control, View(dataset)))
        return found, note, epoch

    def _looked(self, file: str, other: str, index: int | None, pixels: str) -> dict[str, Any]:
        networks = self.networks(file, other)[0]
        dataset = networks[0].view.dataset
        image = image_of(pixels, dataset.shape) if index is None else dataset.test.images[index : index + 1]
        with torch.no_grad():
            full_said = int(networks[0].network(networks[0].view.dataset.normalise(image)).argmax(1))
        rows = [self._asked(networks[0], image, full_said)]
        rows += [self._asked(asked, image, full_said, rows[0]["cam_layer"]) for asked in networks[1:]]
        for row, asked in zip(rows, networks, strict=True):
            for name in ("integrated", "cam"):
                own, full = (found[f"{name}_positions"] for found in (row, rows[0]))
                row[f"{name}_like"] = None if asked.full or row["other"] else alike(own, full)
        for row in rows:
            del row["integrated_positions"], row["cam_positions"]
        label = None if index is None else int(dataset.test.labels[index])
        return {"index": index, "label": label, "pixels": image[0].permute(1, 2, 0).tolist(), "networks": rows}

    def _asked(self, asked: Asked, image: Tensor, full_said: int, layer: str = "") -> dict[str, Any]:
        """What one network says, and its maps (H, W), in units of the score; null where there is none, with the reason."""
        latency.wait_while_measured()
        dataset = asked.view.dataset
        x = dataset.normalise(image)
        with torch.no_grad():
            scores = asked.network(x)[0]
            baseline = asked.network(torch.zeros_like(x))[0]
        probabilities, said = scores.softmax(0), int(scores.argmax())
        target = class_asked(asked, full_said)
        other, target = target is None, said if target is None else target
        integrated, delta = integrated_gradients(asked.network, x, target, steps=STEPS)
        cam, why, positions = None, "", None
        try:
            found, layer = grad_cam(asked.network, x, target, layer)
            cam, positions = _plain(enlarged(found, dataset.shape[1:])), found
        except BadInput as problem:
            layer, why = "", str(problem)
        return {
            "name": asked.name, "full": asked.full, "level": asked.level, "other": other, "names": list(dataset.class_names), "said": said,
            "target": target, "probability": round(float(probabilities[target]), 4), "sure": round(float(probabilities[said]), 4),
            "score": round(float(scores[target]), 4), "gained": round(float(scores[target] - baseline[target]), 4),
            "integrated_positions": integrated, "cam_positions": positions, "cam_size": None if positions is None else list(positions.shape),
            "integrated": _plain(integrated), "delta": round(delta, 5), "cam": cam, "cam_layer": layer, "cam_why": why,
        }  # fmt: skip


def _plain(values: Tensor) -> list[list[float]]:
    return [[float(f"{value:.{DIGITS}g}") for value in row] for row in values.tolist()]


def alike(map_: Tensor | None, full: Tensor | None) -> float | None:
    """Rank correlation of two maps over positions, each as coarse as it was made.

    None where one is missing, they are of other sizes, have fewer than LEAST positions, or one says the same everywhere.
    """
    if map_ is None or full is None or map_.shape != full.shape or map_.numel() < LEAST:
        return None
    found = spearman(map_.numpy().ravel(), full.numpy().ravel())
    return None if np.isnan(found) else round(found, 3)
