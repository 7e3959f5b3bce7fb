"""One's finished runs beside each other: accuracy against MACs."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import speed_charts
from app.app_pages import parts
from app.app_pages.tradeoffs import settings_table
from app.components.live_chart import plotly_loader
from app.runs import store


def comparison() -> None:
    """A figure of all finished runs on the data set that most of them share; nothing where there are fewer than two."""
    rows = [row for row in store().recent(200)[0] if row.state == "finished" and row.result]
    if len(rows) < 2:
        return
    datasets = pd.Series([row.config["dataset"] for row in rows])
    dataset = str(datasets.mode().iloc[0])
    points = settings_table([row for row in rows if row.config["dataset"] == dataset])
    if len(points) < 2:
        return
    plotly_loader(key="plotly-loader-start")
    st.subheader("Your runs so far", anchor=False)
    parts.chart(
        f"Test accuracy against MACs left, on {dataset}",
        speed_charts.tradeoff(points),
        points.drop(columns=["source", "path"]),
        key="tradeoff",
        height=340,
    )
