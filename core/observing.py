"""What is seen of a run in training: accuracy, structures and collapses after each epoch; how fast it would be, cut now."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from core import cut
from core import events as ev
from core.networks.remaining import macs_left
from core.schedules import lr_at, strength_factor
from core.watching import collapses, evaluate

if TYPE_CHECKING:
    from core.training import Training

MEASURE_BUDGET_S = 0.6
NOT_YET = (math.nan, math.nan, 0.0)


def observe(training: Training, train: tuple[float, float, float] = NOT_YET) -> Iterator[ev.Event]:
    """Accuracy, structure and collapses after an epoch of that (mean loss, accuracy 0-1, seconds), or before the first."""
    views = training.method.level_views()
    known = [view.dataset for view in views] or [training.dataset]
    watched = [evaluate(network, known[i], training.config) for i, network in enumerate(training.method.levels())]
    val_loss, val_accuracy = watched[-1]
    survival = training.method.survival()
    counts = training.method.counts(survival)
    loss, accuracy, seconds = train
    progress = training.epoch_in_phase / training.phase.epochs
    schedule = strength_factor(training.phase, progress)
    yield ev.EpochDone(
        **training.where(), train_loss=loss, train_accuracy=accuracy, val_loss=val_loss, val_accuracy=val_accuracy,
        levels=tuple(accuracy for _, accuracy in watched) if len(watched) > 1 else (),
        lr=lr_at(training.phase, min(progress, 1 - 1e-9)), strengths={k: v * schedule for k, v in training.method.strengths.items()},
        macs=macs_left(training.layout, counts), seconds=seconds, alive=counts,
    )  # fmt: skip
    gone, back = collapses(counts, training.collapsed)
    kinds = {s.site: s.kind for s in training.method.sites}
    for site, takes in gone:
        yield ev.Collapsed(**training.where(), site=site, kind=kinds[site], takes=takes)
    for site in back:
        yield ev.Revived(**training.where(), site=site, kind=kinds[site])
    training.collapsed = {site for site, alive in counts.items() if alive == 0}
    yield ev.Structure(**training.where(), values=survival.values, effective=survival.effective, alive=survival.alive)


def timed_now(training: Training, asked: bool) -> ev.Speed:
    """Time the network that would be cut now against the dense one; training pauses."""
    began = time.perf_counter()
    done = cut.cut(training.network, training.dataset, training.config.network)
    speed = cut.timed(
        done,
        training.dataset,
        batch=training.config.batch_size,
        device=training.config.device,
        budget_s=MEASURE_BUDGET_S,
    )
    training.measuring_s += time.perf_counter() - began
    return ev.Speed(**training.where(), speed=speed.model_dump(mode="json"), asked=asked)
