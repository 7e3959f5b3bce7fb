"""Structure: another run of the same network as a ghost behind the espalier, and which level has what as tints."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.app_pages import parts
from app.asking import answer, known, looking
from app.espalier_ghost import ghost_of, ghosts_of
from app.level_words import nested_phase
from app.runs import RunView, config_of, methods_of, store, view_of
from core.runs.tables import Run

MAX_OTHERS = 200  # newest runs among which a ghost is sought


def tree(row: Run | None, view: RunView, epoch: int) -> None:
    """The espalier with its ghost and its level tints, and the choice of the ghost."""
    others = {other.id: other for other in ghosts_of(view, store().recent(MAX_OTHERS)[0])}
    parts.tree(view, key=f"structure-{view.name}", follow=False, ghost=_ghost(view, others, epoch))
    if nested_phase(config_of(row, view)) is not None and "bands" not in (view.result or {}):
        looking(_levels, view.name, "structure-levels", living_s=None)
    _choose(view.name, others)


def _levels(run: str) -> None:
    """Asks once which level has what; the tree then shows levels as tints."""
    had = known(run, "nesting")
    if answer(run, "structure-levels", "nesting", once=True) is not None and had is None:
        st.rerun()


def _ghost(view: RunView, found: dict[str, Run], epoch: int) -> dict[str, Any] | None:
    """The run in the address that stands behind this one; None where there is none."""
    chosen = st.query_params.get("ghost", "")
    return ghost_of(view, view_of(chosen), epoch, found[chosen].name or chosen) if chosen in found else None


def _choose(run: str, found: dict[str, Run]) -> None:
    """The runs of the same network; the chosen one is in the address."""
    if not found:
        return
    chosen, key = st.query_params.get("ghost", ""), f"ghost-{run}"
    options = ["", *found]
    st.selectbox(
        "Compare with another run of this network, as a ghost behind it", options, index=options.index(chosen if chosen in found else ""), key=key,
        format_func=lambda other: _called(found[other]) if other else "no other run", on_change=_chosen, args=(key,), width=420,
    )  # fmt: skip


def _called(row: Run) -> str:
    return f"{row.name or row.id} · {methods_of(row.config)}, seed {row.seed}"


def _chosen(key: str) -> None:
    if chosen := st.session_state[key]:
        st.query_params["ghost"] = chosen
    else:
        st.query_params.pop("ghost", None)
