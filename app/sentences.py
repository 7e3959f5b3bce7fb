"""One sentence for every figure, made from its data: what to see, in plain words, with honest numbers and units.

Fractions come in as 0-1 and leave as percent; a missing number is left out, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"


# Numbers


def scientific(value: float) -> str:
    """``3·10⁻¹⁵``; one digit is all that such a number says."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    digits, exponent = f"{abs(value):.0e}".split("e")
    return f"{MINUS if value < 0 else ''}{digits}·10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def amount(value: float) -> str:
    """``40.6 M``, ``1.2 k``, ``340``: a count in three digits at most."""
    if not math.isfinite(value):
        return "not finite"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            scaled = f"{value / size:.3g}"
            return f"{_signed(scaled)} {unit}"
    return _signed(f"{value:.3g}")


def percent(share: float, digits: int = 0) -> str:
    """``91 %`` of 0.914; ``91.4 %`` with one digit."""
    return f"{_signed(f'{100 * share:.{digits}f}')} %"


def change(share: float, digits: int = 0) -> str:
    """A relative change with its sign: ``−38 %``."""
    return f"{_with_sign(100 * share, digits)} %"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two percentages: ``−0.2 pp`` (percentage points)."""
    return f"{_with_sign(100 * difference, digits)} pp"


def times(ratio: float) -> str:
    """``1.6 ×``: how many times as fast."""
    return f"{ratio:.1f} ×" if ratio < 10 else f"{ratio:.0f} ×"


def milliseconds(value: float) -> str:
    """``0.42 ms``, ``12 ms``, ``1.3 s``."""
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"


def plural(count: int, noun: str) -> str:
    """``1 block``, ``2 blocks``, ``1,234 filters``."""
    many = {"class": "classes", "batch": "batches", "branch": "branches"}.get(noun, f"{noun}s")
    return f"{count:,} {noun if count == 1 else many}"


def share_of(count: int, total: int, noun: str) -> str:
    """``2 of 3 blocks``, ``its only block``."""
    if total == 1:
        return f"its only {noun}" if count == 1 else f"0 of 1 {noun}"
    return f"{count} of {plural(total, noun)}"


def listing(words: Sequence[str], at_most: int = 3) -> str:
    """``a``, ``a and b``, ``a, b and 4 more``."""
    shown = list(dict.fromkeys(words))
    if len(shown) > at_most:
        shown = [*shown[: at_most - 1], f"{len(shown) - at_most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"


def _signed(text: str) -> str:
    return text.replace("-", MINUS)


def _with_sign(value: float, digits: int) -> str:
    rounded = round(value, digits)
    if rounded == 0:
        return "±0" if digits == 0 else f"±{0:.{digits}f}"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):.{digits}f}"


# The network


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


# Charts


def survival(frame: pd.DataFrame, names: Mapping[str, str] | None = None) -> str:
    """Of sites x epochs with the fraction alive (0-1): who lost most, who died."""
    if frame.empty:
        return "No epoch is recorded yet."
    names = names or {}
    epoch, last = frame.columns[-1], frame.iloc[:, -1].astype(float)
    dead = list(dict.fromkeys(names.get(str(site), str(site)) for site in last.index[last == 0]))
    living = last[last > 0]
    if dead and living.empty:
        return f"All {plural(len(last), 'layer')} are dead by epoch {epoch}."
    if not dead and bool((last == 1).all()):
        return f"All {plural(len(last), 'layer')} still have everything at epoch {epoch}."
    least = living.idxmin()
    thinnest = f"{names.get(str(least), str(least))} is the thinnest, {percent(float(living.min()))} alive"
    if dead:
        verb = "is" if len(dead) == 1 else "are"
        tail = f"; of the rest {thinnest}" if float(living.min()) < 1 else ""
        return f"{listing(dead)} {verb} dead by epoch {epoch}{tail}."
    return f"No layer has lost everything by epoch {epoch}; {thinnest}."


def zero_since(values: pd.Series) -> int:
    """The row from which on all values are exactly zero; the number of rows where the last is not."""
    living = (values != 0).to_numpy().nonzero()[0]
    return int(living[-1]) + 1 if len(living) else 0


def factors(frame: pd.DataFrame, site: str | None = None, noun: str = "factor") -> str:
    """Of epochs x units of scaling factors or norms: how many are exactly zero, since when."""
    where = f" of {site}" if site else ""
    if frame.empty:
        return f"No {noun}{where} is recorded yet."
    values = frame.abs()
    total, epoch = values.shape[1], values.index[-1]
    zero = int((values.iloc[-1] == 0).sum())
    if zero == 0:
        low = float(values.iloc[-1].min())
        return f"No {noun}{where} is exactly zero at epoch {epoch}; the smallest of {total} is {low:.2g}."
    born = values.index[min(zero_since(values[unit]) for unit in values if values[unit].iloc[-1] == 0)]
    verb = "is" if zero == 1 else "are"
    since = f", the first since epoch {born}" if born != epoch else ""
    return f"{zero} of {plural(total, noun)}{where} {verb} exactly zero at epoch {epoch}{since}."


def accuracy(epochs: pd.DataFrame) -> str:
    """Of a table of epochs: where validation stands, its best, and how far training is ahead."""
    seen = epochs.dropna(subset=["val_accuracy"]) if "val_accuracy" in epochs else epochs.iloc[:0]
    if seen.empty:
        return "No epoch has been validated yet."
    last, best = seen.iloc[-1], seen.loc[seen["val_accuracy"].idxmax()]
    text = f"Validation accuracy {percent(float(last['val_accuracy']), 1)} after epoch {int(last['epoch'])}"
    if int(best["epoch"]) != int(last["epoch"]) and best["val_accuracy"] > last["val_accuracy"]:
        text += f", best {percent(float(best['val_accuracy']), 1)} at epoch {int(best['epoch'])}"
    ahead = float(last.get("train_accuracy", math.nan)) - float(last["val_accuracy"])
    if math.isfinite(ahead):
        side = "ahead of" if ahead >= 0 else "behind"
        text += f"; training is {abs(100 * ahead):.1f} pp {side} it"
    return f"{text}."


def deaths(frame: pd.DataFrame) -> str:
    """Of epochs x stages with the share alive (0-1): which stage lost most."""
    if frame.empty:
        return "No epoch is recorded yet."
    last = frame.iloc[-1].astype(float)
    if bool((last >= 1).all()):
        return f"Everything is alive at epoch {frame.index[-1]}."
    tail = f"; {last.idxmax()} keeps most, {percent(float(last.max()))}" if len(last) > 1 else ""
    return f"{last.idxmin()} lost most: {percent(float(last.min()))} alive at epoch {frame.index[-1]}{tail}."


def speed(result: Mapping[str, Any] | None) -> str:
    """Of a speed result: ``1.6 × measured (1.5–1.7, n = 30 pairs), 2.0 × promised by MACs, 2 threads on …, batch 128.``"""
    if not result or result.get("measured") is None:
        return "Not measured yet."
    text = f"{times(result['measured'])} measured"
    spread = []
    if result.get("low") is not None and result.get("high") is not None:
        spread.append(f"{result['low']:.1f}–{result['high']:.1f}")
    if result.get("n"):
        spread.append(f"n = {plural(int(result['n']), 'pair')}")
    text += f" ({', '.join(spread)})" if spread else ""
    parts = [text]
    if result.get("promised") is not None:
        parts.append(f"{times(result['promised'])} promised by MACs")
    if str(result.get("device") or "cpu").startswith("cpu"):
        where = plural(int(result["threads"]), "thread") if result.get("threads") else ""
        where += f" on {result['cpu']}" if result.get("cpu") and where else str(result.get("cpu") or "")
    else:
        where = str(result["device"])
    parts += [where] if where else []
    parts += [f"batch {result['batch']}"] if result.get("batch") else []
    return f"{', '.join(parts)}."


def layers(frame: pd.DataFrame) -> str:
    """Of layers with dense_ms, compact_ms and promised: where most of the promised time is lost."""
    lost = lost_ms(frame)
    if frame.empty or lost.isna().all():
        return "No layer has been timed yet."
    worst = lost.idxmax()
    if float(lost[worst]) <= 0:
        return f"Every one of {plural(len(frame), 'layer')} is at least as fast as its MACs promised."
    return (
        f"{frame.loc[worst, 'path']} loses most: {milliseconds(float(frame.loc[worst, 'compact_ms']))} where its MACs promised "
        f"{milliseconds(float(frame.loc[worst, 'compact_ms'] - lost[worst]))}{_because(frame.loc[worst].to_dict())}."
    )


def _because(layer: Mapping[str, Any]) -> str:
    """Why a layer loses, where a rule says so."""
    if not layer.get("reason") or layer["reason"] == "no rule":
        return ""
    return f": {layer['reason']}" + (f", {layer['numbers']}" if layer.get("numbers") else "")


def lost_ms(frame: pd.DataFrame) -> pd.Series:
    """Milliseconds by which each compact layer is slower than the dense time divided by the promised ratio."""
    promised = frame["promised"].astype(float)
    return frame["compact_ms"].astype(float) - frame["dense_ms"].astype(float) / promised.where(promised > 0)


# Proof


def why_not(result: Mapping[str, Any]) -> str:
    """Why no more could leave without changing an answer."""
    why = result["why"]
    total, removed = (sum(row[key] for row in why["sites"]) for key in ("total", "removed"))
    stay = total - removed
    refilled = len(result.get("refilled") or ())
    fields = why["units"].get("field", 0)
    said = f"{plural(stay, 'unit')} of {total} stay: their answer depends on the image, and something reads it."
    if fields:
        said += f" {plural(fields, 'unit')} say the same to every image but another number at the border: computed once a batch."
    if refilled:
        return f"{said} {plural(refilled, 'operation')} needed every channel, so the full width is rebuilt in front of them."
    return f"{said} Nothing dead had to be kept."


def certificate_rows(proof: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row for each number of a certificate: what it is, what was measured, what it has to be."""

    def shown(value: float | None) -> str:
        return "not measured" if value is None else scientific(value)

    sizes = ", ".join(" × ".join(map(str, size)) for size in proof.get("sizes") or [])
    masked = proof.get("reference") == "masked"
    rows = [
        ("verdict", str(proof.get("verdict")), ""),
        (
            "compared with",
            "the network with the chosen units masked" if masked else "the trained network, unchanged",
            "",
        ),
        ("largest difference / spread (float64)", shown(proof.get("max_rel")), "at most 10⁻⁹"),
        ("largest difference (float64)", shown(proof.get("max_abs")), ""),
        ("spread of the output", shown(proof.get("spread")), "at least 10⁻⁴, or nothing is proved"),
        ("largest difference of the file (float32)", shown(proof.get("float32_max_rel")), "at most 10⁻⁵"),
        (
            "same first choice",
            "not measured" if proof.get("top1_agreement") is None else percent(proof["top1_agreement"], 1),
            "",
        ),
        ("inputs", f"{proof.get('inputs')}, real and noise, at {sizes}", "at least 8 a size"),
    ]
    return [{"what": what, "measured": measured, "must be": rule} for what, measured, rule in rows]


def certificate(result: Mapping[str, Any] | None) -> str:
    """Of a certificate: the verdict first, then the numbers behind it."""
    if not result:
        return "Not proved yet: no certificate."
    inputs, sizes = int(result.get("inputs") or 0), result.get("sizes")
    num_sizes = len(sizes) if isinstance(sizes, Sequence) and not isinstance(sizes, str) else int(sizes or 0)
    over = f"over {plural(inputs, 'input')}" if inputs else ""
    over += f" at {plural(num_sizes, 'size')}" if over and num_sizes else ""
    largest = result.get("max_rel")
    finite = largest is not None and math.isfinite(largest)
    gap = f"largest difference {scientific(largest)} of the output's spread" if largest is not None and finite else ""
    numbers = " ".join(part for part in (gap, over) if part)
    masked = result.get("reference") == "masked"
    match result.get("verdict"):
        case "exact":
            against = " Compared with the masked network: the cut itself may cost accuracy." if masked else ""
            return f"Exact: {numbers or 'no difference was found'}.{against}"
        case "approximate":
            return f"Approximate, as the plan declared before cutting{': ' + numbers if numbers else ''}."
        case "nothing-removed":
            return (
                "NOTHING WAS REMOVED: no unit is exactly zero, so the compact network is the dense one and no faster."
            )
        case "inconclusive":
            spread = result.get("spread")
            hint = f" (spread {scientific(spread)})" if spread is not None and math.isfinite(spread) else ""
            return f"Inconclusive: the output hardly depends on the input or is not finite{hint}, so nothing is proved."
        case _:
            return f"FAILED: the compact network answers differently{'; ' + numbers if numbers else ''}. Do not use it."
