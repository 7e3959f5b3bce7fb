"""The family of a run as a tree: what was crossed out, fine-tuned or trained beside it; a click opens a run."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import sentences, theme
from app.app_pages import parts
from app.components.live_chart import live_chart
from app.family_tree import family_tree
from app.guard import guarded
from app.runs import final_accuracy, is_living, methods_of, row_of, store, strength_words
from app.selection import select, selection
from app.whatif_words import counted
from core.crossed import together, without
from core.errors import BadInput
from core.runs.by_hand import ROLE
from core.runs.families import strengths_of
from core.runs.tables import Run

ROW = 74  # pixels
MOST = 40
OPENED = "family-tree-opened"


def branches(run: str) -> None:
    """The card; looks again while something of the family may change."""
    row = row_of(run)
    if row is not None:
        lives = any(is_living(other) for other in kin(row))
        st.fragment(guarded(_branches), run_every=2.0 if lives else None)(run)


def _branches(run: str) -> None:
    if st.session_state.pop(OPENED, False):
        st.rerun()  # another run: the whole page
    row = row_of(run)
    if row is None:
        return
    rows = kin(row)
    key = f"family-tree-lives-{row.family}"
    was, now = st.session_state.get(key), any(is_living(other) for other in rows)
    st.session_state[key] = now
    if was is not None and was != now:
        st.rerun()
    nodes = nodes_of(rows)
    shown = nodes[:MOST]
    spec = family_tree(shown, selection().get("run", ""))
    with theme.card("The family as a tree", spec["alt"], key="family-tree"):
        height = max(150, ROW * (1 + int(max(spec["data"][0]["y"], default=0))) + 24)
        live_chart(spec, key="chart-family-tree", height=height, on_picked=_open)
        parts.table_behind(
            lambda: pd.DataFrame(nodes).drop(columns="by_hand"),
            key="table-family-tree",
            figure=("The family as a tree", spec),
        )
        more = f" The first {MOST} of {len(nodes)} runs." if len(nodes) > MOST else ""
        st.caption(
            f"From left to right, what was done to get from run to run; colour is test accuracy. Click a run to open it.{more}"
        )


def _open() -> None:
    picked = st.session_state["chart-family-tree"].picked
    if picked and picked.get("customdata"):
        select(run=picked["customdata"], epoch=None, site=None, unit=None)
        st.session_state[OPENED] = True


def kin(row: Run) -> list[Run]:
    """The runs of its family, and those elsewhere that they come from, oldest first."""
    rows = {one.id: one for one in store().family(row.family)}
    wanted = [parent_of(one) for one in rows.values()]
    while wanted:
        name = wanted.pop()
        if name and name not in rows:
            try:
                found = store().get(name)
            except BadInput:  # deleted, or of another machine
                continue
            if found.id == name:
                rows[name] = found
                wanted.append(parent_of(found))
    return sorted(rows.values(), key=lambda one: (one.created, one.id))


def parent_of(row: Run) -> str | None:
    """The run that a run was made from: its parent, or the one whose weights it starts from."""
    return row.parent or row.config.get("source") or None


def nodes_of(rows: list[Run]) -> list[dict[str, Any]]:
    """What `family_tree` draws, and the table behind it."""
    by_id = {row.id: row for row in rows}
    nodes = []
    for row in rows:
        parent = by_id.get(parent_of(row) or "")
        result = row.result or {}
        macs = result.get("macs_per_image")
        nodes.append({
            "id": row.id, "name": row.name or row.id, "parent": parent.id if parent else None, "done": done(row, parent), "state": row.state,
            "accuracy": final_accuracy(result["accuracy"]) if result else None, "macs": macs["compact"] / macs["dense"] if macs else None,
            "by_hand": row.role == ROLE,
        })  # fmt: skip
    return nodes


def done(row: Run, parent: Run | None) -> str:
    """What led to a run, in a few words."""
    epochs = sentences.plural(sum(phase["epochs"] for phase in row.config["phases"]), "epoch")
    if row.role == ROLE:
        before = parent.config.get("crossed", {}) if parent else {}
        return f"{counted(without(together(row.config.get('crossed', {})), before))} out, {epochs}"
    if row.role != "method":
        return f"{row.role}, {epochs}"
    strengths = strengths_of(row.config)
    return f"{methods_of(row.config)}{', ' + strength_words(strengths) if strengths and parent else ''}, {epochs}"
