"""The levels of a finished nested run: what each costs, how well it answers, and that it is the same network when it leaves."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import sentences, theme
from core.runs.store import Run


def levels_card(row: Run) -> None:
    """The card; nothing where no networks are nested, or before the run is finished."""
    result = row.result or {}
    if row.state != "finished" or not result.get("levels"):
        return
    with theme.card("Networks inside one another", levels_sentence(result), key="levels"):
        st.dataframe(
            levels_table(result), hide_index=True, key="levels-table",
            column_config={
                "test accuracy": st.column_config.NumberColumn(format="percent"),
                "MACs, share": st.column_config.NumberColumn(format="percent"),
                "parameters, share": st.column_config.NumberColumn(format="percent"),
            },
        )  # fmt: skip
        st.caption(
            f"`python -m core extract {row.id} --level 0 -o core.safetensors` writes a level as a network of its own. Times: medians of "
            "interleaved pairs against the full level."
        )


def levels_table(result: dict[str, Any]) -> pd.DataFrame:
    """One row a level, core first; shares are of the full level."""
    full = result["levels"][-1]
    return pd.DataFrame([
        {
            "level": f"{row['level']} {'core' if row['level'] == 0 else 'full' if row is full else ''}".strip(),
            "test accuracy": row["accuracy"]["test"], "MACs, share": row["macs"] / full["macs"], "parameters, share": row["density"],
            "times as fast (quartiles)": faster(row["speed"]), "removal": row["certificate"]["verdict"],
        }
        for row in result["levels"]
    ])  # fmt: skip


def faster(speed: dict[str, Any] | None) -> str:
    """`1.68 × (1.60-1.75, n = 30)`; of the full level, what the others are measured against, `1 ×`."""
    if not speed:
        return "1 ×"
    return f"{speed['measured']:.2f} × ({speed['low']:.2f}-{speed['high']:.2f}, n = {speed['n']})"


def levels_sentence(result: dict[str, Any]) -> str:
    """What the levels show, in words."""
    core, full = result["levels"][0], result["levels"][-1]
    whole = all(result["subset_holds"].values())
    subset = "every level holds all weights of those before it" if whole else "not every middle level lies in the next"
    kilo = [f"{result['bytes'][name] / 1000:,.0f} kB" for name in ("nested", "separate")]
    return (
        f"The core answers right on {sentences.percent(core['accuracy']['test'], 1)} with {sentences.percent(core['macs'] / full['macs'])} of the "
        f"MACs, the full level on {sentences.percent(full['accuracy']['test'], 1)}, the average of all on "
        f"{sentences.percent(result['consensus']['average'], 1)}; {subset}. One file of {kilo[0]} instead of {kilo[1]}."
    )
