"""Structure: what collapsed, when and at what price; the network, its layers and their units at any recorded epoch, all in step."""

from __future__ import annotations

import streamlit as st

from app import theme
from app.app_pages import (
    parts,
    structure_collapse,
    structure_ghost,
    structure_layers,
    structure_proof,
    structure_streams,
    structure_survival,
    structure_unit,
    structure_units,
)
from app.asking import looking
from app.collapse_words import report_sentence
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row
from app.runs import RunView, is_living
from app.selection import selected_number


def page() -> None:
    """The selected run's network."""
    plotly_loader()
    found = parts.run_or_invitation("the network")
    if found is None:
        return
    row, view = found
    parts.header(row, view)
    if not len(view.alive):
        st.caption("Nothing is recorded yet: the first look at the network comes within a few seconds of the start.")
        return
    parts.warn_if_empty(view)
    epoch = chosen_epoch(view)
    with theme.card(f"The network after epoch {epoch}", report_sentence(view.collapses()), key="structure"):
        structure_ghost.tree(row, view, epoch)
        if not is_living(row):
            st.page_link(
                st.session_state["pages"]["what-if"],
                label="What if more of it went? Cross units out by hand and see the price",
                icon=":material/content_cut:",
            )
    structure_collapse.collapses(view)
    structure_survival.survival(view)
    structure_layers.layers(view, epoch)
    left, right = st.columns([3, 2])
    with left:
        structure_streams.site(view, epoch)
    with right:
        structure_units.units(view, epoch)
    looking(structure_unit.unit, view.name, "unit")
    structure_proof.proof(view)
    glossary_row(
        "filter", "block", "skip path", "factor", "carry", "certificate", "exact", "spread", "uniform", "field"
    )


def chosen_epoch(view: RunView) -> int:
    """The selected epoch; the newest where none is, or a later one."""
    wanted = selected_number("epoch")
    return view.newest_epoch if wanted is None else min(wanted, view.newest_epoch)
