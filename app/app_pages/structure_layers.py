"""Structure: the table of layers in forward order, what lives of each and what that leaves, in step with the selection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import sentences, theme
from app.app_pages import parts
from app.espalier_data import died
from app.runs import RunView
from app.selection import select, selection
from core.networks.remaining import remaining
from core.runs.collapses import layers_of

POINTS = 40  # of a sparkline


def layer_table(view: RunView, epoch: int) -> pd.DataFrame:
    """One row a layer, in forward order: what lives of it and what that leaves."""
    table = view.counts()
    counts = dict(zip(map(str, table.index), table.to_numpy(), strict=True))
    at = min(epoch, table.shape[1] - 1) if table.size else 0
    alive = {site: int(row[at]) for site, row in counts.items()}
    left = remaining(view.layout, alive)
    blocks = {conv["path"]: block for block, conv in _blocks(view)}
    every = max(1, -(-(at + 1) // POINTS))
    rows = []
    for conv, label in layers_of(view.layout):
        path, site, block = conv["path"], conv["site"], blocks.get(conv["path"])
        macs, params = left[path]
        dead = macs == 0
        living = 0 if dead else alive.get(site, conv["total"])
        history = counts[site][: at + 1] / conv["total"] if site in alive else None
        if block in alive and history is not None:
            history = history * (counts[block][: at + 1] > 0)
        rows.append({
            "layer": parts.short(path), "path": path, "alive": living / conv["total"], "units": f"{living} / {conv['total']}",
            "state": _state(dead, site in alive, living, conv["total"], _since(counts, site, block, at)),
            "alive over epochs": [] if history is None else [round(float(h), 3) for h in history[::-1][::every][::-1]],
            "MACs": round(macs), "MACs dense": conv["macs"], "parameters": round(params), "block": label, "dead": dead,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _blocks(view: RunView) -> list[tuple[str, dict[str, Any]]]:
    return [
        (block["block_site"], conv)
        for stage in view.layout["stages"]
        for block in stage["blocks"]
        for conv in block["convs"]
    ]


def _since(counts: dict[str, np.ndarray], site: str | None, block: str | None, at: int) -> int | None:
    """The epoch since which a layer, or the block around it, is dead; None where neither is known to be."""
    found = [died(counts[name][: at + 1]) for name in (site, block) if name in counts]
    return min((epoch for epoch in found if epoch is not None), default=None)


def _state(dead: bool, learned: bool, living: int, total: int, since: int | None) -> str:
    if dead:
        return "dead" if since is None else f"dead since epoch {since}"
    if not learned:
        return "fixed"
    return "whole" if living == total else f"lost {total - living}"


def layers(view: RunView, epoch: int) -> None:
    """The card."""
    table = view.kept("layers", lambda: layer_table(view, epoch), of=epoch)
    left, dense = table["MACs"].sum(), table["MACs dense"].sum()
    counted = view.macs_counted() if epoch == view.newest_epoch else None
    remain = f"{sentences.percent((left if counted is None else counted) / dense)} of the MACs remain"
    apart = counted is not None and abs(left - counted) > 0.005 * dense
    dead = int(table["dead"].sum())
    left_whole = "would be removed" if counted is None else "was removed" if dead == 1 else "were removed"
    sentence = (
        f"{dead} of {sentences.plural(len(table), 'layer')} {left_whole} entirely; "
        f"{remain}{' (estimated)' if counted is None else '; layer by layer, estimates' if apart else ''}."
    )
    path = (selection().get("site") or "").partition("/")[0]
    rows = [i for i, layer in enumerate(table["path"]) if layer == path][:1]
    key = f"layer-table-{view.name}-{path}"  # a new choice elsewhere shows here
    bar = st.column_config.ProgressColumn
    with theme.card("Layers", f"{sentence} Choose a row to see its units.", key="layers"):
        st.dataframe(
            table, hide_index=True, key=key, height=min(36 * (len(table) + 1) + 2, 400), on_select=lambda: _choose(table, key), selection_mode="single-row",
            selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
            column_order=("layer", "state", "alive", "units", "alive over epochs", "MACs", "MACs dense", "parameters"),
            column_config={
                "state": st.column_config.TextColumn(width="medium"),
                "alive": bar("alive", min_value=0, max_value=1, format="percent", width="small"),
                "alive over epochs": st.column_config.LineChartColumn(y_min=0, y_max=1, width="small", help=f"share alive from the start to epoch {epoch}"),
                "MACs": bar("MACs left", min_value=0, max_value=int(table["MACs dense"].max()), format="compact", width="small"),
                "MACs dense": st.column_config.NumberColumn(format="compact"),
                "parameters": bar("parameters left", min_value=0, max_value=max(1, int(table["parameters"].max())), format="compact", width="small"),
            },
        )  # fmt: skip


def _choose(table: pd.DataFrame, key: str) -> None:
    rows = st.session_state[key].selection.rows
    if rows:
        path = table.iloc[rows[0]]["path"]
        if path == (selection().get("site") or "").partition("/")[0]:
            return  # the table only repeats what was chosen elsewhere
        select(site=f"{path}/{'neuron' if path.startswith('fc') else 'filter'}", unit=None)
