"""Structure: the collapse report. Which sites died, in which order, what each took along, what it cost, whether it came back."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import structure_charts, theme
from app.app_pages.parts import picking, table_behind
from app.collapse_words import accuracy_sentence, collapse_table, report_sentence, thinned_table
from app.runs import RunView
from app.selection import select, selection

HOW = (
    "At once: validation accuracy in the epoch of the first death minus the epoch before; usual: the median change from one epoch to the next over the ten "
    "before it. Neither can be told apart from what else changed in that epoch. MACs: the share of the dense network's that these layers had, and still had just before."
)
STRENGTH = "strength then"
POINTS = st.column_config.NumberColumn(format="%+.1f pp", width="small")
COLUMNS = {
    "#": st.column_config.NumberColumn(width=36),
    "epoch": st.column_config.NumberColumn(width=60),
    "at once": POINTS,
    "usual": st.column_config.NumberColumn(format="±%.1f pp", width="small"),
    "by the end": POINTS,
    "gone since": st.column_config.Column(width=76),
    "took along": st.column_config.Column(width=96),
    "came back": st.column_config.Column(width=112),
    "MACs when dense": st.column_config.NumberColumn("MACs, dense", format="percent", width="small"),
    "MACs just before": st.column_config.NumberColumn("just before", format="percent", width="small"),
}
ORDER = ("#", "what", "epoch", "took along", "came back", "gone since", "at once", "usual", "by the end", "MACs when dense", "MACs just before", STRENGTH)  # fmt: skip


def collapses(view: RunView) -> None:
    """The card."""
    report = view.collapses()
    sentence = accuracy_sentence(report) if report.collapses else report_sentence(report)
    with theme.card("Collapse report", sentence, key="collapses"):
        if not report.collapses:
            _thinned(view)
            return
        spec = structure_charts.collapse_timeline(report, view.table(), view.markers(), selection().get("site"))
        height = 150 + 34 * structure_charts.collapse_rows(report)
        picking(spec, key="chart-collapses", height=height, on_picked=_timeline_picked)
        st.caption(f"{HOW}{_table(view)}")
        table_behind(lambda: collapse_table(report.collapses), key="table-collapses", figure=("Collapse report", spec))


def _timeline_picked(click: dict[str, Any]) -> None:
    if click["customdata"]:
        select(site=click["customdata"], epoch=int(click["x"]), unit=None)


def _table(view: RunView) -> str:
    """The table; a strength that was the same at every collapse is not a column of it, but what this returns says, nor is the epoch
    since which all is gone where nothing came back."""
    rows = view.collapses().collapses
    sites, epochs = [row.site for row in rows], [row.epoch for row in rows]
    table = collapse_table(rows)
    one = list(table[STRENGTH].unique()) if table[STRENGTH].nunique() == 1 else []
    told = {*((STRENGTH,) if one else ()), *(("gone since",) if all(row.since == row.epoch for row in rows) else ())}
    order = tuple(name for name in ORDER if name not in told)
    _choosable(table, sites, epochs, key=f"collapse-table-{view.name}", config=COLUMNS, order=order)
    return f" Strength at every collapse: {one[0].removeprefix('strength ')}." if one else ""


def _thinned(view: RunView) -> None:
    rows = view.collapses().thinned
    if not rows:
        st.caption(
            "A run that drives structure to zero fills this: start one with a method other than dense, or raise its strength."
        )
        return
    config = {"alive": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")}
    st.caption(f"The {len(rows)} that lost most. First loss: the first epoch with a dead unit (0 is before training).")
    sites, epochs = [row.site for row in rows], [row.half or row.first for row in rows]
    _choosable(thinned_table(rows), sites, epochs, key=f"thinned-table-{view.name}", config=config)


def _choosable(
    table: pd.DataFrame, sites: list[str], epochs: list[int], *, key: str, config: dict[str, Any], order: tuple[str, ...] | None = None
) -> None:  # fmt: skip
    """A table of sites: the row of the selected site is marked, a chosen row selects its site and its epoch."""
    rows = _marked(sites)
    key = f"{key}-{rows}"  # a new choice elsewhere shows here

    def choose() -> None:
        chosen = st.session_state[key].selection.rows
        if chosen and chosen != _marked(sites):
            select(site=sites[chosen[0]], epoch=epochs[chosen[0]], unit=None)

    st.dataframe(
        table, hide_index=True, key=key, height=min(36 * (len(table) + 1) + 2, 300), on_select=choose, selection_mode="single-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}}, column_config=config, column_order=order,
    )  # fmt: skip


def _marked(sites: list[str]) -> list[int]:
    """The row of the selected site, or of the block that it is in."""
    wanted = selection().get("site") or ""
    inside = [place for place, site in enumerate(sites) if site == wanted]
    return inside or [place for place, site in enumerate(sites) if wanted.startswith(f"{site.removesuffix('/block')}.")]
