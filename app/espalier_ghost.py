"""Another run of the same network as the ghost behind a run's espalier, and the sentence that says where the two part."""

from __future__ import annotations

from typing import Any

from app import sentences
from app.app_pages.parts import short
from app.components.espalier import packed
from app.runs import RunView
from core.runs.tables import Run


def ghosts_of(view: RunView, rows: list[Run]) -> list[Run]:
    """Other runs of the same network that have begun: those of the same family first."""
    if not view.started:
        return []
    network, own = view.started["config"]["network"], next((row for row in rows if row.id == view.name), None)
    found = [
        r
        for r in rows
        if r.id != view.name and r.config["network"] == network and r.state not in ("queued", "starting")
    ]
    return sorted(found, key=lambda row: own is None or row.family != own.family)


def ghost_of(view: RunView, other: RunView, epoch: int, name: str) -> dict[str, Any]:
    """What the espalier draws behind the run: the other's counts, and a sentence about `epoch`."""
    return {
        "name": name,
        "data": other.kept("ghost", lambda: _counts(other)),
        "say": ghost_sentence(view, other, epoch, name),
    }


def _counts(view: RunView) -> dict[str, Any]:
    table = view.counts()
    alive = {str(site): row for site, row in zip(table.index, table.to_numpy(), strict=True)}
    return packed({"stages": [], "alive": alive})


def ghost_sentence(view: RunView, other: RunView, epoch: int, name: str) -> str:
    """Where the two differ most in what lives after `epoch`, and how much lives in all."""
    mine, its = view.counts(), other.counts()
    both = [s for s in view.sites if s["kind"] in ("filter", "neuron", "group") and s["site"] in its.index]
    if not both:
        return f"{name} recorded no layer that this run has."
    late = min(epoch, other.newest_epoch)
    when = "" if late == epoch else f", after its newest epoch, {late}"
    rows = [
        (s["site"], int(mine.loc[s["site"]].iloc[epoch]), int(its.loc[s["site"]].iloc[late]), s["total"]) for s in both
    ]
    site, here, there, total = max(rows, key=lambda row: abs(row[1] - row[2]) / row[3])
    if here == there:
        return f"Blue outlines: {name}{when}. As many live in every layer as here."
    ours, theirs, whole = (sum(row[k] for row in rows) for k in (1, 2, 3))
    return (
        f"Blue outlines: {name}{when}. The two differ most in {short(site)}: {here} of {total} alive here, {there} there; "
        f"in all {sentences.percent(ours / whole)} here, {sentences.percent(theirs / whole)} there."
    )
