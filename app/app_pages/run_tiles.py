"""The run in five numbers, and its certificate in a sentence."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from app import proof_words, sentences
from app.runs import RunView, final_accuracy
from core.runs.tables import OVER, Run

Tile = tuple[str, str, str]  # what, how much, under what conditions
NOTHING_TO_TIME: Tile = ("measured speed", "—", "nothing is left to compute")


def tiles(view: RunView, row: Run | None) -> list[Tile]:
    """Accuracy, MACs, speed, what lives, and the removal or how its levels leave; before the first numbers, its state."""
    table = view.table()
    if table.empty:
        state = row.state if row else "recorded"
        return [("state", state, "the first numbers come after the first look at the validation images")]
    levels = (view.result or {}).get("levels") or []
    last = table.iloc[-1]
    return [
        _accuracy(view, last),
        _macs(view, last),
        _speed(view, levels),
        _alive(view, levels),
        leaving(levels) if levels else _removal(view, row is not None and row.state in OVER),
    ]


def _accuracy(view: RunView, last: pd.Series) -> Tile:
    if view.result:
        accuracy = view.result["accuracy"]
        return (
            "test accuracy",
            sentences.percent(final_accuracy(accuracy), 1),
            f"{after_the_cut(accuracy)} · one seed",
        )
    loss = "" if math.isnan(last["train_loss"]) else f" · loss {last['train_loss']:.3f}"
    return (
        "validation accuracy",
        sentences.percent(last["val_accuracy"], 1),
        f"after epoch {int(last['epoch'])}{loss}",
    )


def _macs(view: RunView, last: pd.Series) -> Tile:
    counted = view.result["macs_per_image"] if view.result else {"compact": last["macs"], "dense": view.layout["macs"]}
    left, how = counted["compact"], "counted after the cut" if view.result else "estimated"
    share = sentences.percent(left / counted["dense"])
    return ("MACs left", sentences.amount(left), f"{share} of {sentences.amount(view.layout['macs'])}, {how}")


def speed_tile(speed: dict[str, Any], macs: int) -> Tile:
    """Measured speed of a network of so many `macs`, with spread and conditions."""
    if macs == 0:
        return NOTHING_TO_TIME
    spread = f"{speed['low']:.2f}–{speed['high']:.2f}, n = {speed['n']} pairs, batch {speed['batch']}, {sentences.plural(speed['threads'], 'thread')}, {speed['cpu']}"
    return ("measured speed", f"{speed['measured']:.2f} ×", f"{spread}; promised {speed['promised']:.2f} ×")


def _speed(view: RunView, levels: list[dict[str, Any]]) -> Tile:
    """Of a nested run that of the core, as the full level is the whole network."""
    core = levels[0]["speed"] if levels else None
    speed = core or view.measured()
    if proof_words.is_empty(view.result):
        return NOTHING_TO_TIME
    if not speed:
        return ("measured speed", "—", "not measured yet")
    spread = f"{speed['low']:.2f}–{speed['high']:.2f}, n = {speed['n']}"
    return (
        "measured speed of the core" if core else "measured speed", f"{speed['measured']:.2f} ×",
        f"{spread}; promised {speed['promised']:.2f} ×",
    )  # fmt: skip


def _alive(view: RunView, levels: list[dict[str, Any]]) -> Tile:
    filters = alive_of(view, "filter")
    counts = [(alive_of(view, kind), noun) for kind, noun in (("block", "blocks"), ("group", "conv groups"))]
    notes = [f"{living} / {total} {noun}" for (living, total), noun in counts if total]
    if levels:
        notes.append("levels share the weights; none is driven to zero")
    elif not view.learns_structure():
        notes.append("the dense control drives nothing to zero")
    neurons = any(s["kind"] == "neuron" for s in view.sites)
    return (
        "filters and neurons alive" if neurons else "filters alive",
        f"{filters[0]} / {filters[1]}",
        " · ".join(notes),
    )


def _removal(view: RunView, over: bool) -> Tile:
    proof = (view.result or {}).get("certificate")
    if not proof:
        return ("removal", "—", "the run ended before its cut" if over else "proved at the end")
    apart = "" if proof["max_rel"] is None else f"largest difference {sentences.scientific(proof['max_rel'])}"
    return ("removal", proof_words.VERDICTS[proof["verdict"]], apart)


def leaving(levels: list[dict[str, Any]]) -> Tile:
    """How the levels of a nested run leave: a tile."""
    proofs = [level["certificate"] for level in levels]
    wrong = [k for k, one in enumerate(proofs) if one["verdict"] not in ("exact", "nothing-removed")]
    most = max((one["max_rel"] for one in proofs if one["max_rel"] is not None), default=0.0)
    told = (
        f"level {wrong[0]}: {proofs[wrong[0]]['verdict']}"
        if wrong
        else f"largest difference {sentences.scientific(most)}"
    )
    return ("levels that leave equal", f"{len(levels) - len(wrong)} of {len(levels)}", told)


def after_the_cut(accuracy: dict[str, Any]) -> str:
    """What the cut left, beside what fine-tuning made of it."""
    cut = sentences.percent(accuracy["compact"], 1)
    return f"compact {cut}" if accuracy.get("finetuned") is None else f"fine-tuned; right after the cut {cut}"


def proof(view: RunView) -> str:
    """The certificate in a sentence; the dense control is told apart from a method that removed nothing."""
    result = view.result or {}
    if result.get("levels"):
        _, equal, told = leaving(result["levels"])
        return f"{equal} levels leave as ordinary networks that answer as the level inside does; {told}. The full level is the whole network."
    if not view.learns_structure() and (result.get("certificate") or {}).get("verdict") == "nothing-removed":
        return "The dense control removes nothing, as it should: it is what the thin network is compared with."
    return proof_words.certificate(result.get("certificate"))


def alive_of(view: RunView, kind: str) -> tuple[int, int]:
    """(living, total) units of a kind now; neurons count as filters."""
    kinds = ("filter", "neuron") if kind == "filter" else (kind,)
    sites = [s for s in view.sites if s["kind"] in kinds]
    if not len(view.alive):
        return 0, 0
    living = sum(int(view.alive[-1, s["offset"] : s["offset"] + s["total"]].sum()) for s in sites)
    return living, sum(s["total"] for s in sites)
