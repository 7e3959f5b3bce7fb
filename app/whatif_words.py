"""What if, in words: what is crossed out, what is left of the network, what it costs, and what is proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import sentences
from core.crossed import Crossed

NOUNS = {"filter": "filter", "neuron": "neuron", "group": "conv group", "block": "block"}


def counted(crossed: Mapping[str, Any]) -> str:
    """`13 filters and 1 block`; `nothing`."""
    counts: dict[str, int] = {}
    for site, units in crossed.items():
        kind = site.rpartition("/")[2]
        counts[kind] = counts.get(kind, 0) + len(units)
    words = [sentences.plural(counts[kind], noun) for kind, noun in NOUNS.items() if counts.get(kind)]
    return sentences.listing(words, at_most=4) if words else "nothing"


def left(told: Mapping[str, Any], what: str) -> float:
    """The share of the MACs per image, or of the parameters, that is left, 0-1."""
    pair = told[what]
    return pair["compact"] / pair["dense"]


def sentence(told: Mapping[str, Any], base: Mapping[str, Any], crossed: Crossed) -> str:
    """What to see, from the data."""
    before, after = left(base, "macs_per_image"), left(told, "macs_per_image")
    sample = told["sample"]
    on = f"On {_images(told)}"
    if not crossed:
        return (
            f"Nothing is crossed out: {sentences.percent(after)} of the MACs are left, as the run ended. {on} it names "
            f"{sentences.percent(sample['dense']['accuracy'], 1)} rightly. Cross something out to see what it would cost."
        )
    lost, won = sample["difference"]["lost"], sample["difference"]["won"]
    return (
        f"Without {counted(crossed)}, {sentences.percent(after)} of the MACs are left ({sentences.percent(before)} as the run ended). {on}, {lost} become wrong and "
        f"{won} become right, without any fine-tuning."
    )


def _images(told: Mapping[str, Any]) -> str:
    images, whole = told["sample"]["images"], told["split"]["images"]
    return (
        f"all {images} validation images"
        if images == whole
        else f"{images} validation images drawn once from {whole:,}"
    )


def tiles(told: Mapping[str, Any], base: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """MACs, parameters, accuracy before and after, and the difference."""
    sample = told["sample"]
    rows = []
    for label, what in (("MACs left", "macs_per_image"), ("parameters left", "params")):
        pair = told[what]
        note = f"{sentences.amount(pair['compact'])} of {sentences.amount(pair['dense'])} · {sentences.percent(left(base, what))} as it ended"
        rows.append((label, sentences.percent(left(told, what), 1), note))
    for label, name in (("accuracy before", "dense"), ("accuracy after", "compact")):
        found = sample[name]
        rows.append((label, sentences.percent(found["accuracy"], 1), f"{interval(found)}, {sample['images']} images"))
    apart = sample["difference"]
    value = sentences.points(apart["value"], 1)
    rows.append(("difference", value, f"{points_between(apart)}, same images"))
    return rows


def interval(found: Mapping[str, float]) -> str:
    """`95 % interval 96.1–99.4 %`."""
    return f"95 % interval {100 * found['low']:.1f}–{100 * found['high']:.1f} %"


def points_between(apart: Mapping[str, float]) -> str:
    """`95 % interval −3.4 to +0.2 pp`."""
    low, high = (sentences.points(apart[end], 1).removesuffix(" pp") for end in ("low", "high"))
    return f"95 % interval {low} to {high} pp"


def verdict(proof: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """The certificate in a sentence, with what it does not say."""
    name = proof["verdict"]
    if name == "nothing-removed":
        return "Removal: nothing is removed, so there is nothing to prove."
    if name == "inconclusive":
        return "Removal: nothing can be proved, for what is left says the same to every image. Take something back."
    apart = (
        ""
        if proof["max_rel"] is None
        else f", largest difference {sentences.scientific(proof['max_rel'])} of the output's spread"
    )
    reference = "the network with the crossed units masked" if proof["reference"] == "masked" else "the trained network"
    refilled = f" {sentences.plural(len(told['refilled']), 'operation')} kept full width." if told["refilled"] else ""
    free = (
        " That the removal is right does not mean that it is free: see the accuracy."
        if proof["reference"] == "masked"
        else ""
    )
    return f"Removal **{name}**: compared with {reference} in double precision on {proof['inputs']} inputs{apart}.{free}{refilled}"


def test_sentence(document: Mapping[str, Any]) -> str:
    """The whole test set, before and after."""
    test = document["test"]
    before, after, apart = test["dense"], test["compact"], test["difference"]
    return (
        f"On all {test['images']:,} test images: {sentences.percent(before['accuracy'], 2)} before ({interval(before)}), "
        f"{sentences.percent(after['accuracy'], 2)} after ({interval(after)}). Difference {sentences.points(apart['value'], 2)} "
        f"({points_between(apart)}), paired: {apart['lost']} became wrong, {apart['won']} right. Removal {document['certificate']['verdict']}."
    )
