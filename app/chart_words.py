"""One sentence for every figure, made from its data: what to see, in plain words, with honest numbers and units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from app.sentences import listing, milliseconds, percent, plural, times


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
