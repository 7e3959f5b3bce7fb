"""The collapse report: which sites died, when, in which order, what each took along, what it cost, whether it came back.

Read from what a run recorded; no torch. A residual block speaks for the layers inside it, as in the events.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.data.names import DATASETS
from core.networks.remaining import remaining
from core.runs.folder import RunFolder

SWING_OVER = 10  # epochs before a death whose changes of accuracy are the usual ones
MOST_THINNED = 5


@dataclass(frozen=True)
class Collapse:
    """A site that lost its last unit. Accuracies are on validation, 0-1, None where unknown; epochs count from 1, 0 is the start.

    `takes`: paths of the layers that compute nothing any more because of it. `macs`: share of the dense network's MACs that they had
    when dense, `macs_before`: just before. `back`: epochs at which it lived again, `again`: at which it then died. `since`: the epoch
    since which it is gone, None where it lives at the end. `swing`: median change of accuracy from epoch to epoch over the
    SWING_OVER before. `together`: sites that first died in the same epoch.
    """

    order: int
    site: str
    kind: str
    name: str
    epoch: int
    takes: list[str]
    macs: float
    macs_before: float
    back: list[int]
    again: list[int]
    since: int | None
    before: float | None
    at: float | None
    end: float | None
    swing: float | None
    together: int
    strengths: dict[str, float]
    steered: bool


@dataclass(frozen=True)
class Thinned:
    """A site that lost units but not all. `half`: the epoch since which at most half live, None where more do."""

    site: str
    name: str
    alive: int
    total: int
    first: int
    half: int | None


@dataclass(frozen=True)
class Report:
    """Collapses in the order of their first death; the sites that thinned most, where none collapsed; images of the validation split.

    `gone`: the share of the dense network's MACs that all layers had together which compute nothing any more.
    """

    epoch: int
    collapses: list[Collapse]
    thinned: list[Thinned]
    sites: int
    val_images: int | None
    gone: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def report_of(folder: RunFolder) -> Report:
    """The collapse report of a run's folder."""
    events = folder.events()[0]
    started = next((e for e in events if e["type"] == "started"), {})
    epochs = [e for e in events if e["type"] == "epoch_done"]
    sites = folder.sites()
    alive = folder.history(0)[1]
    offsets = [site["offset"] for site in sites]
    counts = np.add.reduceat(alive.astype("i8"), offsets, axis=1) if sites else np.zeros((len(alive), 0), "i8")
    return report(started, sites, counts, epochs, [e for e in events if e["type"] in ("collapsed", "steered")])


def report(
    started: Mapping[str, Any],
    sites: Sequence[Mapping[str, Any]],
    counts: np.ndarray,
    epochs: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
) -> Report:
    """`counts`: living units, (epochs, sites); `epochs`: `epoch_done` events; `events`: those of collapses and steering."""
    val = val_images(started)
    if not len(counts) or not len(sites):
        return Report(0, [], [], len(sites), val)
    names = [site["site"] for site in sites]
    layout, newest = started["layout"], len(counts) - 1
    dead = list(dict.fromkeys(e["site"] for e in events if e["type"] == "collapsed" and e["site"] in names))
    found = [(turns(counts[:, names.index(site)]), site) for site in dead]
    found = [(told, site) for told, site in found if told[0]]
    found.sort(key=lambda pair: pair[0][0][0])  # as they died; of one epoch, in forward order
    firsts = [deaths[0] for (deaths, _), _ in found]
    steered = [e["epoch"] for e in events if e["type"] == "steered"]
    accuracy = {e["epoch"]: e["val_accuracy"] for e in epochs}
    strengths = {e["epoch"]: e["strengths"] for e in epochs}
    rows = []
    for order, ((deaths, back), site) in enumerate(found, 1):
        epoch, place = deaths[0], names.index(site)
        alive = dict(zip(names, map(int, counts[max(0, epoch - 1)]), strict=True))
        takes, dense, before = taken(layout, alive, site)
        rows.append(Collapse(
            order=order, site=site, kind=str(sites[place]["kind"]), name=name_of(layout, site), epoch=epoch, takes=takes, macs=dense, macs_before=before,
            back=back, again=deaths[1:], since=None if counts[-1, place] else deaths[-1], before=_known(accuracy.get(epoch - 1)),
            at=_known(accuracy.get(epoch)), end=_known(accuracy.get(newest)), swing=swing(accuracy, epoch), together=firsts.count(epoch),
            strengths=strengths.get(epoch, {}), steered=any(e <= epoch for e in steered),
        ))  # fmt: skip
    whole = {conv["path"]: conv["macs"] for conv, _ in layers_of(layout)}
    silent = {path for row in rows if row.since is not None for path in row.takes}
    gone = sum(whole[path] for path in silent) / (layout["macs"] or 1)
    return Report(newest, rows, [] if rows else most_thinned(layout, sites, counts), len(sites), val, gone)


def turns(counts: np.ndarray) -> tuple[list[int], list[int]]:
    """(epochs at which a site was found dead, epochs at which it was found to live again), from its living units by epoch."""
    gone = np.concatenate([[False], counts == 0]).astype("i1")
    changes = np.diff(gone)
    return [int(e) for e in np.flatnonzero(changes == 1)], [int(e) for e in np.flatnonzero(changes == -1)]


def taken(layout: dict[str, Any], alive: dict[str, int], site: str) -> tuple[list[str], float, float]:
    """(layers that compute nothing once `site` is dead, the share of all dense MACs they had, and have with `alive`)."""
    path, _, kind = site.rpartition("/")
    without = alive | {site: 0} | ({f"{path}/filter": 0} if kind == "layer" else {})
    before, after = remaining(layout, alive), remaining(layout, without)
    gone = [layer for layer, (macs, _) in after.items() if macs == 0 < before[layer][0]]
    dense = {conv["path"]: conv["macs"] for conv, _ in layers_of(layout)}
    total = layout["macs"] or 1
    return gone, sum(dense[p] for p in gone) / total, sum(before[p][0] for p in gone) / total


def swing(accuracy: Mapping[int, float], epoch: int) -> float | None:
    """Median change of accuracy from one epoch to the next over the SWING_OVER epochs before `epoch`; None for under three."""
    known = [accuracy[e] for e in range(max(0, epoch - SWING_OVER), epoch) if e in accuracy]
    steps = np.abs(np.diff(known))
    return float(np.median(steps)) if len(steps) >= 3 else None


def most_thinned(layout: dict[str, Any], sites: Sequence[Mapping[str, Any]], counts: np.ndarray) -> list[Thinned]:
    """The MOST_THINNED sites that lost the largest share of their units, most first."""
    rows = []
    for place, site in enumerate(sites):
        column, total = counts[:, place], int(site["total"])
        if column[-1] < total:
            halved = np.flatnonzero(2 * column > total)
            since = int(halved[-1]) + 1 if len(halved) else 0
            half = since if 2 * column[-1] <= total else None
            first = int(np.flatnonzero(column < total)[0])
            rows.append(Thinned(site["site"], name_of(layout, site["site"]), int(column[-1]), total, first, half))
    return sorted(rows, key=lambda row: row.alive / row.total)[:MOST_THINNED]


def name_of(layout: Mapping[str, Any], site: str) -> str:
    """`Stage 3 block 2`, or `Stage 3 block 2 conv1`, or the layer's own path; its kind where that is none of filters, neurons, blocks."""
    path, _, kind = site.rpartition("/")
    more = "" if kind in ("filter", "neuron", "block") else f" {kind}s"
    for stage in layout["stages"]:
        for place, block in enumerate(stage["blocks"], 1):
            if path == block["path"] and block["skip"] != "none":
                return f"{stage['name']} block {place}{more}"
            for conv in block["convs"]:
                if path == conv["path"] and block["skip"] != "none":
                    return f"{stage['name']} block {place} {conv['label']}{more}"
    return f"{path}{more}"


def layers_of(layout: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """(layer, label of its block) in forward order; the blocks of the ends are `stem` and `head`."""
    for conv in layout["stem"]:
        yield conv, "stem"
    for stage in layout["stages"]:
        for block in stage["blocks"]:
            for conv in block["convs"]:
                yield conv, block["label"]
    for conv in layout["head"]:
        yield conv, "head"


def val_images(started: Mapping[str, Any]) -> int | None:
    """Images of the validation split; None for a folder of images in a run that did not record it."""
    told = started.get("data", {}).get("val_images")
    info = DATASETS.get(started.get("config", {}).get("dataset", ""))
    return told or (info.num_val if info else None)


def standard_error(accuracy: float, images: int) -> float:
    """Of the difference of two accuracies near `accuracy` on `images` images each, were these drawn anew (0-1)."""
    return math.sqrt(2 * accuracy * (1 - accuracy) / images)


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
