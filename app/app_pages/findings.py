"""What recorded runs show: a table's question and its sentences, its points against their controls, and of NestedNet's every difference."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import gain_charts, theme
from app.app_pages import parts
from app.control_charts import control_chart, controls_frame, height_of
from core.evidence.counting import recorded
from core.evidence.findings import findings
from core.evidence.gains import Gain, gains
from core.evidence.glance import CONTROLS, KEY, OTHERS, Standing, cells, glance
from core.evidence.rendering import conditions
from core.evidence.tables import TABLES
from core.evidence.wanted import METHOD, Table

BARS = "Bars: 95 % interval of the mean of the pairs; a difference whose interval holds zero is called none; hollow: one seed."


def tables_of(network: str, dataset: str) -> list[Table]:
    """The tables that have rows of a method on that network and data set."""
    return [
        table for table in TABLES.values()
        if any((w.config.network, w.config.dataset) == (network, dataset) for w in table.wanted if w.role == METHOD) and _rows(table.name)
    ]  # fmt: skip


@st.cache_data(ttl=60, show_spinner=False)
def _rows(name: str) -> int:
    return len(recorded(TABLES[name]))


def what_they_show(tables: Sequence[Table]) -> None:
    """For each table its points against their controls as a figure, and a card of sentences."""
    for table in tables:
        rows = [row for row in _standings() if row.table == table.title]
        if rows:
            _against_controls(table, rows)
        with theme.card(table.title, table.asks, key=f"findings-{table.name}"):
            _sentences(table.name)


def _against_controls(table: Table, rows: Sequence[Standing]) -> None:
    about = f"{table.title}. {_told(table.name)[2]}"
    parts.chart(
        "Against its controls", control_chart(rows), controls_frame(rows), key=f"controls-{table.name}", height=height_of(rows),
        note=f"{table.title}. {BARS}", conditions=lambda: about,
    )  # fmt: skip


def all_at_a_glance() -> None:
    """Every recorded point of all networks and data sets against its controls, folded away."""
    with st.expander("All recorded points against their controls", icon=":material/table_view:"):
        frame = pd.DataFrame(cells(_standings()))
        widths = {"table": 230, "point": 108, "n": 36, "left": 122, OTHERS: 180} | dict.fromkeys(CONTROLS, 104)
        st.dataframe(
            frame, hide_index=True, height="content", key="glance",
            column_config={name: st.column_config.TextColumn(width=widths[name]) for name in frame},
        )  # fmt: skip
        st.caption(KEY)


@st.cache_data(ttl=60, show_spinner=False)
def _standings() -> list[Standing]:
    return glance()


def what_nesting_gains() -> None:
    """The tables of NestedNet: which levels gain from being trained together, ours beside the paper's."""
    known = {name: table for name, table in TABLES.items() if name.startswith("nested-") and _rows(name)}
    if not known:
        return
    st.subheader("Recorded: levels beside networks of their own", anchor=False)
    name = st.segmented_control(
        "Table", list(known), default=next(iter(known)), format_func=lambda n: SHORT.get(n, n), key="nested-table", required=True,
        bind="query-params", label_visibility="collapsed",
    ) or next(iter(known))  # fmt: skip
    table = known[name]
    found, _, said_of = _told(name)
    if found:
        frame = pd.DataFrame([
            {
                "what": one.label, "against": one.against, "points gained": 100 * one.ours[0], "standard deviation": None if one.ours[1] is None else 100 * one.ours[1],
                "pairs": one.ours[2], "the paper's points": None if one.paper is None else 100 * one.paper, "the paper": one.cited,
            }
            for one in found
        ])  # fmt: skip
        parts.chart(
            table.asks, gain_charts.gain_chart(found), frame, key=f"gains-{name}", height=gain_charts.height_of(found),
            note=f"{table.title}. {BARS}", conditions=lambda: f"{table.title}. {said_of}",
        )  # fmt: skip
    with theme.card("What it shows", "Seeds are paired; a difference whose 95 % interval (paired t) holds zero is called none.", key="gains-words"):  # fmt: skip
        _sentences(name)


SHORT = {
    "nested-weights": "Masks on weights", "nested-channels": "Channels", "nested-four-levels": "Four levels", "nested-hierarchy": "Class hierarchy",
}  # fmt: skip


@st.cache_data(ttl=60, show_spinner=False)
def _told(name: str) -> tuple[list[Gain], list[str], str]:
    """Differences, sentences and conditions of a table: its rows are files, read once a minute and not at every look."""
    table = TABLES[name]
    return gains(table), findings(table), conditions(table, recorded(table))


def _sentences(name: str) -> None:
    _, sentences, said_of = _told(name)
    st.markdown("\n".join(f"- {sentence}" for sentence in sentences))
    st.caption(said_of)
