"""What the trade-offs show, in sentences made from their points."""

from __future__ import annotations

from typing import Any

import pandas as pd

from app import sentences

KEEPS = 0.01  # how far below the best a point may be to keep its accuracy; at most half of the best one's error
AS_CHEAP = 1.05


def cost_words(row: dict[str, Any], cost: str) -> str:
    """What a point costs: `47 % of the MACs`, `1.5 × the speed of dense`, `12 ms a batch`."""
    value = float(row[cost])
    if cost == "times":
        return f"{value:.2f} × the speed of dense"
    if cost == "ms":
        return f"{sentences.milliseconds(value)} a batch"
    return f"{sentences.percent(value)} of the {'MACs' if cost == 'macs' else 'parameters'}"


def named(row: dict[str, Any]) -> str:
    """A point's name in a sentence, with how many seeds are in it where there are several."""
    return f"{row['label']} (n = {int(row['n'])})" if row.get("n") and row["n"] > 1 else str(row["label"])


def sentence(frame: pd.DataFrame, cost: str = "macs") -> str:
    """The cheapest of our points that keeps the accuracy of the most accurate one, and whether a control does as well at no more cost."""
    if frame.empty or cost not in frame:
        return "No finished run to compare yet." if frame.empty else "None of these points has this cost measured."
    ours = frame[(frame["source"] != "paper") & frame["comparable"].astype(bool)].dropna(subset=[cost, "accuracy"])
    ours = ours[~ours.apply(_removed_nothing, axis=1)] if len(ours) else ours
    if ours.empty:
        only_papers = (frame["source"] == "paper").all()
        return (
            "No finished run to compare yet."
            if only_papers
            else "No run here removed something and still tells images apart: nothing to compare yet."
        )
    price = ours[cost] * (-1 if cost == "times" else 1)
    rows = ours.assign(price=price).to_dict("records")
    best, small = best_and_cheapest(rows)
    if small["key"] == best["key"]:
        here = f"{sentences.percent(best['accuracy'], 1)} at {cost_words(best, cost)}"
        if len(rows) == 1:
            return f"{_capital(named(best))}: {here}. It stands alone: nothing to compare it with yet."
        told = f"{_capital(named(best))} is the most accurate: {here}; nothing cheaper is within {100 * room(best):.2g} pp of it."
        return f"{told} {beside(best, rows, cost)}{_seeds(rows)}"
    gap = sentences.points(small["accuracy"] - best["accuracy"])
    said = f"{_capital(named(small))} keeps {sentences.percent(small['accuracy'], 1)} at {cost_words(small, cost)} ({gap} against {named(best)})."
    return f"{said} {beside(small, rows, cost)}{_seeds(rows)}"


def _removed_nothing(row: pd.Series) -> bool:
    """A method that was to remove something and did not: no cheaper than the dense network, whatever the clock said by chance."""
    return bool(
        row.get("role") == "method"
        and row.get("method") not in ("dense", "nested")
        and row.get("certificate") == "nothing-removed"
    )


def best_and_cheapest(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The most accurate point, and the one of least `price` that keeps its accuracy; a method before a control that costs as much."""
    best = max(rows, key=lambda row: row["accuracy"])
    keep = [row for row in rows if row["accuracy"] >= best["accuracy"] - room(best)]
    least = min(row["price"] for row in keep)
    alike = [row for row in keep if row["role"] == "method" and row["price"] <= least + (AS_CHEAP - 1) * abs(least)]
    return best, min(alike or keep, key=lambda row: row["price"])


def room(best: dict[str, Any]) -> float:
    """How far below a point another may be and keep its accuracy: 1 pp, or where little error is left half of that."""
    return float(min(KEEPS, (1 - best["accuracy"]) / 2)) or KEEPS


def beside(small: dict[str, Any], rows: list[dict[str, Any]], cost: str) -> str:
    """Whether a control that costs no more does as well as a point; where there is none, that this is not known."""
    if small["role"] != "method":
        return "That is a control, not a method."
    if small.get("method") == "dense":
        return "It is dense: nothing was taken from it."
    cheap = [row for row in rows if row["role"] != "method" and _as_cheap(row, small, cost)]
    if not cheap:
        return "No control of that cost stands beside it: whether the method was needed is not shown."
    strongest = max(cheap, key=lambda row: row["accuracy"])
    gap = strongest["accuracy"] - small["accuracy"]
    if gap >= -room(small) / 2:
        return f"A control is as good: {named(strongest)}, {sentences.percent(strongest['accuracy'], 1)} at {cost_words(strongest, cost)}."
    return f"The best control that costs no more, {named(strongest)}, is {abs(100 * gap):.1f} pp below it."


def _as_cheap(row: dict[str, Any], small: dict[str, Any], cost: str) -> bool:
    """Within 5 % of the cost."""
    return bool(row[cost] * AS_CHEAP >= small[cost] if cost == "times" else row[cost] <= small[cost] * AS_CHEAP)


def _seeds(rows: list[dict[str, Any]]) -> str:
    """That single runs cannot tell small differences, where all are."""
    single = sum(row.get("n") == 1 for row in rows)
    if not single:
        return ""
    every = "Every point is" if single == len(rows) else "A point without bars is"
    return f" {every} one run: another seed may order them otherwise."


def _capital(text: str) -> str:
    return text if "-" in text.partition(" ")[0] else f"{text[:1].upper()}{text[1:]}"
