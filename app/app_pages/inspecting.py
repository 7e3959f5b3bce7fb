"""Inspect: bring a network, see what could go and what blocks it, cut it with a certificate, take it away."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import streamlit as st

from app import inspect_charts, jobs, sentences, theme
from app.app_pages import parts, run_tiles
from app.app_pages.inspecting_bring import Brought, brought
from app.app_pages.inspecting_cut import BATCH, cut_card
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row
from app.guard import guarded
from app.inspect_words import (
    accuracy_note,
    blocked,
    blocked_sentence,
    could_go,
    importance_rows,
    importance_sentence,
    layer_rows,
    layers_sentence,
)
from app.runs import store
from core.runs.folder import write_atomically


def page() -> None:
    """Bring, look, cut, take away."""
    plotly_loader()
    st.subheader("Inspect", anchor=False)
    found = brought()
    if found is not None:
        job = f"inspect {found.key}"
        st.fragment(guarded(_look), run_every=1.0 if jobs.begun(job) else None)(found, job)
        look = found.look()
        if look is not None:
            _findings(found, look)
            cut_card(found, look)
    glossary_row("sparsity", "filter", "unit", "uniform", "field", "MAC", "certificate", "exact", "compact")


def _look(found: Brought, job: str) -> None:
    """The button that looks, and the wait for it."""
    left, middle, right = st.columns([3, 4, 7], vertical_alignment="center")
    measure = middle.toggle(
        "Measure its speed too", key="inspect-measure", bind="query-params", help=f"Times it against itself without what could go, in batches of {BATCH}; a few seconds."
    )  # fmt: skip
    if (said := jobs.at_work(job)) is not None:
        left.button("Looking…", key="look", disabled=True, icon=":material/search:", width="stretch")
        right.caption(f"Reading every layer{'; asking its test images' if '--dataset' in found.options else ''}. {said if said.startswith('matched') else ''}")  # fmt: skip
        return
    if jobs.begun(job):
        document = jobs.take(job)
        if document is not None:
            found.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(found.folder / "look.json", json.dumps(document))
        st.rerun()
    if failed := jobs.failure(job):
        st.error(f"{failed[0].upper()}{failed[1:]}", icon=":material/error:")
    again = found.look() is not None
    label, kind = ("Look again", "secondary") if again else ("Look at it", "primary")
    if left.button(label, key="look", icon=":material/search:", type=kind, width="stretch"):  # type: ignore[arg-type]
        more = ("--measure", str(BATCH)) if measure else ()
        jobs.start(job, "inspect", found.source, *found.options, *more, "--runs", str(store().root))
        st.rerun()
    with right.popover("By command", type="tertiary", icon=":material/terminal:"):
        st.code(found.command("inspect"), language="bash")


def _findings(found: Brought, look: dict[str, Any]) -> None:
    """The network in numbers, layer by layer, and what holds zeros back."""
    rows = layer_rows(look)
    with theme.card(f"What could go from {found.name}", could_go(look), key="inspect-look"):
        theme.kpi_row(_tiles(look))
        if look.get("assumed"):
            st.caption(f"{look['assumed'][0].upper()}{look['assumed'][1:].partition('; if accuracy')[0]}.")
    cells = [_sizes, _table, _blocked]
    if look["compact"]["params"] < look["params"] or bool((rows["sparsity"] > 0).any()):
        cells = [_left, _sizes, _table, _blocked]
    left, right = st.columns(2)
    with left:
        cells[0](look, rows)
    with right:
        for cell in cells[1:] if len(cells) == 3 else cells[1:2]:
            cell(look, rows)
    if len(cells) == 4:
        for column, cell in zip(st.columns(2), cells[2:], strict=True):
            with column:
                cell(look, rows)


def _left(look: dict[str, Any], rows: pd.DataFrame) -> None:
    """What would leave each layer."""
    note = "Diamond: share of the weights that are exactly zero." if bool((rows["sparsity"] > 0).any()) else ""
    spec = inspect_charts.layers_left(rows, layers_sentence(look))
    parts.chart("Layer by layer", spec, rows.drop(columns=["path"]).round(4), key="inspect-layers", height=_height(len(rows)), note=note, conditions=lambda: _brought(look))  # fmt: skip


def _brought(look: dict[str, Any]) -> str:
    """What was looked at, for the figures' files."""
    return f"{look['network']}: {sentences.amount(look['params'])} parameters, {sentences.amount(look['macs'])} MACs an image, as brought; nothing was trained."


def _sizes(look: dict[str, Any], rows: pd.DataFrame) -> None:
    """How unequal the filters are."""
    sizes = importance_rows(look)
    spec = inspect_charts.importance_ranges(sizes, importance_sentence(sizes))
    parts.chart("How much its filters differ", spec, sizes.round(3), key="inspect-importance", height=_height(len(rows)), conditions=lambda: _brought(look))  # fmt: skip


def _blocked(look: dict[str, Any], rows: pd.DataFrame) -> None:
    """What stays although it is dead, and why."""
    held = blocked(look)
    with theme.card("What blocks it", blocked_sentence(held), key="inspect-blocked"):
        if not held.empty:
            st.dataframe(held, hide_index=True, key="blocked-rows", height=min(320, 38 + 36 * len(held)))


def _height(layers: int) -> int:
    return max(240, 19 * min(inspect_charts.AT_MOST, layers) + 100)


def _tiles(look: dict[str, Any]) -> list[tuple[str, str, str]]:
    units = look["units"]
    silent = sum(units.values()) - units["alive"]
    tiles = [
        ("units", f"{sum(units.values()):,}", f"{units['alive']:,} alive, {silent:,} say the same to every image"),
        ("MACs", sentences.amount(look["macs"]), f"{sentences.amount(look['compact']['macs'])} without what could go; batch 1, {_input(look)}"),
        ("parameters", sentences.amount(look["params"]), f"{sentences.amount(look['compact']['params'])} without what could go"),
    ]  # fmt: skip
    if "accuracy" in look:
        share = look["accuracy"]["dense"]
        tiles.append(
            (f"accuracy on {look['dataset']}", sentences.percent(share, 1), accuracy_note(share, look["test_images"]))
        )
    if "speed" in look:
        tiles.append(run_tiles.speed_tile(look["speed"], look["compact"]["macs"]))
    return tiles


def _input(look: dict[str, Any]) -> str:
    return " × ".join(str(size) for size in look["input"][1:])


def _table(look: dict[str, Any], rows: pd.DataFrame) -> None:
    """Every count of every layer."""
    seen = [name for name in ("zero", "uniform", "field", "unread") if rows[name].any()]
    zeros = [name for name in ("zero filters", "zero channels", "zero shapes") if rows[name].any()]
    with theme.card("Every layer", "Verdicts of its units, and zeros among its weights.", key="inspect-table"):
        st.dataframe(
            rows, hide_index=True, key="inspect-rows", height=min(420, 38 + 36 * len(rows)),
            column_order=("layer", "units", "alive", *seen, "leave", "sparsity", *zeros, "weights", "MACs"),
            column_config={
                "sparsity": st.column_config.ProgressColumn("zero weights", min_value=0, max_value=1, format="percent", help="share of the weights that are exactly zero"),
                "alive": st.column_config.NumberColumn(help="the answer depends on the image"),
                "zero": st.column_config.NumberColumn(help="says 0 to every image, at every position"),
                "uniform": st.column_config.NumberColumn(help="says one other number to every image, at every position"),
                "field": st.column_config.NumberColumn(help="the same for every image, another number at the border"),
                "unread": st.column_config.NumberColumn(help="alive, but nothing that lives reads it"),
                "leave": st.column_config.NumberColumn(help="can be cut out without changing an answer"),
                "weights": st.column_config.NumberColumn(format="compact"), "MACs": st.column_config.NumberColumn(format="compact", help="at batch 1"),
            },
        )  # fmt: skip
