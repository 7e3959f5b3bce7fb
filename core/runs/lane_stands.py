"""What every family of questions to the inference lane stands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from core.config import RunConfig
from core.data.dataset import Dataset
from core.runs.folder import RunFolder


@dataclass(frozen=True)
class Stands:
    """`which` gives the checkpoint of a run after so many epochs, or the nearest one before it (None: the newest); `network_of` the
    network, settings and epoch of a checkpoint; `dataset_of` a data set by name, from the folder `data`."""

    which: Callable[[RunFolder, int | None], str]
    network_of: Callable[[str], tuple[nn.Module, RunConfig, int]]
    dataset_of: Callable[[str], Dataset]
    data: Path | None = None


class Questions:
    """A family of questions; what was found in a checkpoint is kept."""

    def __init__(self, stands: Stands) -> None:
        self.which, self.network_of, self.dataset_of = stands.which, stands.network_of, stands.dataset_of
        self.data = stands.data
