"""The end of a run: cut, prove, time, save."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch import nn

from core import checkpoint, conditions, cut
from core import events as ev
from core.levels import levels_of
from core.watching import evaluate

if TYPE_CHECKING:
    from core.training import Training


def finish(training: Training) -> Iterator[ev.Event]:
    """Cut, prove, time, save."""
    trained: nn.Module = training.network.eval()
    result = cut.result_of(trained, training.dataset, training.config, training.folder)
    counts = training.method.counts(training.method.survival())
    rows = [{"site": s.site, "kind": s.kind, "alive": counts[s.site], "total": s.total} for s in training.method.sites]
    result["accuracy"]["val"] = evaluate(training.network, training.dataset, training.config)[1]
    if training.phase.method == "nested" and training.phase.alone is None:
        views = training.method.level_views()
        result |= levels_of(trained, "this run", views, training.config.batch_size, learn=True)
    if training.learned is not None:  # what was learned is cut as it is, exactly; fine-tuning came after
        result["accuracy"] |= {
            "test": training.learned, "compact": training.learned, "finetuned": result["accuracy"]["compact"],
        }  # fmt: skip
    result |= {
        "seconds": training.training_s, "processor_seconds": training.processor_s, "survival": rows, "weights_sha256": checkpoint.weights_sha256(trained.state_dict()),
        "conditions": conditions.described(training.config),
    }  # fmt: skip
    if training.config.measure_every:
        yield ev.Speed(**training.where(), speed=result["speed"], asked=False)
    yield ev.Finished(**training.where(), result=result)
