"""What each level knows: the run's classes, coarser ones of the same images, or another data set (Kim et al., CVPR 2018, 3.5)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.config import RunConfig
from core.data import batches, load
from core.data.dataset import Dataset, Families
from core.errors import BadInput
from core.level_settings import Level


@dataclass(frozen=True)
class View:
    """A level's classes: `dataset` with the labels it learns. `of`: by class of the run, the level's (int64); None: the same.

    `own`: its images are not the run's.
    """

    dataset: Dataset
    of: Tensor | None = None
    own: bool = False

    @property
    def shares_classes(self) -> bool:
        """Whether it answers with the classes of the run."""
        return self.of is None and not self.own


def views_of(levels: Sequence[Level], dataset: Dataset, data: Path | None = None) -> list[View]:
    """What each level knows, core first. BadInput for labels or images that there are not."""
    return [view_of(level, dataset, data) for level in levels]


def view_of(level: Level, dataset: Dataset, data: Path | None) -> View:
    if level.dataset:
        own = load(level.dataset, data)
        if own.shape != dataset.shape:
            raise BadInput(
                f"dataset of a level must have images of {dataset.shape}, as {dataset.name} has; {own.name} has {own.shape}; "
                "choose another"
            )
        return View(own.to(dataset.train.labels.device), own=True)
    if not level.labels:
        return View(dataset)
    families = coarse_of(dataset) if level.labels == "coarse" else families_in(Path(level.labels), dataset)
    of = torch.tensor(families.of, device=dataset.train.labels.device)
    return View(dataset.with_classes(families), of)


def classes_in(views: Sequence[View]) -> list[list[str] | None]:
    """For a checkpoint: of each level with coarser classes, the one of every class of the run; None of the others."""
    return [
        None if view.of is None else [view.dataset.class_names[family] for family in view.of.tolist()] for view in views
    ]


def check_classes(levels: Sequence[Level], views: Sequence[View], then: Sequence[list[str] | None] | None) -> None:
    """BadInput where a file of classes is no longer what a checkpoint was trained with; `then`: its `classes_in`, if it tells."""
    for level, now, before in zip(levels, classes_in(views), then or (), strict=bool(then)):
        if now != before:
            raise BadInput(
                f"{level.labels} must map classes as it did when the run was started; it was changed since; put it back as it was, or "
                "start a new run"
            )


def coarse_of(dataset: Dataset) -> Families:
    """The data set's own coarse classes."""
    if dataset.families is None:
        raise BadInput(
            f"labels 'coarse' of a level must be known for the data set; {dataset.name} has none; take cifar100 or shapes, or give "
            "the path of a JSON file that maps every class to a coarser one"
        )
    return dataset.families


def families_in(file: Path, dataset: Dataset) -> Families:
    """The mapping of a file: {"class": "coarser class", ...}, every class of the data set named."""
    rule = 'labels of a level must be "coarse" or a JSON file that maps every class, as {"cat": "animal", "car": "vehicle"}'
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        got = "no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise BadInput(f"{rule}; got {got} at {file}") from None
    if not isinstance(told, dict) or not all(isinstance(value, str) and value for value in told.values()):
        raise BadInput(f"{rule}; {file} is something else")
    missing = [name for name in dataset.class_names if name not in told]
    strange = [name for name in told if name not in dataset.class_names]
    if missing or strange:
        got = f"no class {missing[0]!r}" if missing else f"{strange[0]!r}, which {dataset.name} does not have"
        raise BadInput(f"{rule}; {file} has {got}")
    names = tuple(dict.fromkeys(told[name] for name in dataset.class_names))
    if len(names) < 2:
        raise BadInput(f"{rule}, to two classes or more; {file} has {names[0]!r} alone")
    return Families(names, tuple(names.index(told[name]) for name in dataset.class_names))


def endless(dataset: Dataset, config: RunConfig, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented training batches of a level's own data set, without end; the same for the same seed."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        yield from batches(
            dataset.train, dataset, config.batch_size, generator=draw, train=True, augment=config.augment
        )
