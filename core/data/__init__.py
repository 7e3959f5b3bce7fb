"""Data sets: in memory, normalised and augmented in whole batches.

Importing this package does not import torch; calling it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.files import DATA_VARIABLE, missing
from core.data.names import NAMES
from core.data.normalising import NORMALISATIONS, renormalised

if TYPE_CHECKING:
    import torch

    from core.data.dataset import Dataset, Split

__all__ = ["DATA_VARIABLE", "NAMES", "NORMALISATIONS", "batches", "load", "missing"]


def load(name: str, data_dir: Path | None = None, *, normalize: str | None = None) -> Dataset:
    """The data set ``name``, whole, in memory.

    ``data_dir`` holds the official files of those that are not built in; without it the environment variable
    ``ESPALIER_DATA`` says where. ``normalize`` names the normalisation of ``NORMALISATIONS`` that a network from
    elsewhere was trained with; without it the images are normalised by the data set's own statistics. Raises
    ``BadInput`` for an unknown name, ``DamagedFile`` for files that are missing, cut short or not what their name says.
    """
    from core.data import loading

    dataset = loading.load(name, data_dir)
    return dataset if normalize is None else renormalised(dataset, normalize)


def batches(
    split: Split,
    dataset: Dataset,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    train: bool = False,
    position: int = 0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of ``split`` in batches of images (B, C, H, W), float32, normalised, channels-last, and labels (B,).

    Training shuffles and augments with numbers from ``generator`` (on the CPU), all drawn at this call; otherwise the
    order is that of the split and nothing is drawn. The last batch may be smaller. ``position`` skips that many
    batches and leaves the others as they would have been.
    """
    from core.data import feeding

    return feeding.batches(split, dataset, batch_size, generator=generator, train=train, position=position)
