"""Levels: what every level answers against what it costs, with the same networks trained alone, consensus and the paper beside."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import level_charts, level_sentences, sentences, theme
from app.app_pages import parts
from app.components.live_chart import live_chart
from app.level_words import is_masked, levels_table, task_of
from app.runs import RunView, config_of, final_accuracy, store
from core.papers import points_beside
from core.runs.tables import Run

ALONE, DENSE, RANDOM = "level alone", "dense control", "random masks"
OTHERS = {"student": "core taught by the dense network", "L1-norm filters": "L1-norm filters"}  # role, in words


def level_cost(row: Run | None, view: RunView) -> None:
    """Card 2: what every level answers, against what it costs."""
    result, config = view.result or {}, config_of(row, view)
    if not result.get("levels"):
        with theme.card(
            "Accuracy against cost", "Counted, measured and proved at the end of training.", key="levels-cost"
        ):
            st.caption("Meanwhile the validation accuracy of every level stands below, epoch by epoch.")
        return
    controls, frame = controls_beside(row), cost_frame(result)
    alone, masked = alone_frame(config, controls), is_masked(config["phases"][-1]["levels"])
    papers = papers_of(config, frame, masked)
    with theme.card(
        "Accuracy against cost", level_sentences.cost_sentence(frame, consensus_of(result), alone), key="levels-cost"
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
        spec = level_charts.accuracy_against_cost(
            frame, consensus_of(result), alone, papers, by or first, others_frame(controls)
        )
        live_chart(spec, key="chart-levels-cost", height=380)
        shares = ("test accuracy", "MACs, share", "weights, share")
        percent = {name: st.column_config.NumberColumn(format="percent") for name in shares}
        parts.table_behind(
            lambda: levels_table(result), key="levels-table", config=percent, figure=("Accuracy against cost", spec)
        )
        st.caption(cost_of_training(config, result, controls) + _conditions(result, bool(len(alone)), len(papers)))


def _conditions(result: dict[str, Any], alone: bool, papers: int) -> str:
    speed = next((r["speed"] for r in result["levels"] if r["speed"]), None)
    words = ""
    if speed:
        words = (
            f"Speed: median of n = {speed['n']} interleaved pairs against the full level, quartiles as bars; {sentences.plural(speed['threads'], 'thread')}, "
            f"{speed['cpu']}, batch {speed['batch']}. "
        )
    if not alone:
        words += "With controls (`--controls`, or the box in the form) each level's network is trained alone too and stands beside. "
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


def controls_beside(row: Run | None) -> list[Run]:
    """The finished controls of a nested run's family; a recorded run has none."""
    if row is None:
        return []
    return [r for r in store().family(row.family) if r.role != "method" and r.state == "finished" and r.result]


def alone_frame(config: dict[str, Any], controls: list[Run]) -> pd.DataFrame:
    """The levels' networks trained alone, the dense control as the full level: level, mean test accuracy, how many runs."""
    full = len(config["phases"][-1]["levels"]) - 1
    rows = [
        {"level": full if r.role == DENSE else r.config["phases"][-1].get("alone"), "accuracy": final_accuracy(r.result["accuracy"])}
        for r in controls
        if r.role in (ALONE, DENSE) and r.result
    ]  # fmt: skip
    table = pd.DataFrame([r for r in rows if r["level"] is not None], columns=["level", "accuracy"])
    return table.groupby("level", as_index=False).agg(accuracy=("accuracy", "mean"), runs=("accuracy", "size"))


def others_frame(controls: list[Run]) -> pd.DataFrame:
    """What else the levels are compared with: name, test accuracy, shares of the full network's MACs and weights.

    Random masks are a nested run of their own, a point for every level below the full one.
    """
    rows: list[dict[str, Any]] = []
    for run in controls:
        result: dict[str, Any] = run.result or {}
        if run.role == RANDOM:
            levels = result.get("levels", [])[:-1]
            rows += [
                {"name": run.role, "accuracy": one["accuracy"]["test"], "macs": one["macs"] / result["levels"][-1]["macs"], "weights": one["density"]}
                for one in levels
            ]  # fmt: skip
        elif run.role in OTHERS:
            shares = {
                what: result[key]["compact"] / result[key]["dense"]
                for what, key in (("macs", "macs_per_image"), ("weights", "params"))
            }
            rows.append({"name": OTHERS[run.role], "accuracy": final_accuracy(result["accuracy"]), **shares})
    return pd.DataFrame(rows, columns=["name", "accuracy", "macs", "weights"])


def cost_of_training(config: dict[str, Any], result: dict[str, Any], controls: list[Run]) -> str:
    """One nested training beside the trainings of all its levels alone, where each of these is there."""
    alone = {}
    for run in controls:
        if run.role in (ALONE, DENSE) and run.result and run.result.get("seconds") and run.seed == config["seed"]:
            alone[run.config["phases"][-1].get("alone") if run.role == ALONE else "full"] = run.result["seconds"]
    own = result.get("seconds")
    if not own or len(alone) < len(config["phases"][-1]["levels"]):
        return ""
    total = sum(alone.values())
    return (
        f"Trained together in {parts.clock(own)}; the {len(alone)} networks alone took {parts.clock(total)} in all, "
        f"{total / own:.2f} times as long. "
    )


def papers_of(config: dict[str, Any], frame: pd.DataFrame, masked: bool) -> pd.DataFrame:
    """NestedNet's own points on the run's network and data set, of coarse classes too where a level has these; consensus is left out.

    `masked`: those that count parameters, else those that count MACs, both as `left`.
    """
    dataset, several = config["dataset"], frame["task"].nunique() > 1
    found = [
        point
        for name in ([dataset, f"{dataset}-coarse"] if several else [dataset])
        for point in points_beside(config["network"], name)
        if point.paper == "NestedNet" and not point.point.startswith(("NestedNet-A", "NestedNet-L"))
        and (point.counted == "parameters") == masked
    ]  # fmt: skip
    return pd.DataFrame([
        {"label": p.point, "method": p.method, "accuracy": 1 - p.error / 100, "left": p.macs_left, "citation": p.source} for p in found
    ])  # fmt: skip
