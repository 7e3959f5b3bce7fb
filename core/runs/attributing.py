"""The job behind `python -m core attribute`: a run's filters measured before any died, and compared with what became of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core import checkpoint, checkpoint_file, conditions, latency
from core.atomic import replacing
from core.attribution.filters import STEPS, Measured, measure
from core.attribution.kept import RESAMPLES, Layer, agreement, alike, deaths, layer_rows, places_of, repeatable
from core.data.dataset import Dataset
from core.errors import BadInput
from core.methods import all_sites
from core.methods.survival import OUTPUTS
from core.networks.describe import Structure
from core.runs.attributed import FOLDER, kept_epochs
from core.runs.folder import RunFolder, write_atomically
from core.trained import trained_network

DRAWN = 2016  # seed of the images that are drawn
BATCH = 32
MEASURES = ("conductance", "taylor", "norm")


def attribute(
    folder: RunFolder,
    num_images: int,
    data: Path | None,
    *,
    epoch: int | None = None,
    control: RunFolder | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> dict[str, Any]:
    """Measure, compare, keep; the document that `attribute --json` prints.

    `epoch`: of the checkpoint; None: the last kept one at which every unit was alive. `control`: measured in this run instead, after
    its last epoch (or `epoch`); it must have begun with the same weights. Raises BadInput and WrongMoment in sentences.
    """
    began = time.perf_counter()
    sites, alive = folder.sites(), folder.history()[1]
    if not len(alive):
        raise folder.lacks("a record of an epoch")
    file = _checkpoint_in(folder, alive, sites, epoch) if control is None else _checkpoint_of(control, epoch)
    network, config, dataset, done = trained_network(file, None, data)
    conditions.prepare_process(conditions.fixed(config, 0))
    asked = [site for site in all_sites(config.phases, network) if site.kind in OUTPUTS]
    known = {site["site"]: site for site in sites}
    asked = [site for site in asked if known.get(site.site, {}).get("total") == site.total]
    if not asked:
        raise BadInput(
            f"{folder.path.name} must have filters, neurons, conv groups or blocks that were recorded; it has none"
        )
    if control is not None:
        same_start(folder, control, asked)
    measured, images = _measure(network, dataset, asked, num_images, say)
    at = np.concatenate([np.arange(s["offset"], s["offset"] + s["total"]) for s in (known[a.site] for a in asked)])
    arrays = {
        "conductance": measured.conductance.mean(0).numpy(), "taylor": measured.taylor.mean(0).numpy(),
        "norm": _norms(control or folder, done, asked), "death": deaths(alive)[at], "norm_now": _norms(folder, len(alive) - 1, asked),
        "then": np.ones(len(at), bool) if control is not None else alive[min(done, len(alive) - 1)][at] > 0,
    }  # fmt: skip
    say("comparing with what became of them")
    document = {
        "run": folder.path.name, "epoch": done, "measured_in": (control or folder).path.name, "own": control is None,
        "survival_epoch": len(alive) - 1, "first_death": _first(deaths(alive)[at]), "images": images, "split": "val", "dataset": config.dataset,
        "steps": STEPS, "error": _error(measured), "repeatable": repeatable(measured.conductance.numpy(), [s.total for s in asked]),
        "resamples": RESAMPLES, "interval": 0.95, "epochs": len(alive) - 1, "from_trained": config.phases[0].starts_from == "source",
        **compared(asked, arrays), "seconds": time.perf_counter() - began, "threads": torch.get_num_threads(), "cpu": latency.processor(),
    }  # fmt: skip
    return _keep(folder, document, arrays)


def compared(sites: list[Structure], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """`kinds`: of filters and neurons, conv groups, blocks, how each measure agrees with life; `layers`; `by_norm`.

    Blocks are one unit each: all of them make one layer.
    """
    places = places_of([site.total for site in sites])
    kinds = []
    for kind, of in (("filter", ("filter", "neuron")), ("group", ("group",)), ("block", ("block",))):
        mine = [place[arrays["then"][place]] for site, place in zip(sites, places, strict=True) if site.kind in of]
        mine = [np.concatenate(mine)] if mine and kind == "block" else [place for place in mine if len(place)]
        if mine:
            death = np.concatenate([arrays["death"][place] for place in mine])
            kinds.append({
                "kind": kind, "units": len(death), "lost": int(np.isfinite(death).sum()), "sites": len(mine),
                **{name: agreement(_layers(arrays, name, mine)) for name in MEASURES},
            })  # fmt: skip
    plain = [{"site": s.site, "kind": s.kind, "total": s.total} for s in sites]
    then = [place[arrays["then"][place]] for place in places]
    rows = layer_rows(plain, _layers(arrays, "conductance", then))
    sizes = [len(place) for place in then]
    everywhere = np.concatenate(then)
    by_norm = alike(arrays["conductance"][everywhere], arrays["norm"][everywhere], sizes)
    return {"kinds": kinds, "layers": rows, "by_norm": by_norm}


def same_start(folder: RunFolder, control: RunFolder, sites: list[Structure]) -> None:
    """BadInput unless both runs began with the same weights in the layers of `sites`: only then is a unit the same one in both."""
    files = [one.checkpoints / "00000.safetensors" for one in (folder, control)]
    first, other = (checkpoint.load(file)[0] for file in files)
    names = [f"weights/{site.layer}.weight" for site in sites]
    rule = f"{control.path.name} must have begun with the same weights as {folder.path.name}, so that filters can be told one by one"
    if not all(name in first and name in other and torch.equal(first[name], other[name]) for name in names):
        raise BadInput(f"{rule}; they differ; take a dense control of the same seed, or measure in the run itself")


def _checkpoint_in(folder: RunFolder, alive: np.ndarray, sites: list[dict[str, Any]], epoch: int | None) -> Path:
    """The checkpoint to measure in: that of `epoch`, or the last one kept at which all outputs were alive."""
    kept = kept_epochs(folder)
    if epoch is not None:
        if epoch not in kept:
            raise BadInput(f"--epoch must be one whose checkpoint is kept ({_ranges(kept)}); got {epoch}")
        return folder.checkpoints / f"{epoch:05d}.safetensors"
    ours = [place for s in sites if s["kind"] in OUTPUTS for place in range(s["offset"], s["offset"] + s["total"])]
    whole = np.array([bool(epoch_alive[ours].all()) for epoch_alive in alive])
    before = [e for e in kept if e < len(whole) and whole[: e + 1].all()]
    if not before:
        died = int(np.argmin(whole))
        raise BadInput(
            f"{folder.path.name} must keep a checkpoint from before its first unit died (after epoch {died}); kept: {_ranges(kept)}; "
            "later, what is dead carries nothing by construction; measure in its dense control, with --control RUN"
        )
    return folder.checkpoints / f"{before[-1]:05d}.safetensors"


def _checkpoint_of(control: RunFolder, epoch: int | None) -> Path:
    if epoch is not None and epoch not in kept_epochs(control):
        raise BadInput(f"--epoch must be one whose checkpoint is kept ({_ranges(kept_epochs(control))}); got {epoch}")
    file = (
        checkpoint_file.latest(control.checkpoints)
        if epoch is None
        else control.checkpoints / f"{epoch:05d}.safetensors"
    )
    if file is None:
        raise control.lacks("a checkpoint")
    return file


def _measure(
    network: nn.Module, dataset: Dataset, sites: list[Structure], num_images: int, say: Callable[[str], None]
) -> tuple[Measured, int]:
    """The measures, and how many validation images they are means of: drawn once for ever, without order."""
    chosen = torch.randperm(len(dataset.val), generator=torch.Generator().manual_seed(DRAWN))[:num_images].sort().values
    images = dataset.normalise(next(iter(dataset.val.read([chosen]))))
    total = len(chosen)

    def between(done: int) -> None:
        latency.wait_while_measured()
        say(f"{done} of {total} images measured")

    return measure(network, sites, images, dataset.val.labels[chosen], batch=BATCH, between=between), total


def _norms(folder: RunFolder, epoch: int, sites: list[Structure]) -> np.ndarray:
    """Effective norms of all units after an epoch, NaN where none were recorded."""
    known, recorded = {s["site"]: s for s in folder.sites()}, folder.effectives()
    values = recorded[epoch] if epoch < len(recorded) else np.zeros(0)
    out = []
    for site in sites:
        at = known.get(site.site)
        if at is None or at["total"] != site.total or not len(values):
            out.append(np.full(site.total, np.nan))
        else:
            out.append(values[at["offset"] : at["offset"] + at["total"]])
    return np.concatenate(out)


def _layers(arrays: dict[str, np.ndarray], name: str, places: list[np.ndarray]) -> list[Layer]:
    return [Layer(arrays[name][place].astype("f8"), arrays["death"][place]) for place in places]


def _error(measured: Measured) -> dict[str, float]:
    """Of the steps: |what the image's conductance sums to less the score's difference| over the mean difference, median and largest."""
    share = (measured.delta.abs() / measured.gained.abs().mean()).numpy()
    return {"median": float(np.median(share)), "largest": float(share.max())}


def _first(death: np.ndarray) -> int | None:
    gone = death[np.isfinite(death)]
    return int(gone.min()) if len(gone) else None


def _ranges(epochs: list[int]) -> str:
    return "none" if not epochs else f"{epochs[0]} to {epochs[-1]}, {len(epochs)} in all"


def _keep(folder: RunFolder, document: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    place = folder.path / FOLDER
    place.mkdir(exist_ok=True)
    name = f"{document['epoch']:05d}" if document["own"] else f"in-{document['measured_in']}-{document['epoch']:05d}"
    document = json.loads(
        json.dumps(document | {"file": f"{name}.npz"}), parse_constant=lambda _: None
    )  # not a number: null
    with replacing(place / f"{name}.npz") as beside, open(beside, "wb") as out:
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    write_atomically(place / f"{name}.json", json.dumps(document))
    return document
