"""Sentences of the Attribution page: what was compared with what, how far they agree, and what that means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import sentences

NOUNS = {"filter": "filter", "group": "conv group", "block": "block"}
MEASURES = {"conductance": "conductance", "taylor": "first-order Taylor", "norm": "norm"}
CARRIED = {
    "conductance": "carried more of the score",
    "taylor": "mattered more to the loss",
    "norm": "had the larger norm",
}


def answer(document: Mapping[str, Any], kind: Mapping[str, Any], measure: str) -> str:
    """Whether what mattered was kept, in two sentences: the numbers, and what they mean."""
    noun = NOUNS[kind["kind"]]
    several = sentences.plural(kind["units"], noun)
    if not kind["lost"]:
        return (
            f"None of the {several} died after that: all were kept, so there is nothing that survival could agree with. "
            f"{by_norm(document)}"
        )
    if kind["lost"] == kind["units"]:
        return f"All {several} died: none was kept, so only the order of their deaths can be compared. {_numbers(kind, measure)}"
    return f"{meaning(kind, measure)} {_numbers(kind, measure)}"


def meaning(kind: Mapping[str, Any], measure: str) -> str:
    """What the rank correlation says, in plain words; an interval with 0 in it says nothing."""
    noun = NOUNS[kind["kind"]]
    found = main_of(kind, measure)[1]
    if found["value"] is None or found["low"] is None or found["low"] <= 0 <= found["high"]:
        return f"Whether the {noun}s that {CARRIED[measure]} were kept cannot be told from this run."
    size = abs(found["value"])
    how = "clearly" if size >= 0.6 else "mostly" if size >= 0.3 else "only weakly"
    if found["value"] > 0:
        return f"{how[0].upper()}{how[1:]} yes: the {noun}s that {CARRIED[measure]} lived longer."
    return f"No, {how} the reverse: the {noun}s that {CARRIED[measure]} died sooner."


def main_of(kind: Mapping[str, Any], measure: str) -> tuple[str, Mapping[str, Any]]:
    """Where layers lost some of their units, within them; where they lived and died as wholes, across."""
    inside = kind[measure]["within"]
    return (
        ("within layers", inside)
        if inside["value"] is not None and kind["kind"] != "block"
        else ("across layers" if kind["kind"] != "block" else "all blocks", kind[measure]["across"])
    )


def _numbers(kind: Mapping[str, Any], measure: str) -> str:
    where, found = main_of(kind, measure)
    if found["value"] is None:
        return "A rank correlation is not defined here."
    place = "" if kind["kind"] == "block" else f" {where}"
    words = (
        f"Rank correlation of {MEASURES[measure]} with length of life{place} ρ = {spread(found)}; "
        f"{sentences.plural(kind['units'], NOUNS[kind['kind']])}, {kind['lost']} lost since."
    )
    pairs = kind[measure]["auc"]["value"]
    if pairs is not None:
        words += (
            f" Of 100 pairs of a kept and a lost one in the same layer, the kept one was ahead in {100 * pairs:.0f}."
        )
    if where == "across layers" and kind["kind"] != "block":
        words += " Layers here lived or died as wholes, so it is whole layers that are compared."
    return words.replace(" in the same layer", "") if kind["kind"] == "block" else words


def by_norm(document: Mapping[str, Any]) -> str:
    """How conductance and norm agree when measured."""
    found = document["by_norm"]
    if found["value"] is None:
        return ""
    return f"At that time conductance and effective norm ranked units within layers alike to ρ = {spread(found)}."


def spread(found: Mapping[str, Any]) -> str:
    """`0.43 (95 %: 0.35 to 0.52)`."""
    if found["value"] is None:
        return "not defined"
    words = f"{found['value']:.2f}".replace("-", sentences.MINUS)
    if found["low"] is None:
        return words
    return words + f" (95 %: {found['low']:.2f} to {found['high']:.2f})".replace("-", sentences.MINUS)


def when(document: Mapping[str, Any]) -> str:
    """What is compared with what, and what that can and cannot say."""
    epoch, end = document["epoch"], document["survival_epoch"]
    if not document["own"]:
        return (
            f"Measured in the dense control {document['measured_in']} after epoch {epoch}: it began with the same weights and no penalty "
            f"ever pushed its filters, so the measure knows nothing of the method. Compared with which filters of this run lived until epoch {end}. "
            "Filters have the same number and the same first weights in both, but each run went its own way since."
        )
    first = document["first_death"]
    if epoch == 0 and not document["from_trained"]:
        return (
            f"Measured before training, in the first random weights, and compared with which units lived until epoch {end}: this says whether "
            "luck at the start decided, not whether learned filters were kept."
        )
    start = "in the trained network that this run started from" if epoch == 0 else f"after epoch {epoch}"
    before = (
        ""
        if first is None
        else ", the last kept checkpoint before the first unit died"
        if epoch == first - 1
        else ", of units alive then"
    )
    caution = (
        "" if first is None or epoch == 0
        else " The method had been at work until then, so what was on its way out may carry less already; compare with norm, by which it decides."
    )  # fmt: skip
    return f"Measured {start}{before}; compared with which units lived until epoch {end}. A dead unit carries nothing by construction, so no dead one was measured.{caution}"


def conditions(document: Mapping[str, Any]) -> str:
    """Under what the numbers were taken."""
    error, again = document["error"], document["repeatable"]
    repeat = "" if again is None else f" Two halves of the images rank units alike to ρ = {again:.2f}."
    return (
        f"Mean over {sentences.plural(document['images'], 'validation image')} of {document['dataset']}, score of the true class, baseline the mean image, "
        f"{document['steps']} steps (sum of attributions off by {sentences.percent(error['median'], 1)} of the mean score difference, median; "
        f"{sentences.percent(error['largest'], 1)} at most).{repeat} Intervals: {document['resamples']} bootstrap samples of units within layers; across layers, of whole layers. "
        f"One run, one seed; {sentences.plural(document['threads'], 'thread')}, {document['cpu']}, {document['seconds']:.0f} s."
    )


def looks(told: Mapping[str, Any], names: list[str]) -> str:
    """How alike the networks look, averaged over the shown images."""
    parts = []
    for place, name in enumerate(names):
        found = {
            words: [v for image in told["shown"] if (v := image["networks"][place][key]) is not None]
            for words, key in (("integrated gradients", "integrated_like"), ("Grad-CAM", "cam_like"))
        }
        told_of = [f"{words} ρ = {_mean(values)}" for words, values in found.items() if values]
        if told_of:
            parts.append(f"{name}: {', '.join(told_of)}")
    if not parts:
        return "There is one network to look at."
    images = sentences.plural(len(told["shown"]), "image")
    return (
        f"Likeness to the first network's maps, rank correlation over positions, mean of {images}. {'; '.join(parts)}."
    )


def _mean(values: list[float]) -> str:
    return f"{sum(values) / len(values):.2f}".replace("-", sentences.MINUS)
