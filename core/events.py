"""What crosses from the engine to a screen or a file: frozen records of numbers, text and copied arrays.

Every event carries `type` (a string, to tell them apart), `step` (optimizer updates done), `epoch` (epochs done)
and `phase` (index). Arrays are copies, never views of something that goes on changing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Event:
    """Where in the run something happened."""

    step: int = 0
    epoch: int = 0
    phase: int = 0

    @property
    def type(self) -> str:
        """The event's name in files and on screen, e.g. `epoch_done`."""
        return TYPES[type(self).__name__]

    def to_json(self) -> dict[str, Any]:
        """Plain data; arrays are left out (they go to the history files)."""
        plain = {k: v for k, v in asdict(self).items() if not isinstance(v, np.ndarray)}
        return {"type": self.type, **plain}


@dataclass(frozen=True, kw_only=True)
class Started(Event):
    """The first event of an attempt: the settings as fixed at the first start, the layout and the sites.

    `sites`: list of {site, kind, total}, in the order of the history records. `data`: {mean, std, shape,
    class_names, val_images} of the data set: by what images are normalised, how many measure the validation accuracy.
    """

    config: dict[str, Any]
    layout: dict[str, Any]
    sites: list[dict[str, Any]]
    dense: dict[str, float]
    conditions: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """Where training stands, about twice a second."""

    images_per_s: float
    seconds_left: float
    epochs: int
    fraction: float


@dataclass(frozen=True, kw_only=True)
class EpochDone(Event):
    """Numbers of one epoch; accuracies are fractions 0-1; `macs` is what the learned zeros would leave.

    `levels`: validation accuracy of every nested level, core first; empty where there is one network.
    """

    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    strengths: dict[str, float]
    macs: float
    seconds: float
    alive: dict[str, int] = field(default_factory=dict)
    levels: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Structure(Event):
    """The factor (or norm), the effective norm and the alive flag of every unit, in the order of `Started.sites`."""

    values: np.ndarray
    effective: np.ndarray
    alive: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Collapsed(Event):
    """A block died, or a site lost its last unit; `takes` names what becomes useless with it."""

    site: str
    kind: str
    takes: list[str]


@dataclass(frozen=True, kw_only=True)
class Revived(Event):
    """A site that had collapsed has a living unit again."""

    site: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Steered(Event):
    """A control took effect at this step."""

    control: str
    kind: str = ""
    value: float | None = None
    before: float | None = None


@dataclass(frozen=True, kw_only=True)
class Speed(Event):
    """The network that would be cut now, timed against the dense one (`latency.Speed` as plain data)."""

    speed: dict[str, Any]
    asked: bool = False


@dataclass(frozen=True, kw_only=True)
class Checkpointed(Event):
    """A checkpoint is safely on disk."""

    file: str


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something a person should know, in a sentence."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Paused(Event):
    """Training waits for `continue` or `stop`."""


@dataclass(frozen=True, kw_only=True)
class Continued(Event):
    """Training goes on after a pause."""


@dataclass(frozen=True, kw_only=True)
class Stopped(Event):
    """A person ended the run before its last epoch."""


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The run is over: accuracies, counts, certificate and speed, keyed as in `python -m core show --json`."""

    result: dict[str, Any]


TYPES = {
    "Started": "started", "Progress": "progress", "EpochDone": "epoch_done", "Structure": "structure",
    "Collapsed": "collapsed", "Revived": "revived", "Steered": "steered", "Speed": "speed",
    "Checkpointed": "checkpointed", "Notice": "notice", "Paused": "paused", "Continued": "continued",
    "Stopped": "stopped", "Finished": "finished",
}  # fmt: skip
