"""The levels of a nested network as settings: what each keeps, what it learns, and what makes a family of them. No torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from core.data.names import CHOICES, folder_named
from core.errors import BadInput, one_of
from core.settings import Frozen

NUMBER = r"(\d*\.?\d+(?:e-?\d+)?)"
WRITTEN = re.compile(
    rf"(?:{NUMBER}\s*x\s*{NUMBER}|1/{NUMBER}|tau\s+{NUMBER})"
    rf"(?:\s+(coarse)|\s+labels\s+(\S+)|\s+data\s+(\S+))?(?:\s+weight\s+{NUMBER})?"
)


class Level(Frozen):
    """A network inside the full one (Kim et al., CVPR 2018).

    It keeps a share of the channels of each layer (`width`) and of the blocks of each stage (`depth`), both 0-1; or one of
    `compression` weights; or the weights above `tau` in size. `labels`: "coarse", or a file that maps classes (JSON), for a
    head of its own; `dataset`: images and classes of its own. `weight`: its share in the joint loss, beside the others'
    (`level_mean` of holders: where levels share weights).
    """

    width: float = Field(default=1.0, gt=0, le=1)
    depth: float = Field(default=1.0, gt=0, le=1)
    compression: float = Field(default=1.0, ge=1, le=1e6)
    tau: float | None = Field(default=None, ge=0, le=100)
    labels: str = Field(default="", max_length=400)
    dataset: str = Field(default="", max_length=400)
    weight: float = Field(default=1.0, gt=0, le=1000)

    @field_validator("labels")
    @classmethod
    def _labels_are_a_file(cls, labels: str) -> str:
        """The same file from whatever folder a process was started in."""
        return labels if labels in ("", "coarse") else str(Path(labels).expanduser().absolute())

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, name: str) -> str:
        if (folder := folder_named(name)) is not None:
            return str(folder)
        if name and name not in CHOICES:
            raise one_of("dataset of a level", name, CHOICES)
        return name

    @model_validator(mode="after")
    def _one_way(self) -> Level:
        if self.is_masked and self.is_scheduled:
            raise ValueError(
                "must keep channels and blocks, or single weights, not both; got width or depth with a mask"
            )
        if self.compression > 1 and self.tau is not None:
            raise ValueError(
                f"must have a compression or a tau, not both; got {self.compression:g} and {self.tau:g}; leave one out"
            )
        if self.labels and self.dataset:
            raise ValueError(
                f"must have labels or a data set of its own, not both; got {self.labels} and {self.dataset}; leave one out"
            )
        return self

    @property
    def is_masked(self) -> bool:
        """Whether it keeps single weights, in layers of full shape."""
        return self.compression > 1 or self.tau is not None

    @property
    def is_scheduled(self) -> bool:
        """Whether it keeps a part of the channels or blocks."""
        return self.width < 1 or self.depth < 1

    @property
    def shape(self) -> tuple[float, float]:
        """(width, depth)."""
        return self.width, self.depth

    @property
    def is_full(self) -> bool:
        """Whether it is the whole network with the run's own classes."""
        return not (self.is_masked or self.is_scheduled or self.labels or self.dataset)


def check_levels(levels: Sequence[Level], alone: int | None) -> None:
    """ValueError where these are no family: two or more, core first, the last the whole network."""
    if len(levels) < 2 or not levels[-1].is_full:
        raise ValueError(
            "levels must be two or more for nested, core first, and end with the full network, width 1 and depth 1; "
            f"got {len(levels)}"
        )
    masked = [level for level in levels[:-1] if level.is_masked]
    if masked and len(masked) < len(levels) - 1:
        raise ValueError("levels must all keep weights, or all channels and blocks; got both; train two runs")
    if masked:
        steps = [level.compression if level.tau is None else level.tau for level in masked]
        mixed = len({level.tau is None for level in masked}) > 1
        if mixed or any(a <= b for a, b in pairwise(steps)):
            raise ValueError(
                f"levels must have compressions that fall, or taus that fall, core first; got {steps}; as in 3, 2 and 1"
            )
    for small, large in combinations(levels, 2):
        if small.width >= large.width and small.depth >= large.depth and small.shape != large.shape:
            raise ValueError(
                f"levels must go from the core, the least of channels and blocks, to the full network; got {words_of(small)} before "
                f"{words_of(large)}; change their order"
            )
    if alone is not None and any(level.labels or level.dataset for level in levels):
        raise ValueError(
            "alone must be empty where a level has classes of its own; got both; take their data set for the run"
        )
    if alone is not None and not 0 <= alone < len(levels):
        raise ValueError(f"alone must be a level, 0 (core) to {len(levels) - 1} (full); got {alone}")


def words_of(level: Level) -> str:
    """A level in a few words: what it keeps, and what it learns."""
    kept = [f"{level.width:.3g} of the channels"] if level.width < 1 else []
    kept += [f"{level.depth:.3g} of the blocks"] if level.depth < 1 else []
    kept += [f"1 of {level.compression:g} weights"] if level.compression > 1 else []
    kept += [f"weights above {level.tau:g}"] if level.tau is not None else []
    learns = f", {level.labels} labels" if level.labels else f", {level.dataset}" if level.dataset else ""
    return (" and ".join(kept) or "everything") + learns


def written(level: Level) -> str:
    """A level as people write it: `0.5 x 1 coarse`, `1/3`, `tau 0.015 weight 2`, `0.5 x 1 data cifar10`."""
    if level.tau is not None:
        kept = f"tau {level.tau:g}"
    else:
        kept = f"1/{level.compression:g}" if level.compression > 1 else f"{level.width:g} x {level.depth:g}"
    labels = f" {level.labels if level.labels == 'coarse' else f'labels {level.labels}'}" if level.labels else ""
    data = f" data {level.dataset}" if level.dataset else ""
    return kept + labels + data + (f" weight {level.weight:g}" if level.weight != 1 else "")


def levels_written(text: str) -> list[dict[str, Any]]:
    """Levels between commas, as `written` writes them, for settings. BadInput for anything else."""
    out = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        found = WRITTEN.fullmatch(part)
        if found is None:
            raise BadInput(
                "levels must be written, core first, as shares of channels x blocks (0.5 x 1), of weights (1/3) or with a threshold "
                f"(tau 0.015), each with coarse, labels FILE or data NAME behind it if it learns something else; got {part!r}; "
                "for example 0.5 x 1, 1 x 1"
            )
        width, depth, compression, tau, coarse, labels, data, weight = found.groups()
        told = {"width": width, "depth": depth, "compression": compression, "tau": tau, "weight": weight}
        level: dict[str, Any] = {name: float(value) for name, value in told.items() if value is not None}
        out.append(level | {k: v for k, v in (("labels", coarse or labels), ("dataset", data)) if v})
    return out
