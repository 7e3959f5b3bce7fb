"""Structure: the values of the selected site's units over the epochs, raw or effective, exact zeros apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app import stream_charts, theme
from app.app_pages import parts
from app.runs import RunView
from app.selection import select, selected_number, selection
from core.runs.collapses import layers_of

RAW, EFFECTIVE = "raw", "effective"


def site(view: RunView, epoch: int) -> None:
    """The card of the selected site."""
    wanted, chosen = selection().get("site"), parts.selected_site(view)
    if wanted and wanted not in [s["site"] for s in view.sites]:
        with theme.card(parts.short(wanted), why_fixed(view, wanted), key="site-fixed"):
            st.caption("Its weights stand below all the same.")
        return
    if chosen is None:
        with theme.card("Units", "This run learns no structure.", key="site-none"):
            st.caption("The dense control keeps everything.")
        return
    of_site, noun = view.streams(chosen), view.noun(chosen)
    norms = view.effective_streams(chosen)
    shown, word = (norms, "effective norm") if not norms.empty and which(view) == EFFECTIVE else (of_site, noun)
    unit, threshold, at = (
        selected_number("unit"),
        view.threshold(chosen) if word == noun else None,
        selected_number("epoch"),
    )

    def drawn() -> dict[str, Any]:
        return stream_charts.factor_streams(shown, parts.short(chosen), view.markers(), noun=word, picked=unit, threshold=threshold, epoch=at)  # fmt: skip

    spec = view.kept("streams", drawn, of=(chosen, word, unit, threshold, at))
    with theme.card(f"{word.capitalize()}s of {parts.short(chosen)}", spec["alt"], key="site"):
        if not norms.empty:
            st.segmented_control(
                "Values", (RAW, EFFECTIVE), key="norms", default=RAW, bind="query-params", label_visibility="collapsed",
                help="Raw: what the method drives to zero. Effective: what reaches the next layer.",
            )  # fmt: skip
        parts.picking(spec, key="site-chart", height=330, on_picked=_line)
        now = of_site.iloc[min(epoch, len(of_site) - 1)]
        st.caption(
            f"{chosen}: {int((now > 0).sum())} of {len(now)} {noun}s above zero after epoch {epoch}; largest {now.max():.3g}."
            + effective_words(norms.iloc[epoch].to_numpy() if epoch < len(norms) else np.zeros(0))
        )
        parts.table_behind(
            lambda: shown.round(4).rename_axis("epoch"),
            key="table-site",
            figure=(f"{word.capitalize()}s of {parts.short(chosen)}", spec),
        )


def which(view: RunView) -> str:
    """Raw or effective: what the figures of a site's units show."""
    return st.session_state.get("norms") or st.query_params.get("norms") or RAW


def _line(click: dict[str, Any]) -> None:
    unit = click["customdata"]
    if unit is not None:
        select(unit=int(unit), site=selection().get("site"))


def why_fixed(view: RunView, wanted: str) -> str:
    """Why a layer has no units that could die."""
    path = wanted.partition("/")[0]
    if path not in [conv["path"] for conv, _ in layers_of(view.layout)]:
        return "This network has no layer of that name; choose one in the table."
    if path in [conv["path"] for conv in view.layout["head"]]:
        return "These are the class scores: every one is needed."
    if path in [conv["path"] for conv in view.layout["stem"]]:
        return "The first layer feeds the skip path of the whole first stage, so its channels stay."
    return "The outputs of this layer are added to the skip path, so they stay as long as its block does."


def effective_words(norms: np.ndarray) -> str:
    """What the units of a site pass on, in a sentence; empty where it was not recorded."""
    living = norms[norms > 0]
    if not len(living):
        return ""
    return (
        " Effective norms (weights × |scale| / σ of the norm behind them, factors included: what reaches the next layer) go "
        f"from {living.min():.3g} to {living.max():.3g}, median {np.median(living):.3g}."
    )
