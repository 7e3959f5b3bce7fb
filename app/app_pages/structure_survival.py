"""Structure: how much of every layer lived when, as a heatmap of sites and epochs, and stage by stage."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import charts
from app.app_pages import parts
from app.runs import RunView
from app.selection import select, selected_number, selection

MAX_CELLS = 12_000
ROW = 9  # pixels


def survival(view: RunView) -> None:
    """The heatmap, and beside it the stages, where anything is learned."""
    share = view.survival()
    if share.empty:
        return
    shares, units = view.kept("stages", lambda: parts.stage_shares(view))
    learns = not shares.empty and any(view.learns(s["site"]) for s in view.sites)
    columns = st.columns([3, 2]) if learns else [st.container()]
    with columns[0]:
        picked = (selection().get("site"), selected_number("epoch"))
        spec = view.kept("heatmap", lambda: _heatmap(view, picked), of=picked)
        note = "Click a cell to select its layer and its epoch. Crossed: dead; a bold × where it died; a ring where it died and came back."
        height = max(300, min(860, ROW * len(share) + 80))
        parts.chart(
            "Survival, layer by epoch",
            spec,
            lambda: share.round(3),
            key="survival",
            height=height,
            note=note,
            on_picked=_cell,
        )
    if learns:
        with columns[1]:
            spec = view.kept("deaths", lambda: charts.death_timeline(shares, parts.block_deaths(view), view.markers()))
            parts.chart(f"Share of {units} alive, stage by stage", spec, shares.round(3), key="deaths", height=300)


def _heatmap(view: RunView, picked: tuple[str | None, int | None]) -> dict[str, Any]:
    share = view.survival()
    names = {str(site): parts.short(str(site)) for site in share.index}
    return charts.survival_heatmap(
        share, parts.stage_rows(view), view.markers(), names, max_cells=MAX_CELLS, picked=picked
    )


def _cell(click: dict[str, Any]) -> None:
    select(site=click["y"], epoch=round(click["x"]), unit=None)
