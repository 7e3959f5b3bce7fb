"""Work on a run that is not training it: write its compact network, time it. From the newest checkpoint, whatever its state."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core import checkpoint_file, conditions, cut, sweeps
from core.config import RunConfig
from core.crossed import Crossed, beneath, together
from core.data.dataset import Dataset
from core.errors import BadInput, one_of
from core.forms import check_suffix, write_form
from core.latency import processor
from core.levels import level_of, levels_of, nested_in
from core.nested import Adaptive, budget
from core.nested.knowledge import views_of
from core.networks.factors import fold
from core.runs.folder import SWEEPS, RunFolder, write_atomically
from core.structure import cost
from core.trained import trained_network
from core.whatif import WhatIf


def newest(folder: RunFolder, data: Path | None) -> tuple[nn.Module, RunConfig, Dataset, int]:
    """`trained_network` of the newest whole checkpoint; WrongMoment where there is none yet."""
    file = checkpoint_file.latest(folder.checkpoints)
    if file is None:
        raise folder.lacks("a checkpoint")
    return trained_network(file, None, data)


def compact_of(folder: RunFolder, output: Path, data: Path | None) -> dict[str, Any]:
    """Cut, prove and write the compact network of `folder` to `output`; the document `compact --json` prints.

    The suffix of `output` names the form: .safetensors, .onnx or .py.
    """
    check_suffix(output)
    network, config, dataset, epoch = newest(folder, data)
    done = cut.cut(network, dataset, config.network)
    certificate = cut.prove(network, done, dataset)
    about = {
        "run": folder.path.name,
        "epoch": epoch,
        "network": config.network,
        "dataset": config.dataset,
        "config": config.model_dump(mode="json"),
    }
    example = torch.zeros(1, *dataset.shape)
    form = write_form(output, done.compact, example, source=about, plan=done.plan, certificate=certificate)
    return {
        "run": folder.path.name,
        "epoch": epoch,
        "file": str(output),
        **form,
        "certificate": certificate.model_dump(mode="json"),
        **cut.counts(done),
    }


def newest_nested(folder: RunFolder, data: Path | None) -> tuple[nn.Module, RunConfig, Dataset, int]:
    """`newest`; BadInput where one level alone was trained, which the network then is."""
    found = newest(folder, data)
    last = found[1].phases[-1]
    if last.method == "nested" and last.alone is not None:
        raise BadInput(
            f"{folder.path.name} must be a run that trained its levels together; it trained level {last.alone} alone; take that with "
            "`compact`"
        )
    return found


def levels_of_run(folder: RunFolder, data: Path | None) -> dict[str, Any]:
    """The levels of a nested run's newest network; the document `levels --json` prints."""
    network, config, dataset, epoch = newest_nested(folder, data)
    conditions.prepare_process(conditions.fixed(config, 0))
    views = views_of(config.phases[-1].levels, dataset, data)
    return {"run": folder.path.name, "epoch": epoch, **levels_of(network, folder.path.name, views, config.batch_size)}


def budget_of(folder: RunFolder, limit: dict[str, float], batch: int, data: Path | None) -> dict[str, Any]:
    """The largest level of a nested run within a budget, and what every level needs; the document `budget --json` prints.

    `limit`: one of ms (a batch of `batch` images), macs (an image) or bytes. BadInput where none fits.
    """
    network, config, dataset, epoch = newest(folder, data)
    conditions.prepare_process(conditions.fixed(config, 0))
    adaptive = Adaptive(nested_in(network.cpu().eval(), folder.path.name), torch.zeros(batch, *dataset.shape))
    level = adaptive.for_budget(**limit)
    return {
        "run": folder.path.name, "epoch": epoch, "level": level, "limit": limit, "batch": batch, "n": budget.N,
        "threads": torch.get_num_threads(), "cpu": processor(), "levels": [asdict(need) for need in adaptive.needs()],
    }  # fmt: skip


def extract_of(folder: RunFolder, level: int, output: Path, data: Path | None) -> dict[str, Any]:
    """Write a level of `folder`'s newest network to `output`; the document `extract --json` prints. BadInput for no level."""
    check_suffix(output)
    network, config, dataset, epoch = newest_nested(folder, data)
    views = views_of(config.phases[-1].levels, dataset, data)
    left, plan, certificate = level_of(network, folder.path.name, level, views)
    example = torch.zeros(1, *dataset.shape)
    about = {
        "run": folder.path.name, "epoch": epoch, "level": level, "network": config.network, "dataset": config.dataset,
        "class_names": list(views[level].dataset.class_names),
    }  # fmt: skip
    form = write_form(output, left, example, source=about, plan=plan, certificate=certificate)
    pair = {"dense": cost(fold(network).eval(), example), "compact": cost(left, example)}
    return {
        "run": folder.path.name, "epoch": epoch, "level": level, "file": str(output), **form,
        "certificate": certificate.model_dump(mode="json"),
        "macs": {name: c.macs for name, c in pair.items()}, "params": {name: c.params for name, c in pair.items()},
    }  # fmt: skip


def whatif_of(
    folder: RunFolder,
    crossed: Crossed,
    threshold: float | None,
    importance: str,
    output: Path | None,
    data: Path | None,
) -> dict[str, Any]:
    """`folder`'s newest network without crossed units, on the whole test set; the document `whatif --json` prints.

    `threshold`: the units go too whose importance over their layer's mean is at most this. The compact network is written to
    `output`, if given, in the form of its suffix.
    """
    if output is not None:
        check_suffix(output)
    network, config, dataset, epoch = newest(folder, data)
    asked = WhatIf(network, dataset, config.network)
    if threshold is not None:
        crossed = together(crossed, beneath(map(asdict, asked.sites(importance)), threshold))
    done = asked.cut(crossed)
    certificate, test = asked.prove(done), asked.on_test(done)
    document: dict[str, Any] = {
        "run": folder.path.name, "epoch": epoch, "crossed": crossed, "threshold": threshold, "importance": importance,
        **cut.counts(done), "removed_blocks": done.plan.removed_blocks, "certificate": certificate.model_dump(mode="json"),
        "accuracy": {name: test[name]["accuracy"] for name in ("dense", "compact")}, "test": test, "sample": asked.on_sample(done),
    }  # fmt: skip
    if output is not None:
        about = {
            "run": folder.path.name,
            "epoch": epoch,
            "crossed": crossed,
            "network": config.network,
            "dataset": config.dataset,
        }
        example = torch.zeros(1, *dataset.shape)
        form = write_form(output, done.compact, example, source=about, plan=done.plan, certificate=certificate)
        document |= {"file": str(output), **form}
    return document


def measure_of(folder: RunFolder, data: Path | None, *, keep: bool = True) -> dict[str, Any]:
    """Time `folder`'s newest network, dense against compact; unless not to `keep`, the result goes to `measured.json` of the folder.

    Raises BadInput where nothing computes any more, WrongMoment where there is no checkpoint yet.
    """
    done, config, dataset, epoch = _to_time(folder, data)
    speed = cut.timed(done, dataset, batch=config.batch_size, device="cpu", budget_s=3.0)
    document = speed.model_dump(mode="json")
    if keep:
        kept = {"epoch": epoch, "taken": time.time(), "speed": document}
        write_atomically(folder.path / "measured.json", json.dumps(kept))
    return document


def sweep_of(folder: RunFolder, kind: str, data: Path | None, *, keep: bool = True) -> dict[str, Any]:
    """Time `folder`'s newest network over batches, threads or engines; unless not to `keep`, the result goes to `measured-sweep.json` of
    the folder.

    Raises BadInput for another kind or where nothing computes any more, WrongMoment where there is no checkpoint yet.
    """
    if kind not in sweeps.KINDS:
        raise one_of("--sweep", kind, sweeps.KINDS)
    done, config, dataset, epoch = _to_time(folder, data)
    images = cut.first_images(dataset, max(config.batch_size, *sweeps.BATCHES))
    document = {"epoch": epoch, **sweeps.swept(kind, done, images, config.batch_size)}
    if keep:
        write_atomically(folder.path / SWEEPS, json.dumps(folder.sweeps() | {kind: document}))
    return document


def _to_time(folder: RunFolder, data: Path | None) -> tuple[cut.Cut, RunConfig, Dataset, int]:
    """The newest network cut, in a process prepared to time it, with settings, data set and epoch."""
    network, config, dataset, epoch = newest(folder, data)
    conditions.prepare_process(conditions.fixed(config, 0))
    done = cut.cut(network, dataset, config.network)
    if not done.compact_cost.macs_per_image:
        raise BadInput(
            f"a network that is timed must compute something; nothing of {folder.path.name} lives at epoch {epoch}; choose another run"
        )
    return done, config, dataset, epoch
