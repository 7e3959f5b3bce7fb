"""What if: units of a finished run crossed out by hand or by a threshold, the price at once, and fine-tuning from there."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from app import theme, whatif_words
from app.app_pages import parts
from app.app_pages.family_branches import branches
from app.app_pages.what_if_board import board
from app.app_pages.what_if_next import actions
from app.asking import WAITING, answer, looking, wait
from app.components.live_chart import plotly_loader
from app.crossing_state import choice, crossed_of
from app.glossary import glossary_row
from app.guard import guarded
from app.runs import is_living, view_of
from core.crossed import KINDS, Crossed

UNITS, BASE, PRICE, PROOF = (
    "whatif-units",
    "whatif-base",
    "whatif-price",
    "whatif-proof",
)  # what is waited for, each by itself
SETTLED, LAST = "whatif-settled", "whatif-last"


def page() -> None:
    """The selected run with a pencil; before it is over, what to wait for."""
    plotly_loader(key="plotly-loader-whatif")
    found = parts.run_or_invitation("a finished run to cross units out of")
    if found is None:
        return
    row, view = found
    parts.header(row, view)
    parts.said()
    if is_living(row) or not view.sites:
        state = row.state if row else "recorded"
        with theme.card(
            "Not yet", f"This run is {state}: units are crossed out of a network that no longer changes.", key="not-yet"
        ):
            st.caption("Live shows how far it is. Choose a finished run on the left to go on at once.")
        branches(view.name)
        return
    totals = {site["site"]: site["total"] for site in view.sites if site["kind"] in KINDS}
    now = choice(view.name, totals)
    waits = {BASE, PRICE} & st.session_state.setdefault(WAITING, set())
    st.fragment(guarded(_price), run_every=1.0 if waits else None)(view.name)
    left, right = st.columns([5, 3])
    with left:
        looking(board, view.name, UNITS, living_s=None)
    with right:
        actions(view.name, crossed_of(view.name, now) or {})
    branches(view.name)
    glossary_row(
        "filter",
        "conv group",
        "block",
        "MAC",
        "accuracy",
        "confidence interval",
        "percentage point",
        "certificate",
        "exact",
        "fine-tune",
    )


def _price(run: str) -> None:
    """The tiles: what would be left, and what it would cost."""
    view = view_of(run)
    totals = {site["site"]: site["total"] for site in view.sites if site["kind"] in KINDS}
    now = choice(run, totals)
    crossed = crossed_of(run, now)
    base = told = answer(run, BASE, "whatif", crossed={})
    if base is not None and crossed:
        told = answer(run, PRICE, "whatif", crossed=crossed)
    else:
        wait(PRICE, False)
        told = base if crossed is not None else None
    last = st.session_state.setdefault(LAST, {})
    if told is not None:
        last[run] = (told, crossed)
    elif run in last:
        told, crossed = last[run]
    if told is None or base is None or crossed is None:
        st.skeleton(height=104)
        return
    theme.takeaway(whatif_words.sentence(told, base, crossed))
    with st.container(key="stays-whatif"):  # in sight while squares further down are clicked
        theme.kpi_row(whatif_words.tiles(told, base))
    key = json.dumps([run, crossed], sort_keys=True)
    proved = st.session_state.get(SETTLED) == (key, True)
    st.fragment(guarded(_proof), run_every=None if proved else 1.0)(run, key, crossed, told)


def _proof(run: str, key: str, crossed: Crossed, told: dict[str, Any]) -> None:
    """The verdict. It takes the lane a second or two, so it is asked for only when nothing was changed since the last look."""
    state = st.session_state.get(SETTLED, ("", False))
    if state[0] != key:
        st.session_state[SETTLED] = (key, False)
        st.caption("Removal: the proof follows as soon as you pause.")
        return
    proof = answer(run, PROOF, "whatif_proof", crossed=crossed) if PRICE not in st.session_state[WAITING] else None
    if proof is None:
        return
    st.caption(whatif_words.verdict(proof, told))
    if not state[1]:
        st.session_state[SETTLED] = (key, True)
        st.rerun()  # proved: nothing is looked for any more
