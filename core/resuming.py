"""A run kept at the end of an epoch, and put back to go on from there, bit-identically."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import checkpoint, standing
from core import events as ev
from core.compacting import Compacted
from core.nested.knowledge import check_classes, classes_in
from core.structure import RemovalPlan

if TYPE_CHECKING:
    from core.training import Training


def keep(training: Training) -> Iterator[ev.Event]:
    """A checkpoint of where the run stands, in its folder; nothing without one."""
    if training.folder is None:
        return
    facts = training.where() | {
        "compacted": training.compacted.plan.model_dump(mode="json") if training.compacted else None, "epoch_in_phase": training.epoch_in_phase, "strengths": training.method.strengths, "collapsed": sorted(training.collapsed),
        "learned": training.learned, "classes": classes_in(training.views), "seconds": training.training_s, "processor_seconds": training.processor_s,
        "config": training.config.model_dump(mode="json"),
    }  # fmt: skip
    tensors = standing.tensors_of(
        training.network, training.optimizer, training.method, training.average, training.order, training.compacted
    )
    checkpoint.save(training.folder / "checkpoints" / f"{training.epoch:05d}.safetensors", tensors, facts)
    yield ev.Checkpointed(**training.where(), file=f"{training.epoch:05d}.safetensors")


def restore(training: Training, file: Path) -> dict[str, Any]:
    """Stand where the checkpoint stood; its facts. BadInput where it cannot be gone on from."""
    tensors, facts = standing.read(file, training.config)
    for index in range(facts["phase"] + 1):
        training.begin_phase(index, fresh=False, kept=standing.part(tensors, "weights/"))
    standing.put_back_network(tensors, training.network, training.method)
    if facts.get("compacted"):
        plan = RemovalPlan.model_validate(facts["compacted"])
        training.compacted = Compacted(training.network, training.method.frozen, plan)
        training.compacted.load_state_tensors(standing.part(tensors, "compacted/"))
        training.make_optimizer()
    check_classes(training.phase.levels, training.views, facts.get("classes"))
    training.step, training.epoch, training.epoch_in_phase = facts["step"], facts["epoch"], facts["epoch_in_phase"]
    standing.put_back(tensors, training.optimizer, training.average, training.order)
    training.method.strengths.update(facts["strengths"])
    training.learned, training.training_s = facts.get("learned"), facts.get("seconds", 0.0)
    training.processor_s = facts.get("processor_seconds", 0.0)
    return facts
