"""What an espalier shows, in one sentence made from its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.sentences import change, listing, percent, plural, points, share_of


def network(
    view: Mapping[str, Any],
    epoch: int | None = None,
    *,
    macs: float | None = None,
    macs_dense: float | None = None,
    accuracy: float | None = None,
    accuracy_before: float | None = None,
) -> str:
    """What the espalier shows: ``Stage 1 lost 2 of 3 blocks by epoch 41; MACs −38 %, validation accuracy −0.2 pp.``

    ``nested`` in `view`: of how many networks inside one another this is the largest."""
    epoch = int(view["epoch_now"]) if epoch is None else epoch
    losses = []
    for stage in view["stages"]:
        residual = [block for block in stage["blocks"] if block["skip"] != "none"]
        dead = [block for block in residual if _dead(view, block, epoch)]
        if dead:
            last = max(_death_epoch(view, block, epoch) for block in dead)
            losses.append((len(dead) / len(residual), stage["name"], len(dead), len(residual), last))
    kept, total = _filters(view, epoch)
    if losses:
        _, name, dead_count, blocks, last = max(losses)
        rest = sum(loss[2] for loss in losses if loss[1] != name)
        first = f"{name} lost {share_of(dead_count, blocks, 'block')} by epoch {last}"
        first += f", the other stages {plural(rest, 'block')}" if rest else ""
    elif total and kept < total:
        weakest = min(view["stages"], key=lambda stage: _share(view, stage, epoch))
        first = f"{total - kept:,} of {_units(view, total)} died by epoch {epoch}"
        if len(view["stages"]) > 1 and _share(view, weakest, epoch) < 1:
            first += f", {weakest['name']} is the thinnest with {percent(_share(view, weakest, epoch))} alive"
    elif view.get("nested") and epoch:
        first, macs = f"{view['nested']} networks in one, all of it alive at epoch {epoch}", None
    else:
        first = f"Nothing has died by epoch {epoch}" if epoch else "Before training everything is alive"
    details = []
    if macs is not None and macs_dense:
        details.append(f"MACs {change(macs / macs_dense - 1)}")
    if accuracy is not None and accuracy_before is not None:
        details.append(f"validation accuracy {points(accuracy - accuracy_before)}")
    elif accuracy is not None:
        details.append(f"validation accuracy {percent(accuracy, 1)}")
    return f"{first}; {', '.join(details)}." if details else f"{first}."


def _at(series: Sequence[float] | None, epoch: int) -> float | None:
    return None if series is None or not len(series) else series[min(epoch, len(series) - 1)]


def _dead(view: Mapping[str, Any], block: Mapping[str, Any], epoch: int) -> bool:
    """Dead by its own site, by a factor of exactly zero, or because a convolution inside lost all its filters."""
    alive = view.get("alive", {})
    sites = [block.get("block_site"), *(conv.get("site") for conv in block["convs"])]
    if any(_at(alive.get(site), epoch) == 0 for site in sites if site):
        return True
    return _at(view.get("factor", {}).get(block.get("block_site")), epoch) == 0


def _death_epoch(view: Mapping[str, Any], block: Mapping[str, Any], epoch: int) -> int:
    while epoch > 0 and _dead(view, block, epoch - 1):
        epoch -= 1
    return epoch


def _filters(view: Mapping[str, Any], epoch: int, stages: Sequence[Mapping[str, Any]] | None = None) -> tuple[int, int]:
    kept = total = 0
    for stage in view["stages"] if stages is None else stages:
        for block in stage["blocks"]:
            gone = _dead(view, block, epoch)
            for conv in block["convs"]:
                counts = view.get("alive", {}).get(conv.get("site"))
                if counts is not None and len(counts):
                    kept += 0 if gone else int(_at(counts, epoch) or 0)
                    total += int(conv["total"])
    return kept, total


def _units(view: Mapping[str, Any], total: int) -> str:
    """``16 filters``, ``32 conv groups``, ``500 neurons``, or several together: what the layers' sites count."""
    blocks = (block for stage in view["stages"] for block in stage["blocks"])
    kinds = {conv["site"].rpartition("/")[2] for block in blocks for conv in block["convs"] if conv.get("site")}
    words = [
        word for kind, word in (("filter", "filter"), ("group", "conv group"), ("neuron", "neuron")) if kind in kinds
    ]
    return (
        f"{total:,} {listing([f'{word}s' for word in words])}"
        if len(words) > 1
        else plural(total, (words or ["filter"])[0])
    )


def _share(view: Mapping[str, Any], stage: Mapping[str, Any], epoch: int) -> float:
    kept, total = _filters(view, epoch, [stage])
    return kept / total if total else 1.0
