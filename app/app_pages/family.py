"""The family of a run: its seeds, controls and strengths beside each other, and the search that they belong to."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import streamlit as st

from app import family_charts, sentences, theme
from app.app_pages import parts
from app.components.live_chart import live_chart
from app.guard import guarded
from app.runs import final_accuracy, is_living, row_of, store, strength_words
from app.selection import select
from core.errors import BadInput, WrongMoment
from core.runs import searching
from core.runs.families import strengths_of
from core.runs.tables import Run

TICK_S = 2.0
SHOWN = ("run", "strength", "seed", "role", "state", "test accuracy", "MACs left")


def family(run: str) -> None:
    """The card; nothing for a run that stands alone. While the run lives, the page looks again; after it, as long as its family goes on."""
    row = row_of(run)
    if row is not None:
        looks = _goes_on(row.family) and not is_living(row)
        st.fragment(_family, run_every=TICK_S if looks else None)(row.family)


def search_line(row: Run) -> None:
    """Under the header of a run: the search that it belongs to, in two sentences; nothing for other runs."""
    if searching.is_search(store(), row.family):
        st.caption(searching.words(searching.told(store(), row.family)))


def _goes_on(name: str) -> bool:
    """Whether anything of the family may still change."""
    led = searching.is_search(store(), name) and searching.told(store(), name)["state"] == "searching"
    return led or any(is_living(row) for row in store().family(name))


@guarded
def _family(name: str) -> None:
    rows, is_search = store().family(name), searching.is_search(store(), name)
    if len(rows) < 2 and not is_search:
        return
    was, now = st.session_state.get(f"family-{name}"), _goes_on(name)
    st.session_state[f"family-{name}"] = now
    if was is not None and was != now:
        st.rerun()  # it ended or goes on again: change the rhythm of looking
    search = searching.told(store(), name) if is_search else None
    table = family_table(rows)
    said = searching.words(search) if search else _counted(rows)
    with theme.card("Search for a strength" if search else "Family", said, key="family"):
        if search:
            _steer(name, search["state"])
        path = path_of(table)
        left, right = st.columns([3, 2]) if len(path) > 1 else (st.container(), None)
        with left:
            key = f"family-table-{name}"
            st.dataframe(
                table, hide_index=True, key=key, placeholder="—", on_select=lambda: _choose(table, key), selection_mode="single-row",
                column_order=[name for name in SHOWN if name != "seed" or table["seed"].nunique() > 1],
                column_config={
                    "test accuracy": st.column_config.NumberColumn("test acc.", help="test accuracy", format="percent"),
                    "MACs left": st.column_config.NumberColumn(format="percent"),
                },
            )  # fmt: skip
            st.caption("Choose a row to open that run. The Trade-offs page shows the family among all others.")
        if right is not None:
            with right:
                spec = family_charts.strength_path(path, (search or {"target": {"macs": None}})["target"]["macs"])
                live_chart(spec, key="chart-family", height=270)
                st.caption(spec["alt"])
                parts.table_behind(
                    path,
                    key="table-family-strengths",
                    figure=("Strength against what is left", spec),
                    conditions=lambda: _told(rows),
                )


def _told(rows: list[Run]) -> str:
    """Of which runs the numbers are."""
    config = rows[0].config
    seeds = sorted({row.seed for row in rows})
    return f"Test accuracy of {config['network']} on {config['dataset']}, one run a point, seeds {sentences.listing([str(seed) for seed in seeds], 6)}."


def family_table(rows: list[Run]) -> pd.DataFrame:
    """One row a run, in the order in which they were made; fractions 0-1, none where there is no result yet."""
    table = []
    for row in rows:
        result, strengths = row.result, strengths_of(row.config) if row.role == "method" else {}
        macs = result["macs_per_image"] if result else {}
        table.append({
            "id": row.id, "run": row.name or row.id, "strength": strength_words(strengths).removeprefix("strength ") if strengths else "", "seed": row.seed,
            "role": row.role, "state": row.state, "value": max(strengths.values(), default=None),
            "test accuracy": final_accuracy(result["accuracy"]) if result else None,
            "MACs left": macs["compact"] / macs["dense"] if result else None,
        })  # fmt: skip
    return pd.DataFrame(table)


def path_of(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of the finished runs of the method, by strength: columns strength, accuracy, macs (0-1), n."""
    done = table[(table["role"] == "method") & table["value"].notna() & table["MACs left"].notna()]
    grouped = done.astype({"value": float, "test accuracy": float, "MACs left": float}).groupby("value")
    means = grouped[["test accuracy", "MACs left"]].mean().assign(n=grouped.size()).reset_index()
    return means.set_axis(["strength", "accuracy", "macs", "n"], axis=1)


def _counted(rows: list[Run]) -> str:
    """`5 runs: 2 are finished, 1 is training, 2 wait for a free slot.`"""
    if len({row.state for row in rows}) == 1:
        told = parts.STATES[rows[0].state].partition(":")[0]
        return f"{sentences.plural(len(rows), 'run')}; each {told}."
    words = []
    for state, count in Counter(row.state for row in rows).items():
        told = parts.STATES[state].partition(":")[0]
        many = told.replace("waits", "wait").replace("is ", "are ").replace("was ", "were ") if count > 1 else told
        words.append(f"{count} {many}")
    return f"{sentences.plural(len(rows), 'run')}: {', '.join(words)}."


def _steer(name: str, state: str) -> None:
    """Stop a search that goes on; go on with one that did not come to its end."""
    if state == "searching":
        st.button(
            "Stop the search", key="stop-search", icon=":material/stop:", on_click=_ask, args=(name, False),
            help="The run that trains now stops after its step; it can be continued.",
        )  # fmt: skip
    elif state != "over":
        st.button(
            "Go on with the search", key="resume-search", icon=":material/play_arrow:", type="primary", on_click=_ask, args=(name, True),
            help="What is finished stays; a run that ended early goes on from its last checkpoint.",
        )  # fmt: skip


def _ask(name: str, on: bool) -> None:
    try:
        (searching.in_background if on else searching.stop)(store(), name)
    except (BadInput, WrongMoment) as error:
        st.session_state["said"] = str(error)


def _choose(table: pd.DataFrame, key: str) -> None:
    rows = st.session_state[key].selection.rows
    if rows:
        select(run=table.iloc[rows[0]]["id"], epoch=None, site=None, unit=None)
