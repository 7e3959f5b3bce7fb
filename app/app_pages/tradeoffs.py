"""Trade-offs: what runs, levels, controls, recorded evidence and the papers keep, against what it costs; brushed to a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import jobs, sentences, theme, tradeoff_charts, tradeoff_points
from app.app_pages import parts
from app.app_pages.files import made_by
from app.app_pages.findings import all_at_a_glance, tables_of, what_they_show
from app.components.live_chart import live_chart, plotly_loader
from app.glossary import glossary_row
from app.runs import store, view_of
from app.selection import select, selected_number, selection
from app.talk.story import of_tradeoff
from core.networks.names import shown
from core.papers import CITATIONS, caveats, points_beside

AT_MOST = 500
SOURCES = {"ours": "My runs", "recorded": "Recorded evidence", "paper": "The papers' points"}
SHORT = {"ours": "my runs", "recorded": "recorded", "paper": "paper"}
COSTS = {"macs": "MACs", "params": "Parameters", "speed": "Measured speed"}
SCALES = {"auto": "Auto", "linear": "Linear", "log": "Log"}
CHART, POINT, BRUSHED, BRUSH = "chart-tradeoff", "tradeoff-point", "tradeoff-brushed", "brush"
SVG = "tradeoff-svg"
COLUMNS = {
    "label": "point", "source": "from", "role": "role", "n": "n", "accuracy": "test accuracy", "macs": "MACs left", "params": "params left",
    "times": "times as fast", "ms": "ms a batch", "epochs": "epochs", "tried": "tried", "seconds": "seconds a run", "certificate": "removal",
}  # fmt: skip


def page() -> None:
    """Choose what is shown and what it is set against; a figure, and the table of its points."""
    plotly_loader(key="plotly-loader-tradeoffs")
    own, recorded = tradeoff_points.own_points(store().recent(AT_MOST)[0]), _recorded()
    if own.empty:
        parts.invitation(
            "No run yet: every finished one stands here with what it removed and what that cost. Until then, recorded ones."
        )
    st.subheader("Trade-offs", anchor=False)
    with st.container(horizontal=True, gap="medium"):
        table = _chosen(own, recorded)
        cost, scale = _one("Cost", COSTS, "cost"), _one("Scale", SCALES, "scale")
    _figure(table, cost, scale)
    if "recorded" in set(table["source"]):
        first = table.iloc[0]
        what_they_show(tables_of(first["network"], first["dataset"]))
        all_at_a_glance()
    if "paper" in set(table["source"]):
        _papers_card(table)
    glossary_row(
        "MAC",
        "dense control",
        "same shape from scratch",
        "random mask",
        "standard deviation",
        "seed",
        "compact",
        "certificate",
        "measured speed",
        "quartile",
    )


@st.cache_data(ttl=60, show_spinner=False)
def _recorded() -> pd.DataFrame:
    return tradeoff_points.evidence_points()


def _chosen(own: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """The points of the data set, network and sources that a person chose."""
    both = pd.concat([frame for frame in (own, recorded) if len(frame)])
    chosen = chosen_config()
    dataset = _one("Data set", {name: name for name in dict.fromkeys(both["dataset"])}, "set", chosen.get("dataset"))
    both = both[both["dataset"] == dataset]
    network = _one(
        "Network", {name: shown(name) for name in dict.fromkeys(both["network"])}, "net", chosen.get("network")
    )
    both = both[both["network"] == network]
    every = pd.concat([both, tradeoff_points.paper_points(network, dataset)])
    known = [name for name in SOURCES if name in set(every["source"])]
    usual = [name for name in known if name != "recorded" or "ours" not in known]
    asked = st.segmented_control(
        "Points", known, selection_mode="multi", default=usual, format_func=SOURCES.__getitem__, key="points", bind="query-params"
    )  # fmt: skip
    return every[every["source"].isin(asked or usual)].reset_index(drop=True)


def chosen_config() -> dict[str, Any]:
    """The settings of the run that is selected; empty where there is none."""
    run = selection().get("run")
    return view_of(run).started.get("config", {}) if run else {}


def _one(label: str, options: dict[str, str], key: str, usual: str | None = None) -> str:
    """One of a few, kept in the address; `usual` at first, where it is among them."""
    known = sorted(options, key=lambda name: name != usual)
    got = st.segmented_control(
        label,
        list(options),
        default=known[0],
        format_func=options.__getitem__,
        key=key,
        required=True,
        bind="query-params",
    )
    return got if got in known else known[0]


def _figure(table: pd.DataFrame, cost: str, scale: str) -> None:
    """The figure, what was clicked, and the table of all points or of the brushed ones."""
    table = tradeoff_points.of_one_count(table) if cost == "macs" else table
    place = tradeoff_points.one_place(table)
    axis = cost if cost != "speed" else "ms" if place else "times"
    log = scale == "log" or (scale == "auto" and tradeoff_points.crowded(table, axis))
    with theme.card(f"Test accuracy against {COSTS[cost].lower() if cost != 'macs' else 'MACs'}", "", key="tradeoff"):
        words = st.container()
        with st.container(horizontal=True):
            with_frontier = st.toggle("Frontier", value=True, key="frontier", bind="query-params")
            fade = st.toggle("Fade the points it beats", key="fade", bind="query-params", disabled=not with_frontier)
        envelope = tradeoff_points.frontier(table, axis) if with_frontier and axis in table else []
        picked, brushed = _picked(table), _brush()
        spec = tradeoff_charts.tradeoff(
            table, axis, log=log, envelope=envelope, fade=fade and with_frontier, picked=picked
        )
        with words:
            theme.takeaway(spec["alt"])
        live_chart(
            spec, key=CHART, height=tradeoff_charts.height_of(spec), chosen=brushed or [], on_picked=lambda: _clicked(table), on_selected=_brushed
        )  # fmt: skip
        st.caption(_conditions(table, axis, place))
        _files(table, axis, place, log)
        _about(table, picked)
    _table(table, axis, brushed)


def _files(table: pd.DataFrame, axis: str, place: tuple[Any, ...] | None, log: bool) -> None:
    """The figure for a slide at a click, saved at a second; the others behind a button."""
    if axis not in table or table.dropna(subset=[axis, "accuracy"]).empty:
        return
    slide = partial(of_tradeoff, table, axis, place, log=log)
    waiting = 1.0 if jobs.begun(SVG) else None
    st.fragment(made_by, run_every=waiting)(SVG, "SVG for a slide", lambda: [slide()], f"trade-off-{axis}.svg")
    parts.table_behind(
        lambda: table.drop(columns=["where", "runs"], errors="ignore").dropna(axis=1, how="all"),
        key="tradeoff-files",
        slide=slide,
    )


def _picked(table: pd.DataFrame) -> str | None:
    """The key of the point that was clicked last, or of the selected run."""
    kept = st.session_state.get(POINT)
    if kept in set(table["key"]):
        return str(kept)
    run, level = selection().get("run"), selected_number("level")
    here = [row for row in table.to_dict("records") if isinstance(row.get("runs"), list) and run in row["runs"]]
    return next(
        (row["key"] for row in here if level is not None and row["level"] == level), here[-1]["key"] if here else None
    )


def _clicked(table: pd.DataFrame) -> None:
    """A click on a point selects it, and the run that it is of, on every page."""
    event = st.session_state[CHART].picked
    if event and event.get("customdata"):
        _select(table, str(event["customdata"][0]))


def _select(table: pd.DataFrame, key: str) -> None:
    st.session_state[POINT] = key
    for row in table[table["key"] == key].to_dict("records"):
        if isinstance(row.get("runs"), list):
            level = row["level"] if row["level"] == row["level"] and row["level"] is not None else None
            select(run=row["runs"][0], level=None if level is None else int(level), epoch=None, site=None, unit=None)


def _brush() -> list[str] | None:
    """The keys of the brushed points, in the address and, when a page change has cleared that, in the session; None: all."""
    if BRUSH in st.query_params:
        st.session_state[BRUSHED] = st.query_params.get_all(BRUSH)
    elif st.session_state.get(BRUSHED):
        st.query_params[BRUSH] = st.session_state[BRUSHED]
    return st.session_state.get(BRUSHED)


def _brushed() -> None:
    """What was brushed fills the table; an empty brush shows all again."""
    _set_brush(list(st.session_state[CHART].selected or []))


def _set_brush(keys: list[str]) -> None:
    st.session_state[BRUSHED] = keys or None
    if keys:
        st.query_params[BRUSH] = keys
    else:
        st.query_params.pop(BRUSH, None)


def _conditions(table: pd.DataFrame, axis: str, place: tuple[Any, ...] | None) -> str:
    """What bars, lines and the frontier are, and under what times were taken."""
    words = [
        "Bars: the range over seeds of one's own runs, ± one standard deviation of recorded ones; a point without bars is one run."
    ]
    if axis == "ms" and place:
        cpu, device, threads, batch, precision = place
        words = [
            f"Median milliseconds of the compact network for a batch of {batch}: {cpu}, {device}, {sentences.plural(threads, 'thread')}, {precision}. "
            "Bars: of one run the quartiles of its interleaved pairs, of several seeds their range."
        ]
    elif axis == "times":
        words = [
            "The points were not all timed on the same processor, with the same threads and batch, so what is shown is how many times as fast as its own dense network "
            "each is. Bars: of one run the quartiles of its pairs, of several seeds their range, of recorded ones ± one standard deviation."
        ]
    words.append(
        "Thin lines: strengths of one family, or levels of one network, core first; points of different methods are never joined."
    )
    if axis == "macs" and "counted" in table and (table["counted"] == "conv_macs").any():
        mixed = ((table["source"] == "ours") & (table["counted"] != "conv_macs")).any()
        of_before = (
            "; some runs of one's own kept those of all layers alone, so the others stand here, not on the frontier"
        )
        words.append(f"MACs are those of convolutions, as the paper counts them{of_before if mixed else ''}.")
    missing = int(table[axis].isna().sum()) if axis in table else len(table)
    if missing:
        words.append(
            f"{sentences.plural(missing, 'point')} without this number {'is' if missing == 1 else 'are'} left out."
        )
    conv = table["counted"] == "conv_macs" if "counted" in table else False
    if not (table["comparable"].astype(bool) | conv).all():
        words.append("Levels of other classes answer another question: they stand here, not on the frontier.")
    return " ".join(words)


def _about(table: pd.DataFrame, picked: str | None) -> None:
    """The selected point in a line, and the ways on."""
    row = next((row for row in table.to_dict("records") if row["key"] == picked), None)
    if row is None:
        st.caption("Click a point to select its run; drag over several to see only these in the table.")
        return
    if row["source"] == "paper":
        st.caption(f"{row['label']}: {row['citation']}")
        return
    told = f"{row['label']}: test accuracy {sentences.percent(row['accuracy'], 2)}, n = {int(row['n'])}, {int(row['epochs'])} epochs a run"
    told += (
        f", {parts.clock(row['seconds'])} of training a run."
        if row["seconds"] == row["seconds"] and row["seconds"]
        else "."
    )
    if row["source"] == "recorded":
        st.caption(
            f"{told} Recorded; `python -m core evidence {row['key'].partition('/')[0]}` tells how complete its table is and runs what is missing."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(told, width="content")
        for name, icon in (
            ("structure", ":material/park:"),
            *((("levels", ":material/layers:"),) if "/" in row["key"] else ()),
        ):
            if st.button(f"Open on {name.capitalize()}", key=f"open-{name}", icon=icon, type="tertiary"):
                _select(table, row["key"])
                st.switch_page(st.session_state["pages"][name])


def _table(table: pd.DataFrame, axis: str, brushed: Sequence[str] | None) -> None:
    """What each point cost; of the brushed points alone where there are any."""
    here = table[table["key"].isin(brushed)] if brushed else table
    few = bool(brushed) and len(here) > 0
    here = here if few else table
    here = (here.sort_values(axis, ascending=axis != "times") if axis in here else here).reset_index(drop=True)
    said = "Epochs of all phases, settings tried in the family, sweep or search, and seconds of training."
    counted = (
        f"{len(here)} of {sentences.plural(len(table), 'point')}, brushed in the figure. "
        if few
        else f"{sentences.plural(len(table), 'point')}. "
    )
    with theme.card("What each point cost", counted + said, key="costs"):
        if few:
            st.button(
                "Show all",
                key="show-all",
                icon=":material/select_all:",
                type="tertiary",
                on_click=_set_brush,
                args=([],),
            )
        columns = [
            name
            for name in COLUMNS
            if name in here and here[name].notna().any() and (name != "source" or table["source"].nunique() > 1)
        ]
        st.dataframe(
            here[columns].rename(columns=COLUMNS).replace({"from": SHORT}), hide_index=True, key="tradeoff-costs",
            on_select=lambda: _chose_row(table, list(here["key"])), selection_mode="single-row", placeholder="—",
            column_config={
                "test accuracy": st.column_config.NumberColumn(format="percent"), "MACs left": st.column_config.NumberColumn(format="percent"),
                "params left": st.column_config.NumberColumn(format="percent"), "times as fast": st.column_config.NumberColumn(format="%.2f ×"),
                "ms a batch": st.column_config.NumberColumn(format="%.3g"), "seconds a run": st.column_config.NumberColumn(format="%.0f"),
                "role": st.column_config.TextColumn(width=110), "n": st.column_config.NumberColumn(help="seeds"), "tried": st.column_config.NumberColumn(help="settings of the method in its family, sweep or search"),
            },
        )  # fmt: skip
        st.caption(
            "A claim for a method needs its controls beside it: the dense network trained equally long, and the cut shape trained from scratch."
        )


def _chose_row(table: pd.DataFrame, keys: list[str]) -> None:
    rows = st.session_state["tradeoff-costs"].selection.rows
    if rows and rows[0] < len(keys):
        _select(table, keys[rows[0]])


def _papers_card(table: pd.DataFrame) -> None:
    """The papers' points as a table, where each is from, and what is unknown about them."""
    first = table.iloc[0]
    points = points_beside(first["network"], first["dataset"])
    with theme.card("The papers' points", "As printed, or as others quote them; hollow diamonds above.", key="papers"):
        st.dataframe(
            pd.DataFrame([
                {
                    "point": p.point, "method": p.method, "test accuracy": 1 - p.error / 100, "left": p.macs_left, "of": p.counted, "where": p.place,
                    "certainty": p.certainty, "note": p.note,
                }
                for p in points
            ]),
            hide_index=True, key="tradeoff-papers-table",
            column_config={name: st.column_config.NumberColumn(format="percent") for name in ("test accuracy", "left")},
        )  # fmt: skip
        for line in [*dict.fromkeys(CITATIONS[point.paper] for point in points), *caveats(points)]:
            st.caption(line)
        st.caption("In the papers' own tables the training lengths differ.")
