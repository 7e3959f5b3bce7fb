"""Levels: who contains whom, layer by layer, and whether every level lies in the larger ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app import level_charts, theme
from app.app_pages import parts
from app.asking import answer
from app.components.live_chart import live_chart
from app.level_words import is_masked, nested_phase, shown_layers, subset_verdict
from app.runs import RunView, config_of, row_of, view_of
from core.level_settings import Level, words_of


def bands(run: str) -> None:
    """Card 1: who contains whom."""
    row, view = row_of(run), view_of(run)
    phase = nested_phase(config_of(row, view))
    assert phase is not None, "the page draws bands of nested runs alone"
    with theme.card("Nested bands: who contains whom", key="bands"):
        result = view.result or {}
        told = result if "bands" in result else answer(run, "bands", "nesting", once=True)
        if told is None:
            return
        masked = is_masked(phase["levels"])
        layers = shown_layers(told["bands"], masked)
        names = [parts.short(layer["layer"]) for layer in layers]
        spec = level_charts.nested_bands(
            told["bands"], masked, names, _stages(view, [layer["layer"] for layer in layers])
        )
        theme.takeaway(spec["alt"])
        live_chart(spec, key="chart-bands", height=330)
        holds, words = subset_verdict(told["subset_holds"], len(phase["levels"]), told["bands"])
        st.markdown(
            f":{'green' if holds else 'orange'}[:material/{'check_circle' if holds else 'call_split'}:] {words}"
        )
        parts.table_behind(
            lambda: _bands_table(told["bands"]), key="table-bands", figure=("Nested bands: who contains whom", spec)
        )
        st.caption(_kept_words(phase))


def _kept_words(phase: Mapping[str, Any]) -> str:
    """What every level keeps, as it was set."""
    kept = [f"level {k}: {words_of(Level.model_validate(level))}" for k, level in enumerate(phase["levels"])]
    order = (
        " Channels and blocks stand in the order that was learned; a band's height is their number."
        if phase["order"] == "learned"
        else ""
    )
    return f"As set: {'; '.join(kept)}.{order}"


def _stages(view: RunView, layers: list[str]) -> list[tuple[str, int]]:
    """(stage, number of layers) from the left; layers outside the stages have none."""
    rows: list[tuple[str, int]] = []
    for layer in layers:
        name = next((s["name"] for s in view.layout["stages"] if layer.startswith(f"{s['path']}.")), "")
        if rows and rows[-1][0] == name:
            rows[-1] = (name, rows[-1][1] + 1)
        else:
            rows.append((name, 1))
    return rows


def _bands_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    rows = []
    for band in found:
        row: dict[str, Any] = {"layer": band["layer"]}
        for what in ("units", "weights"):
            row |= {f"{what}, level {k}": kept for k, kept in enumerate(band[what]["kept"])}
            row[f"{what}, all"] = band[what]["total"]
        rows.append(row)
    return pd.DataFrame(rows)
