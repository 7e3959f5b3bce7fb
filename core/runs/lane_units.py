"""The lane's questions about single units: the weights of a filter or neuron, and what it says about one image."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import latency
from core.errors import BadInput
from core.networks.describe import structures_of
from core.runs.folder import RunFolder
from core.runs.lane_stands import Questions, Stands

MAX_SLICES = 128  # two-dimensional slices of a kernel that are sent
MAX_KERNELS = 256  # whole kernels of a first layer
SIDE = 48  # pixels of a feature map's side, at most


class UnitQuestions(Questions):
    """Answers from the checkpoint after `at` epochs or the nearest before it; where none is kept so early, from the newest."""

    def __init__(self, stands: Stands) -> None:
        super().__init__(stands)
        self.said = lru_cache(8)(self._said)

    def layer(self, folder: str, path: str, at: int | None = None, epoch: int | None = None) -> dict[str, Any]:
        """The norm of every unit of a layer; where the layer reads the image, every kernel too (units, C, h, w), in [-1, 1]."""
        network, config, done = self.network_of(self._file(folder, epoch if at is None else at))
        weight = weight_of(network, path)
        first = (
            weight.ndim == 4 and weight.shape[1] == self.dataset_of(config.dataset).shape[0] and path == _first(network)
        )
        drawn = scaled(weight[:MAX_KERNELS]) if first and max(weight.shape[2:]) > 1 else None
        return {
            "epoch": done,
            "norms": rounded(weight.flatten(1).norm(dim=1)),
            "kernels": drawn,
            "shape": list(weight.shape),
        }

    def unit(
        self, folder: str, path: str, unit: int, units: int | None = None, index: int = 0, at: int | None = None, epoch: int | None = None
    ) -> dict[str, Any]:  # fmt: skip
        """One unit of a layer: its weights (`kernel`) and what it says about a test image (`feature`).

        `units`: how many there are where a unit is several filters, as a conv group is; None: each filter is one.
        """
        file = self._file(folder, epoch if at is None else at)
        return {"kernel": self.kernel(file, path, unit, units), "feature": self.feature(file, path, unit, units, index)}

    def kernel(self, file: str, path: str, unit: int, units: int | None = None) -> dict[str, Any]:
        """The weights of one unit: two-dimensional slices (slices, h, w) in [-1, 1], the largest MAX_SLICES; of a linear layer, one row.

        `reads_image`: whether the slices are the channels of the image. `of`: slices in all; `largest`: the size of the largest weight.
        """
        network, config, done = self.network_of(file)
        own = _of_unit(weight_of(network, path), unit, units, path)
        shape = self.dataset_of(config.dataset).shape
        reads_image = path == _first(network) and len(own) == 1
        if own.ndim == 2:
            own = own.view(shape) if reads_image and own.numel() == torch.Size(shape).numel() else own[None]
        else:
            own = own.flatten(0, 1)
        kept = own.flatten(1).norm(dim=1).argsort(descending=True)[:MAX_SLICES].sort().values
        return {
            "epoch": done, "unit": unit, "slices": scaled(own[kept]), "of": len(own), "reads_image": reads_image,
            "norm": float(own.norm()), "largest": float(own.abs().max()), "zeros": int((own == 0).sum()), "weights": own.numel(),
        }  # fmt: skip

    def feature(self, file: str, path: str, unit: int, units: int | None, index: int) -> dict[str, Any]:
        """What one unit says about a test image, behind its norm and factor: a map (h, w) in [-1, 1], `largest` its scale.

        Of a unit of several filters, their mean; of a linear layer one number. `pixels`: the image (H, W, C).
        """
        said, facts = self.said(file, path, index)
        own = _of_unit(said, unit, units, path).mean(0)
        if own.ndim < 2:
            own = own.reshape(1, -1)
        shrunk = own if max(own.shape) <= SIDE else nn.functional.adaptive_avg_pool2d(own[None], SIDE)[0]
        largest = float(shrunk.abs().max())
        scale = largest or 1.0
        return {
            **facts,
            "map": rounded(shrunk / scale),
            "largest": largest,
            "mean": float(own.mean()),
            "side": list(own.shape),
        }

    def _file(self, folder: str, at: int | None) -> str:
        run = RunFolder(Path(folder))
        try:
            return self.which(run, at)
        except BadInput:
            return self.which(run, None)

    @torch.no_grad()
    def _said(self, file: str, path: str, index: int) -> tuple[Tensor, dict[str, Any]]:
        """What every unit of a layer says about a test image, (units, …), and what is known of the image."""
        latency.wait_while_measured()
        network, config, done = self.network_of(file)
        dataset = self.dataset_of(config.dataset)
        index %= len(dataset.test)
        pixels = dataset.test.images[index : index + 1]
        heard: list[Tensor] = []
        module = _speaks(network, path)
        hook = network.get_submodule(module).register_forward_hook(
            lambda _, __, out: heard.append(out.detach()[0].cpu())
        )
        try:
            network(dataset.normalise(pixels))
        finally:
            hook.remove()
        if not heard:
            raise BadInput(
                f"layer {path} must run when the network looks at an image; it did not; choose another layer"
            )
        facts = {
            "epoch": done, "index": index, "images": len(dataset.test), "label": dataset.class_names[int(dataset.test.labels[index])],
            "pixels": pixels[0].permute(1, 2, 0).tolist(), "behind": "" if module == path else module,
        }  # fmt: skip
        return heard[0], facts


def weight_of(network: nn.Module, path: str) -> Tensor:
    """The weight (units, …) of the layer at `path`, on the processor. BadInput where there is no such layer."""
    layer = dict(network.named_modules()).get(path)
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise BadInput(
            f"a layer with weights must stand at {path!r} in this network; choose one in the table of layers"
        )
    return weight.detach().float().cpu()


def scaled(values: Tensor) -> list[Any]:
    """Nested lists in [-1, 1], three digits behind the point."""
    return rounded(values / (values.abs().max() or 1.0))


def rounded(values: Tensor) -> list[Any]:
    """Nested lists, four digits behind the point."""
    return (values.double() * 1e4).round().div(1e4).tolist()


def _first(network: nn.Module) -> str:
    """The layer that reads the image."""
    return next(name for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear))


def _speaks(network: nn.Module, path: str) -> str:
    """The module whose output is what the units of a layer say: the norm behind it where there is one, else the layer."""
    return next((s.module for s in structures_of(network) if s.layer == path and s.kind in ("filter", "neuron")), path)


def _of_unit(values: Tensor, unit: int, units: int | None, path: str) -> Tensor:
    """The rows of `values` (filters, …) that are a unit's own, where `units` share them evenly."""
    units = units or len(values)
    if not 0 <= unit < units <= len(values):
        raise BadInput(f"unit must be 0 to {min(units, len(values)) - 1} in {path}; got {unit}; choose another")
    each = len(values) // units
    return values[unit * each : (unit + 1) * each]
