"""One's finished runs beside each other: accuracy against MACs."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from app import tradeoff_charts, tradeoff_points
from app.app_pages import parts
from app.components.live_chart import plotly_loader
from app.runs import store
from app.talk.conditions import of_points
from core.networks.names import shown


def comparison() -> None:
    """A figure of all finished runs of the data set and network that most of them share; nothing where there are fewer than two."""
    points = tradeoff_points.own_points(store().recent(200)[0])
    if points.empty:
        return
    (dataset, network), _ = Counter(zip(points["dataset"], points["network"], strict=True)).most_common(1)[0]
    points = points[(points["dataset"] == dataset) & (points["network"] == network)]
    if len(points) < 2:
        return
    plotly_loader(key="plotly-loader-start")
    spec = tradeoff_charts.tradeoff(points)
    st.subheader("Your runs so far", anchor=False)
    parts.chart(
        f"Test accuracy against MACs left, {shown(network)} on {dataset}",
        spec,
        points[["label", "role", "n", "accuracy", "macs", "params", "epochs", "seconds"]],
        key="tradeoff",
        height=tradeoff_charts.height_of(spec),
        conditions=lambda: of_points(points, "macs", None),
    )
