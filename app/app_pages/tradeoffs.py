"""Trade-offs: accuracy against MACs of all finished runs on one data set, seeds together, the papers' points beside them."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from app import sentences, speed_charts, theme
from app.app_pages import parts
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row
from app.runs import final_accuracy, store
from core.papers import points_beside
from core.runs.store import Run


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
    table = settings_table([row for row in runs if row.config["dataset"] == dataset])
    papers = paper_table(table, str(dataset))
    shown = bool(len(papers)) and st.toggle("The papers' points", value=True, key="tradeoff-papers")
    plotly_loader(key="plotly-loader-tradeoffs")
    spec = speed_charts.tradeoff(pd.concat([table, papers]) if shown else table)
    parts.chart(
        f"Test accuracy against MACs left, on {dataset}",
        spec,
        table.drop(columns=["source"]),
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
    if shown:
        for source in dict.fromkeys(papers["citation"]):
            st.caption(source)
        st.caption(
            "A claim for a method needs its controls beside it: the dense network trained equally long, and the cut shape trained "
            "from scratch. In the papers' own tables the training lengths differ."
        )
    glossary_row("MAC", "dense control", "seed", "compact", "certificate")


def settings_table(runs: list[Run]) -> pd.DataFrame:
    """One row for each setting: its runs differ by seed alone. Accuracy and MACs are means; low and high their range."""
    groups: dict[str, list[Run]] = {}
    for row in runs:
        key = {k: v for k, v in row.config.items() if k not in ("seed", "source", "threads", "device", "precision")}
        groups.setdefault(json.dumps([key, row.role], sort_keys=True), []).append(row)
    return pd.DataFrame([_setting(rows) for rows in groups.values()])


def _setting(rows: list[Run]) -> dict[str, Any]:
    results = [row.result or {} for row in rows]
    accuracies = [final_accuracy(result["accuracy"]) for result in results]
    lefts = [_left(result["macs_per_image"]) for result in results]
    config, several = rows[0].config, len(rows) > 1
    learning = next((p["method"] for p in config["phases"] if p["method"] != "dense"), "dense")
    return {
        "label": rows[0].name or (rows[0].preset if several else rows[0].id),
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
    found = [point for network in dict.fromkeys(table["network"]) for point in points_beside(network, dataset)]
    return pd.DataFrame([
        {
            "label": point.point, "method": point.method, "source": "paper", "accuracy": 1 - point.error / 100,
            "macs": point.macs_left, "citation": f"{point.source}; {point.counted}" + (f": {point.note}" if point.note else ""),
        }
        for point in found
    ])  # fmt: skip
