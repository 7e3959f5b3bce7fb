"""Data sets: in memory, or streamed from a folder of pictures; normalised and augmented in whole batches.

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

    from core.data.augment import Augment
    from core.data.dataset import Dataset, Split

__all__ = ["DATA_VARIABLE", "NAMES", "NORMALISATIONS", "batches", "load", "missing"]


def load(name: str, data_dir: Path | None = None, *, normalize: str | None = None) -> Dataset:
    """The data set ``name``, whole, in memory; or the pictures of a folder, ``folder:PATH`` or ``folder:PATH@SIDE``, streamed.

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
    augment: Augment | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of ``split`` in batches of images (B, C, H, W), float32, normalised, channels-last, and labels (B,).

    Training shuffles and augments with numbers from ``generator`` (on the CPU), all drawn at this call; ``augment`` says
    how, None as the data set does by default. Otherwise the order is that of the split and nothing is drawn or varied.
    The last batch may be smaller, and of streamed images that are not trained on a batch is at most 128 MiB.
    ``position`` skips that many batches and leaves the others as they would have been.
    """
    from core.data import feeding

    return feeding.batches(
        split, dataset, batch_size, generator=generator, train=train, position=position, augment=augment
    )
