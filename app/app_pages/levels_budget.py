"""Levels: a budget of milliseconds, MACs or bytes, and the largest level within it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import sentences, theme
from app.asking import answer
from app.level_words import level_name
from app.selection import select

LIMITS = {"ms": "Milliseconds", "macs": "MACs", "bytes": "Bytes"}
UNITS = {"ms": "ms a batch", "macs": "MACs an image", "bytes": "bytes of parameters and buffers"}


def budget(run: str) -> None:
    """The card: say what there is, and see which level it is enough for."""
    about = "All levels are in memory at once; which one answers can change from one image to the next."
    with theme.card("What fits? A budget picks the level", about, key="budget"):
        left, middle, right = st.columns([2, 1, 3], vertical_alignment="bottom")
        kind = left.segmented_control(
            "Limit", list(LIMITS), format_func=LIMITS.__getitem__, default="ms", key="budget-kind"
        )
        batch = middle.number_input("Images at once", 1, 512, 1, key="budget-batch")
        told = answer(run, "budget", "needs", once=True, batch=int(batch))
        if told is None:
            return
        needs, kind = told["levels"], kind or "ms"
        values = [need[kind] for need in needs]
        limit = right.slider(f"At most so many {UNITS[kind]}", **ends(values, kind), key=f"budget-{run}-{kind}-{batch}")
        level = within(needs, kind, limit)
        st.markdown(budget_sentence(needs, kind, limit, level))
        st.dataframe(needs_table(needs, level), hide_index=True, key="budget-table")
        foot, button = st.columns([4, 1], vertical_alignment="center")
        foot.caption(
            f"Measured here now, in place: median and quartiles of n = {told['n']} passes of {sentences.plural(told['batch'], 'image')}, "
            f"{sentences.plural(told['threads'], 'thread')}, {told['cpu']}, after epoch {told['epoch']}. "
            f"`python -m core budget {run} --{kind} {limit:g} --batch {batch}`"
        )
        if level is not None:
            button.button(
                f"Ask level {level_name(level, len(needs))}",
                key="budget-show",
                on_click=select,
                kwargs={"level": level},
            )


def ends(values: list[float], kind: str) -> dict[str, Any]:
    """Lowest, highest and first value of the slider, its step and how it is written: whole numbers but for milliseconds."""
    mean = sum(values) / len(values)
    if kind == "ms":
        top = max(0.02, round(1.15 * max(values), 2))
        return {"min_value": 0.0, "max_value": top, "value": min(top, round(mean, 2)), "step": 0.01, "format": "%.2f"}
    top = round(1.15 * max(values))
    return {"min_value": 0, "max_value": top, "value": round(mean), "step": max(1, top // 200), "format": "%d"}


def within(needs: list[dict[str, Any]], kind: str, limit: float) -> int | None:
    """The largest level that needs at most `limit` of ms, macs or bytes; None where even the core needs more."""
    return max((need["level"] for need in needs if need[kind] <= limit), default=None)


def budget_sentence(needs: list[dict[str, Any]], kind: str, limit: float, level: int | None) -> str:
    """What the budget is enough for, in words."""
    if level is None:
        least = min(need[kind] for need in needs)
        return f"Not even the core fits: it needs **{least:,.4g} {UNITS[kind]}**. Allow more, or train a smaller core."
    words = f"**Level {level_name(level, len(needs))}** fits: it needs {needs[level][kind]:,.4g} {UNITS[kind]}"
    if level + 1 < len(needs):
        words += f"; the next one, level {level_name(level + 1, len(needs))}, would need {needs[level + 1][kind]:,.4g}"
    if len({need["macs"] for need in needs}) == 1:
        return f"{words}. Every level computes as much here: single zeros save neither MACs nor time."
    slower = [need["level"] for need in needs[:level] if kind == "ms" and need["ms"] >= needs[level]["ms"]]
    return words + (
        ". A smaller level is no quicker here: so small a network is bound by calls, not by arithmetic."
        if slower
        else "."
    )


def needs_table(needs: list[dict[str, Any]], level: int | None) -> pd.DataFrame:
    """One row a level, core first; the chosen one marked."""
    return pd.DataFrame([
        {
            "fits best": "✓" if need["level"] == level else "", "level": level_name(need["level"], len(needs)),
            "ms a batch (quartiles)": f"{need['ms']:.2f} ({need['ms_low']:.2f}-{need['ms_high']:.2f})",
            "MACs an image": f"{need['macs']:,}", "bytes": f"{need['bytes']:,}",
        }
        for need in needs
    ])  # fmt: skip
