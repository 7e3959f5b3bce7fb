"""SSL's headline, on the Speed page: zeros alone do not speed a network up; recorded, the paper's, and measured here."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from app import headline_charts as charts
from app import jobs, sentences, theme
from app.app_pages import parts
from app.components.live_chart import live_chart
from app.guard import guarded
from core import table4

TIMED = {
    "product": "product alone",
    "convolution-1": "layer, 1 image",
    "convolution-128": "128 images",
}
PAIRS = {f"{pair[0]}-{pair[1]}": pair for pair in table4.PAIRS}
EQUAL = {name: f"{table4.ROWS[ssl].error:.1f} %" for name, (_, ssl) in PAIRS.items()}
ABOUT = (
    "CaffeNet (AlexNet) at the sparsities that Wen et al. published: single zeros stored as CSR, beside rows and columns removed. "
    "Speed asks for no training: positions are drawn, weights are random."
)
JOB = "headline"
TITLE = "Zeros alone do not speed anything up"


def headline() -> None:
    """The card; while a measurement runs it looks every second."""
    st.fragment(_card, run_every=1.0 if jobs.begun(JOB) else None)()


@guarded
def _card() -> None:
    recorded, here = table4.recorded(), st.session_state.get("headline-here", {"rows": {}})
    with theme.card(TITLE, key="headline"):
        left, right = st.columns([4, 1], gap="medium", vertical_alignment="center")
        left.html(f'<p class="takeaway">{ABOUT}</p>')
        with st.container(horizontal=True, gap="medium"):
            timed = _choice("What is timed", TIMED, "timed")
            pair = _choice("At equal top-1 error", EQUAL, "error")
            layer = _choice("At equal sparsity", {name: name for name in table4.LAYERS}, "layer", 1)
        with right:
            _button(timed, layer)
        left, right = st.columns(2, gap="medium")
        with left:
            tables = [_both(document, timed, PAIRS[pair]) for document in (recorded, here)]
            _figure("error", charts.equal_error(tables[0], tables[1]), tables, _told(recorded, here, timed))
        with right:
            tables = [charts.table_of(document, protocol="sweep", layer=layer) for document in (recorded, here)]
            _figure(
                "sparsity", charts.equal_sparsity(tables[0], tables[1], layer), tables, _told(recorded, here, timed)
            )
        for line in _told(recorded, here, timed):
            st.caption(line)


def _told(recorded: dict[str, Any], here: dict[str, Any], timed: str) -> list[str]:
    """Under what the numbers were taken, and whose the diamonds are."""
    lines = [_conditions("Bars and lines, recorded", recorded, timed)]
    lines += [_conditions("Dots, this machine", here, timed)] if here["rows"] else []
    return [
        *lines,
        f"Hollow diamonds: {table4.SOURCE} ({table4.NAME}), its processor, the product alone; baseline error {table4.BASELINE_ERROR} %.",
    ]


def _choice(label: str, options: Mapping[str, str], key: str, first: int = 0) -> str:
    """One of a few, by its words."""
    known = list(options)
    shown = st.segmented_control(
        label,
        known,
        default=known[first],
        format_func=lambda o: options[o],
        key=key,
        required=True,
        bind="query-params",
    )
    return known[first] if shown is None else shown


def _both(document: dict[str, Any], timed: str, pair: tuple[int, int]) -> pd.DataFrame:
    """The l1 row and the SSL row of a pair."""
    return pd.concat([charts.table_of(document, protocol=timed, row=row) for row in pair])


def _figure(name: str, spec: dict[str, Any], tables: list[pd.DataFrame], told: list[str]) -> None:
    """A figure with its sentence above, its table and files behind."""
    st.html(f'<p class="takeaway" style="margin-top: 4px">{html.escape(spec["alt"])}</p>')
    live_chart(spec, key=f"chart-headline-{name}", height=330)
    parts.table_behind(
        lambda: _one_below_the_other(tables), key=f"table-headline-{name}", figure=(f"{TITLE}: at equal {name}", spec), conditions=lambda: "\n".join(told)
    )  # fmt: skip


def _one_below_the_other(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """What is recorded and what was measured here, one below the other."""
    where = zip(("recorded", "this machine"), tables, strict=True)
    whole = pd.concat([table.assign(measured_on=place) for place, table in where], ignore_index=True)
    return whole.dropna(axis=1, how="all").round(3)


def _conditions(what: str, document: dict[str, Any], timed: str) -> str:
    """Under what the numbers were taken."""
    rows = table4.chosen(document, protocol=timed)
    if not rows:
        return f"{what}: not measured yet."
    one = rows[0]
    spread = "medians, whiskers and bands are quartiles"
    return (
        f"{what}: {document['cpu']}, {sentences.plural(one['threads'], 'thread')} (at equal sparsity 1), {one['precision']}, "
        f"{sentences.plural(one['batch'], 'image')}, n = {one['n']} pairs, {spread}, torch {document['versions']['torch']}, "
        f"subnormals flushed,{' memory kept,' if document.get('memory_kept') else ''} {document['date'][:10]}."
    )


def _button(timed: str, layer: str) -> None:
    """Starts a measurement in a process of its own, says how far it is, takes its answer."""
    if (said := jobs.at_work(JOB)) is not None:
        st.button(
            f"Measuring {said.partition(':')[0]}".strip(),
            key="measure-headline",
            icon=":material/timer:",
            disabled=True,
        )
        return
    if jobs.begun(JOB):
        if (document := jobs.take(JOB)) is not None:
            _take(document)
        st.rerun()  # the whole page: it need not look every second any more
    if failed := jobs.failure(JOB):
        st.error(failed, icon=":material/error:")
    about = "Times all five layers so, and the chosen layer at equal sparsity: half a minute; some ten minutes for 128 images."
    if st.button("Measure here", key="measure-headline", icon=":material/timer:", type="primary", help=about):
        jobs.start(JOB, "headline", "--protocol", timed, "--sweep", layer)
        st.rerun()


def _take(document: dict[str, Any]) -> None:
    """Adds what was measured to what this session measured before."""
    before = st.session_state.get("headline-here", {"rows": {}})
    st.session_state["headline-here"] = document | {"rows": before["rows"] | document["rows"]}
