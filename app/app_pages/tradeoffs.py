"""Trade-offs: accuracy against MACs of all finished runs on one data set, seeds together, the papers' points beside them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pandas as pd
import streamlit as st

from app import sentences, speed_charts, theme
from app.app_pages import parts
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row
from app.runs import final_accuracy, store, strength_words
from core.networks.names import shown
from core.papers import CITATIONS, caveats, points_beside
from core.runs.families import strengths_of
from core.runs.store import Run

LOOKS_OF_ROLE = {"scratch control": "scratch", "level alone": "dense", "student": "dense"}
ROLES = {
    "dense control": "dense control", "scratch control": "same shape from scratch", "level alone": "level alone",
    "student": "core, taught by the dense network", "random masks": "random masks", "L1-norm filters": "L1-norm filters",
}  # fmt: skip


def page() -> None:
    """Choose a data set; a point for every setting, its seeds' range, and what it cost."""
    runs = [row for row in store().recent(500)[0] if row.state == "finished" and row.result]
    if not runs:
        parts.invitation("No run yet: every finished one stands here with what it removed and what that cost.")
        return
    st.subheader("Trade-offs", anchor=False)
    counts = pd.Series([row.config["dataset"] for row in runs]).value_counts()
    dataset = st.segmented_control("Data set", list(counts.index), default=counts.index[0], key="tradeoff-dataset")
    dataset = dataset or counts.index[0]
    shown_runs = [row for row in runs if row.config["dataset"] == dataset]
    networks = list(dict.fromkeys(row.config["network"] for row in shown_runs))
    if len(networks) > 1 and (
        network := st.segmented_control("Network", networks, format_func=shown, key="tradeoff-network")
    ):
        shown_runs = [row for row in shown_runs if row.config["network"] == network]
    table = settings_table(shown_runs)
    papers = paper_table(table, str(dataset))
    beside = bool(len(papers)) and st.toggle("The papers' points", value=True, key="tradeoff-papers")
    plotly_loader(key="plotly-loader-tradeoffs")
    spec = speed_charts.tradeoff(pd.concat([table, papers]) if beside else table)
    parts.chart(
        f"Test accuracy against MACs left, on {dataset}",
        spec,
        table.drop(columns=["source", "path"]),
        key="tradeoff",
        height=460,
    )
    with theme.card(
        "What each point cost", "Epochs of all phases, seconds of training, and how many runs are in it.", key="costs"
    ):
        st.dataframe(
            table[["label", "method", "role", "n", "accuracy", "macs", "params", "epochs", "seconds", "certificate"]],
            hide_index=True, key="tradeoff-costs",
            column_config={
                "accuracy": st.column_config.NumberColumn("test accuracy", format="percent"),
                "macs": st.column_config.NumberColumn("MACs left", format="percent"),
                "params": st.column_config.NumberColumn("parameters left", format="percent"),
                "seconds": st.column_config.NumberColumn("seconds a run", format="%.0f"),
            },
        )  # fmt: skip
    if beside:
        _papers_card(papers, networks_shown(table), str(dataset))
        st.caption(
            "A claim for a method needs its controls beside it: the dense network trained equally long, and the cut shape trained "
            "from scratch. In the papers' own tables the training lengths differ."
        )
    glossary_row("MAC", "dense control", "seed", "compact", "certificate")


def networks_shown(table: pd.DataFrame) -> list[str]:
    """The networks of the settings, each once."""
    return list(dict.fromkeys(table["network"]))


def _papers_card(table: pd.DataFrame, networks: list[str], dataset: str) -> None:
    """The papers' points as a table, where each is from, and what is unknown about them."""
    points = [point for network in networks for point in points_beside(network, dataset)]
    with theme.card("The papers' points", "As printed, or as others quote them; hollow diamonds above.", key="papers"):
        st.dataframe(
            table.drop(columns=["source", "citation"]).assign(
                counted=[point.counted for point in points], where=[point.place for point in points],
                certainty=[point.certainty for point in points], note=[point.note for point in points],
            ),
            hide_index=True, key="tradeoff-papers-table",
            column_config={
                "accuracy": st.column_config.NumberColumn("test accuracy", format="percent"),
                "macs": st.column_config.NumberColumn("left", format="percent"), "counted": st.column_config.TextColumn("of"),
            },
        )  # fmt: skip
        for line in [*dict.fromkeys(CITATIONS[point.paper] for point in points), *caveats(points)]:
            st.caption(line)


def settings_table(runs: list[Run]) -> pd.DataFrame:
    """One row for each setting: its runs differ by seed alone. Accuracy and MACs are means; low and high their range."""
    groups: dict[str, list[Run]] = {}
    for row in runs:
        key = {k: v for k, v in row.config.items() if k not in ("seed", "source", "threads", "device", "precision")}
        groups.setdefault(json.dumps([key, row.role], sort_keys=True), []).append(row)
    settings = list(groups.values())
    paths = Counter(family for rows in settings for family in {row.family for row in rows if row.role == "method"})
    return pd.DataFrame([_setting(rows, paths) for rows in settings])


def _setting(rows: list[Run], paths: Counter[str]) -> dict[str, Any]:
    """`paths`: how many settings of the method itself each family has; two or more are a path over strengths."""
    results = [row.result or {} for row in rows]
    accuracies = [final_accuracy(result["accuracy"]) for result in results]
    lefts = [_left(result["macs_per_image"]) for result in results]
    config, several = rows[0].config, len(rows) > 1
    learned = [p["method"] for p in config["phases"] if p["method"] not in ("dense", "masks")]
    learning = learned[0] if learned else config["phases"][-1]["method"]
    learning = LOOKS_OF_ROLE.get(rows[0].role, learning)
    family = max((row.family for row in rows), key=lambda name: paths[name])
    strengths = strengths_of(config) if paths[family] > 1 and rows[0].role == "method" else {}
    label = strength_words(strengths) if strengths else ROLES.get(rows[0].role) or rows[0].preset
    return {
        "label": rows[0].name or label, "path": family if strengths else None, "strength": max(strengths.values(), default=None),
        "method": learning, "role": rows[0].role, "source": "ours", "n": len(rows), "network": config["network"],
        "accuracy": sum(accuracies) / len(rows), "macs": sum(lefts) / len(rows),
        "low": min(accuracies) if several else None, "high": max(accuracies) if several else None,
        "macs_low": min(lefts) if several else None, "macs_high": max(lefts) if several else None,
        "params": sum(_left(result["params"]) for result in results) / len(rows),
        "epochs": sum(p["epochs"] for p in config["phases"]), "seconds": _seconds(results),
        "certificate": sentences.listing(sorted({result["certificate"]["verdict"] for result in results})),
    }  # fmt: skip


def _left(pair: dict[str, float]) -> float:
    return pair["compact"] / pair["dense"]


def _seconds(results: list[dict[str, Any]]) -> float | None:
    known = [result["seconds"] for result in results if result.get("seconds")]
    return sum(known) / len(known) if known else None


def paper_table(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The papers' points on the networks of the table and this data set."""
    networks = networks_shown(table)
    found = [point for network in networks for point in points_beside(network, dataset)]
    return pd.DataFrame([
        {
            "label": point.point if len(networks) == 1 else f"{point.point}, {point.network}", "method": point.method, "source": "paper", "accuracy": 1 - point.error / 100,
            "macs": point.macs_left, "citation": f"{point.source}; {point.counted}" + (f": {point.note}" if point.note else ""),
        }
        for point in found
    ])  # fmt: skip
