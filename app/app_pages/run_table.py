"""Runs: every run in one table; compare, tag, rename, delete with undo, continue, read the log; one file out and in."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import pandas as pd
import streamlit as st
from streamlit.typing import UploadedFile

from app import run_charts, sentences, theme
from app.app_pages import parts
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row
from app.run_rows import differing, labels_of, results_of, table_of, tail
from app.runs import store, view_of
from app.selection import select, selection
from app.talk.conditions import run_line
from core.errors import BadInput, DamagedFile, WrongMoment
from core.runs import overview
from core.runs.bundle import pack, unpack
from core.runs.control import resume_in_background
from core.runs.folder import RunFolder
from core.runs.tables import LIVING, Run

PAGE = 25
UPLOAD_MIB = 200
UNDO = "runs-deleted"


def page() -> None:
    """The table, what is chosen in it, and the way in for a run from elsewhere."""
    plotly_loader()
    st.subheader("Runs", anchor=False)
    parts.said()
    store().mark_lost()
    known = overview.choices(store())
    if not known.states:
        parts.invitation("No run yet: every run you start or import is listed here.")
    else:
        chosen = _table(known)
        _undo()
        if len(chosen) == 1:
            _one(chosen[0])
        elif chosen:
            _compare(chosen)
    _import()
    glossary_row("accuracy", "MAC", "survival", "epoch", "seed")


def _table(known: overview.Choices) -> list[Run]:
    """The filters and a page of the table; the runs chosen in it."""
    total = sum(known.states.values())
    counts = sentences.listing([f"{count:,} {state}" for state, count in known.states.items()], 8)
    with theme.card(f"{sentences.plural(total, 'run')}", f"{counts}. Choose rows: one to see and change it, several to compare them.", key="runs-table"):  # fmt: skip
        wanted, order = _filters(known)
        number = int(st.session_state.get("runs-page") or 1)
        rows, found = overview.page(store(), wanted, order, PAGE, (number - 1) * PAGE)
        if not rows and found:  # a filter left fewer pages
            rows, found = overview.page(store(), wanted, order, PAGE)
        if not rows:
            st.caption("No run is like that. Take a filter away to see more.")
            return []
        table = table_of(rows, store().root)
        picked = _frame(table)
        if found > PAGE:
            left, right = st.columns([3, 2], vertical_alignment="center")
            with left:
                st.pagination(-(-found // PAGE), key="runs-page", bind="query-params")
            right.caption(f"{PAGE} a page, {found:,} in all; a click on a column sorts this page.")
        chosen = [rows[i] for i in picked if i < len(rows)]
        _actions(chosen)
    return chosen


def _filters(known: overview.Choices) -> tuple[overview.Filter, overview.Order]:
    one, two, three, four, five = st.columns([3, 2, 2, 2, 2])
    words = one.text_input("Find", key="runs-words", bind="query-params", placeholder="name, preset, tag …", label_visibility="collapsed", icon=":material/search:")  # fmt: skip
    lists = []
    for column, name, options in ((two, "State", list(known.states)), (three, "Data set", known.datasets), (four, "Network or tag", [*known.networks, *(f"#{t}" for t in known.tags)])):  # fmt: skip
        lists.append(column.multiselect(name, options, key=f"runs-{name.split()[0].lower()}", placeholder=name, label_visibility="collapsed", bind="query-params"))  # fmt: skip
    order = five.selectbox("Order", get_args(overview.Order), key="runs-order", label_visibility="collapsed", bind="query-params", format_func=lambda o: f"by {o}" if o in ("accuracy", "MACs left") else f"{o} first")  # fmt: skip
    states, datasets, either = lists
    networks = tuple(name for name in either if name in known.networks)
    tags = tuple(name.removeprefix("#") for name in either if name not in known.networks)
    return overview.Filter(tuple(states), tuple(datasets), networks, tags, words or ""), order


def _frame(table: pd.DataFrame) -> list[int]:
    """The table itself; numbers of the chosen rows. Another set of rows is another table: a choice never slips to another run."""
    rows = hashlib.sha256("".join(table["id"]).encode()).hexdigest()[:8]
    share = partial(st.column_config.ProgressColumn, min_value=0, max_value=1, format="percent", width="small")
    told = st.dataframe(
        table, hide_index=True, placeholder="—", key=f"runs-{rows}", on_select="rerun", selection_mode="multi-row", height=38 + 35 * min(12, len(table)),
        column_order=[c for c in table.columns if c not in ("id", "seed") and (c != "tags" or table["tags"].map(len).any())],
        column_config={
            "run": st.column_config.TextColumn(width="medium"),
            "validation": st.column_config.LineChartColumn("validation", y_min=0, y_max=1, width="small", help="validation accuracy after each epoch, 0 to 100 %"),
            "accuracy": st.column_config.NumberColumn("test", format="percent", help="test accuracy of the network the run ends with; one seed each"),
            "MACs left": share(help="compact over dense, per image"), "alive": share(help="share of filters and neurons that live at the end"),
            "created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"), "tags": st.column_config.ListColumn(),
        },
    )  # fmt: skip
    return list(told.selection.rows)


# what can be done with the chosen


def _actions(chosen: list[Run]) -> None:
    """Open, tag, rename, continue, delete: each where it applies."""
    if not chosen:
        st.caption("Nothing is chosen yet.")
        return
    names = [row.id for row in chosen]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if len(chosen) == 1:
            st.button("Open", key="runs-open", icon=":material/open_in_new:", type="primary", on_click=_open, args=(names[0],))  # fmt: skip
        with st.popover("Tag", icon=":material/sell:"):
            _tag(chosen)
        if len(chosen) == 1:
            with st.popover("Rename", icon=":material/edit:"):
                st.text_input("Name", value=chosen[0].name, key=f"runs-name-{names[0]}", max_chars=80, on_change=_rename, args=(names[0],))  # fmt: skip
        ended = [row.id for row in chosen if row.state in ("lost", "stopped", "failed")]
        if ended:
            st.button(f"Continue{_several(ended, chosen)}", key="runs-continue", icon=":material/play_arrow:", on_click=_each, args=(ended, _continue), help="From the last checkpoint, in the background.")  # fmt: skip
        over = [row.id for row in chosen if row.state not in LIVING]
        st.button(f"Delete{_several(over, chosen)}", key="runs-delete", icon=":material/delete:", on_click=_delete, args=(over,), disabled=not over, help="Can be undone; the files stay. One that trains is stopped first.")  # fmt: skip
    if st.session_state.pop("runs-go", None):
        st.switch_page(st.session_state["pages"]["live"])


def _several(some: Sequence[str], chosen: Sequence[Run]) -> str:
    return "" if len(some) == len(chosen) == 1 else f" {len(some)}" if len(some) == len(chosen) else f" {len(some)} of {len(chosen)}"  # fmt: skip


def _open(run: str) -> None:
    select(run=run, epoch=None, site=None, unit=None)
    st.session_state["runs-go"] = True


def _tag(chosen: list[Run]) -> None:
    """Tags that all of the chosen have; a change is added to, or taken from, each of them."""
    names, common = [row.id for row in chosen], set.intersection(*(set(row.tags or ()) for row in chosen))
    known = sorted({*overview.choices(store()).tags, *common})
    key = "runs-tags-" + hashlib.sha256(json.dumps([names, sorted(common)]).encode()).hexdigest()[:8]
    st.multiselect(
        f"Tags of {sentences.plural(len(chosen), 'run')}", known, sorted(common), key=key, accept_new_options=True, on_change=_set_tags,
        args=(names, common, key), placeholder="Choose, or type a new one",
    )  # fmt: skip


def _set_tags(names: list[str], before: set[str], key: str) -> None:
    now = set(st.session_state[key])

    def change(run: str) -> None:
        own = set(store().get(run).tags or ())
        store().tag(run, (own - (before - now)) | now)

    _each(names, change)


def _rename(run: str) -> None:
    store().rename(run, st.session_state[f"runs-name-{run}"])


def _continue(run: str) -> None:
    if not view_of(run).can_continue():
        raise WrongMoment(f"run {run} must be one that trained here; it came as an export, whose weights can be asked and cut, not trained on")  # fmt: skip
    resume_in_background(store(), run)


def _delete(names: list[str]) -> None:
    done: list[str] = []

    def hide(run: str) -> None:
        store().set_deleted(run, True)
        done.append(run)

    _each(names, hide)
    st.session_state[UNDO] = done
    if selection().get("run") in done:
        select(run=None, epoch=None, site=None, unit=None)


def _each(names: Sequence[str], act: Callable[[str], None]) -> None:
    """Do it to each; what one refuses is said, and the others go on."""
    refused = []
    for name in names:
        try:
            act(name)
        except (BadInput, WrongMoment, DamagedFile) as error:
            refused.append(str(error))
    if refused:
        st.session_state["said"] = sentences.listing(refused)


def _undo() -> None:
    names = st.session_state.get(UNDO)
    if names and st.button(f"Undo deleting {sentences.plural(len(names), 'run')}", key="runs-undo", icon=":material/undo:"):  # fmt: skip
        for name in names:
            store().set_deleted(name, False)
        st.session_state.pop(UNDO)
        st.rerun()


# one run, several runs


def _one(row: Run) -> None:
    """A run's error, its log, and the run as one file."""
    folder = RunFolder(store().root / row.id)
    left, right = st.columns([3, 2])
    with left, theme.card(row.name or row.id, f"{row.id} {parts.STATES[row.state]}. {parts.about(row.config)}", key="runs-one"):  # fmt: skip
        if row.error and row.state in ("failed", "lost"):
            st.error(f"{row.error[0].upper()}{row.error[1:]}", icon=":material/error:")
        log = tail(folder.path / "worker.log")
        with st.expander("Log", icon=":material/article:", expanded=row.state == "failed" and bool(log)):
            if log:
                st.code(log, language=None, height=260)
            else:
                st.caption("It printed nothing; a run in the foreground prints to its terminal.")
    with right, theme.card("One file", "Records, newest weights, compact network and certificate, to take to another machine.", key="runs-export"):  # fmt: skip
        st.download_button("Export (.zip)", partial(_packed, folder), file_name=f"{row.id}.zip", mime="application/zip", key="runs-get", icon=":material/folder_zip:", width="stretch")  # fmt: skip
        st.caption("By command:")
        st.code(f"python -m core export {row.id} -o {row.id}.zip\npython -m core import {row.id}.zip", language="bash")


def _packed(folder: RunFolder) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "run.zip"
        pack(folder, target)
        return target.read_bytes()


def _compare(chosen: list[Run]) -> None:
    """Settings that differ, results, and curves, side by side."""
    labels = labels_of(chosen)
    tables = {label: _curve(row.id) for row, label in zip(chosen, labels, strict=True)}
    if any(len(table) for table in tables.values()):
        spec = run_charts.curves(tables)
        whole = pd.concat([table.assign(run=label) for label, table in tables.items()])
        parts.chart("Beside each other", spec, whole.round(4), key="runs-curves", height=420, conditions=lambda: "\n".join(run_line(view_of(row.id)) for row in chosen))  # fmt: skip
    differ = differing(chosen, labels)
    left, right = st.columns(2)
    said = f"{sentences.plural(len(differ), 'setting')} differ{'s' if len(differ) == 1 else ''}." if len(differ) else "They have the same settings."  # fmt: skip
    with left, theme.card("Settings that differ", said, key="runs-settings"):
        if len(differ):
            st.dataframe(differ, key="runs-differ", height=min(420, 38 + 35 * len(differ)))
    with right, theme.card("What each ended with", "One seed each: a difference of a few tenths of a point may be chance.", key="runs-results"):  # fmt: skip
        st.dataframe(results_of(chosen, labels), key="runs-ended")


def _curve(run: str) -> pd.DataFrame:
    view = view_of(run)
    table = view.table()
    dense = view.layout.get("macs") or 1
    return table[["epoch", "val_accuracy"]].assign(macs_left=table["macs"] / dense)


# from elsewhere


def _import() -> None:
    with theme.card("Bring a run from elsewhere", "One file, as Export writes it. It is checked first, and nothing in it is run; a run of that name here stays as it is.", key="runs-import"):  # fmt: skip
        file = st.file_uploader("An exported run", type=["zip"], key="runs-upload", max_upload_size=UPLOAD_MIB, label_visibility="collapsed")  # fmt: skip
        if (
            file is not None and st.session_state.get("runs-taken") != file.file_id
        ):  # once, whichever rerun sees it first
            st.session_state["runs-taken"] = file.file_id
            _take_in(file)
            st.rerun()
        if name := st.session_state.get("runs-imported"):
            st.success(f"Taken in as {name}.", icon=":material/check_circle:")
        if refused := st.session_state.get("runs-refused"):
            st.error(f"Refused: {refused}", icon=":material/block:")
        st.caption(f"At most {UPLOAD_MIB} MiB here; `python -m core import FILE.zip` takes more.")


def _take_in(file: UploadedFile) -> None:
    for key in ("runs-imported", "runs-refused"):
        st.session_state.pop(key, None)
    try:
        name = unpack(store(), file, file.name)
    except (BadInput, DamagedFile) as error:
        st.session_state["runs-refused"] = str(error)
        return
    st.session_state["runs-imported"] = name
    select(run=name, epoch=None, site=None, unit=None)
