"""Levels: what every level answers against what it costs, with the same networks trained alone, consensus and the paper beside."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import level_charts, sentences, theme
from app.components.live_chart import live_chart
from app.level_words import is_masked, levels_table, task_of
from app.runs import RunView, final_accuracy, store
from core.papers import points_beside
from core.runs.store import Run

ALONE = "level alone"


def level_cost(row: Run, view: RunView) -> None:
    """Card 2: what every level answers, against what it costs."""
    result = view.result or {}
    if not result.get("levels"):
        with theme.card(
            "Accuracy against cost", "Counted, measured and proved at the end of training.", key="levels-cost"
        ):
            st.caption("Meanwhile the validation accuracy of every level stands below, epoch by epoch.")
        return
    frame, alone, masked = cost_frame(result), alone_frame(row), is_masked(row.config["phases"][-1]["levels"])
    papers = papers_of(row, frame, masked)
    with theme.card(
        "Accuracy against cost", level_charts.cost_sentence(frame, consensus_of(result), alone), key="levels-cost"
    ):
        first = "weights" if masked else "macs"
        names = {"macs": "MACs", "weights": "Weights kept", "speed": "Measured speed"}
        by = st.segmented_control(
            "Cost as",
            [first, "speed"],
            format_func=names.__getitem__,
            default=first,
            key=f"levels-cost-{first}",
            label_visibility="collapsed",
        )
        spec = level_charts.accuracy_against_cost(frame, consensus_of(result), alone, papers, by or first)
        live_chart(spec, key="chart-levels-cost", height=380)
        left, right = st.columns([1, 5], vertical_alignment="center")
        with left.popover("Table", type="tertiary", icon=":material/table:"):
            st.dataframe(
                levels_table(result), hide_index=True, key="levels-table",
                column_config={
                    name: st.column_config.NumberColumn(format="percent") for name in ("test accuracy", "MACs, share", "weights, share")
                },
            )  # fmt: skip
        right.caption(_conditions(result, bool(len(alone)), len(papers)))


def _conditions(result: dict[str, Any], alone: bool, papers: int) -> str:
    speed = next((r["speed"] for r in result["levels"] if r["speed"]), None)
    words = ""
    if speed:
        words = (
            f"Speed: median of n = {speed['n']} interleaved pairs against the full level, quartiles as bars; {sentences.plural(speed['threads'], 'thread')}, "
            f"{speed['cpu']}, batch {speed['batch']}. "
        )
    if not alone:
        words += f"The baseline, each level's network trained alone, appears beside as runs of this family in the role “{ALONE}”. "
    if papers:
        words += "Hollow: the paper's, on the same network and data; hover for the source. How long it trained is not printed."
    return words


def cost_frame(result: dict[str, Any]) -> pd.DataFrame:
    """One row a level: accuracy, task, share of the full level's MACs, times as fast with quartiles (the full level: 1)."""
    full = result["levels"][-1]
    rows = []
    for level in result["levels"]:
        speed = level["speed"] or {"measured": 1.0, "low": 1.0, "high": 1.0, "n": 0}
        rows.append({
            "level": level["level"], "accuracy": level["accuracy"]["test"], "task": task_of(level, full), "macs": level["macs"] / full["macs"],
            "weights": level["density"], **{key: speed[key] for key in ("measured", "low", "high", "n")},
        })  # fmt: skip
    return pd.DataFrame(rows)


def consensus_of(result: dict[str, Any]) -> dict[str, float | None]:
    """The two ways of asking all levels, as they are called on screen."""
    return {name: result["consensus"][name] for name in ("average", "learned")}


def alone_frame(row: Run) -> pd.DataFrame:
    """The levels' networks trained alone, finished runs of the family: level, mean test accuracy, how many runs."""
    rows = [
        {"level": other.config["phases"][-1].get("alone"), "accuracy": final_accuracy(other.result["accuracy"])}
        for other in store().all()
        if other.family == row.family and other.role == ALONE and other.state == "finished" and other.result
    ]
    table = pd.DataFrame([r for r in rows if r["level"] is not None], columns=["level", "accuracy"])
    return table.groupby("level", as_index=False).agg(accuracy=("accuracy", "mean"), runs=("accuracy", "size"))


def papers_of(row: Run, frame: pd.DataFrame, masked: bool) -> pd.DataFrame:
    """NestedNet's own points on the run's network and data set, of coarse classes too where a level has these; consensus is left out.

    `masked`: those that count parameters, else those that count MACs, both as `left`.
    """
    dataset, several = row.config["dataset"], frame["task"].nunique() > 1
    found = [
        point
        for name in ([dataset, f"{dataset}-coarse"] if several else [dataset])
        for point in points_beside(row.config["network"], name)
        if point.paper == "NestedNet" and not point.point.startswith(("NestedNet-A", "NestedNet-L"))
        and (point.counted == "parameters") == masked
    ]  # fmt: skip
    return pd.DataFrame([
        {"label": p.point, "method": p.method, "accuracy": 1 - p.error / 100, "left": p.macs_left, "citation": p.source} for p in found
    ])  # fmt: skip
