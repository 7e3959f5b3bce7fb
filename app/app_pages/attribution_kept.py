"""Attribution: every filter's importance before any died, against how long it lived; measured by a job."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import attribution_charts as charts
from app import attribution_words as words
from app import jobs, sentences, theme
from app.app_pages import parts
from app.components.live_chart import live_chart
from app.guard import guarded
from app.runs import RunView, control_of, row_of, store, view_of
from app.selection import select, selected_number, selection
from core.runs.attributed import arrays_of, attributed
from core.runs.tables import Run

KINDS = {"filter": "Filters", "group": "Conv groups", "block": "Blocks"}
ABOUT = (
    "Conductance tells how much of the class score flows through a filter. Measured before the first filter died and compared with "
    "how long each then lived, it tells whether the method kept what mattered."
)


def kept(run: str) -> None:
    """The card; while a job measures it looks every second."""
    st.fragment(_card, run_every=1.0 if jobs.begun(_job(run)) else None)(run)


def _job(run: str) -> str:
    return f"attribute {run}"


@guarded
def _card(run: str) -> None:
    view = view_of(run)
    documents = attributed(view.folder)
    with theme.card("Did it keep what mattered?", "" if documents else ABOUT, key="kept"):
        _buttons(row_of(run), view, documents)
        if documents:
            _show(view, documents)


def _buttons(row: Run | None, view: RunView, documents: list[dict[str, Any]]) -> None:
    """Start a measurement, in the run itself or in its dense control; say how far it is."""
    if row is None:
        if not documents:
            st.caption(
                "This is a recording: it keeps the last weights only, and what died before carries nothing in them. Train a run of your own to measure."
            )
        return
    job = _job(row.id)
    if (said := jobs.at_work(job)) is not None:
        st.button("Measuring…", key="attribute", icon=":material/hourglass_top:", disabled=True)
        st.caption(f"{said[:1].upper()}{said[1:]}" if said else "It is being made ready.")
        return
    if jobs.begun(job):
        jobs.take(job)  # what it measured lies in the run's folder
        st.rerun()
    if failed := jobs.failure(job):
        st.error(f"{failed[:1].upper()}{failed[1:]}", icon=":material/error:")
    control = control_of(row)
    with st.container(horizontal=True, gap="small"):
        own = next((told for told in documents if told["own"]), None)
        fresh = own is not None and own["survival_epoch"] == view.newest_epoch
        again = "Measure again" if own else "Measure its filters"
        about = "64 validation images, in a process of its own: seconds for small networks, a minute for ResNet-20 on CIFAR-10."
        if st.button(
            again,
            key="attribute",
            icon=":material/bolt:",
            type="secondary" if fresh else "primary",
            help=about,
            disabled=not view.epochs,
        ):
            _start(job, row.id)
        if control is not None and st.button(
            "Measure in its dense control", key="attribute-control", icon=":material/bolt:",
            help="The control began with the same weights and no penalty pushed its filters: importance without the method's own hand in it.",
        ):  # fmt: skip
            _start(job, row.id, "--control", control.id)


def _start(job: str, run: str, *more: str) -> None:
    jobs.start(job, "attribute", run, *more, "--runs", str(store().root))
    st.rerun()


def _show(view: RunView, documents: list[dict[str, Any]]) -> None:
    """One document: its answer in a sentence, two figures, the numbers and what stands behind them."""
    with st.container(horizontal=True, gap="medium", key="kept-choices"):
        told = documents[0] if len(documents) == 1 else _which(documents)
        kinds = {kind["kind"]: kind for kind in told["kinds"]}
        kind = kinds[parts_choice("Units", {name: KINDS[name] for name in kinds}, "attribution-kind")]
        measure = parts_choice("Measured by", words.MEASURES, "attribution-measure")
    st.markdown(f"**{words.answer(told, kind, measure)}**")
    theme.takeaway(words.when(told))
    if told["survival_epoch"] < view.newest_epoch:
        st.warning(
            f"Measured when the run stood at epoch {told['survival_epoch']}; it is at {view.newest_epoch} now. Measure again.",
            icon=":material/update:",
        )
    theme.kpi_row(_tiles(kind))
    frame = frame_of(told, arrays_of(view.folder, told), kind["kind"], measure)
    by_layer, by_unit = _figures(told, kind, measure, frame)
    with st.container(key="under-kept", horizontal=True, vertical_alignment="center"):
        parts.table_behind(
            lambda: _layer_table(told, kind["kind"]),
            key="table-kept-layers",
            config=_bars(),
            label="By layer",
            figure=("Did it keep what mattered?", by_layer),
            conditions=lambda: words.conditions(told),
        )
        parts.table_behind(
            lambda: frame.drop(columns=["share", "label"]).replace(np.inf, np.nan).round(5), key="table-kept-units", label="By unit",
            note="A unit without an epoch of death is alive.", figure=("Did it keep what mattered, unit by unit?", by_unit), conditions=lambda: words.conditions(told),
        )  # fmt: skip
        st.caption(words.conditions(told))


def _which(documents: list[dict[str, Any]]) -> dict[str, Any]:
    named = {
        told["file"]: f"this run, epoch {told['epoch']}" if told["own"] else f"dense control, epoch {told['epoch']}" for told in documents
    }  # fmt: skip
    chosen = parts_choice("Measured in", named, "attribution-where")
    return next(told for told in documents if told["file"] == chosen)


def parts_choice(label: str, options: dict[str, str], key: str) -> str:
    """One of a few, by its words; kept in the address."""
    known = list(options)
    chosen = st.segmented_control(
        label, known, default=known[0], format_func=lambda o: options[o], key=key, required=True, bind="query-params"
    )
    return known[0] if chosen is None or chosen not in options else chosen


def _tiles(kind: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The rank correlation with life by each measure."""
    tiles = []
    for name, called in words.MEASURES.items():
        where, found = words.main_of(kind, name)
        value = "—" if found["value"] is None else f"{found['value']:.2f}".replace("-", sentences.MINUS)
        note = where if found["low"] is None else f"95 %: {found['low']:.2f} to {found['high']:.2f}, {where}"
        tiles.append((f"ρ of {called} with life", value, note.replace("-", sentences.MINUS)))
    lost = sentences.percent(kind["lost"] / kind["units"])
    return [
        *tiles,
        (
            f"{words.NOUNS[kind['kind']]}s lost",
            f"{kind['lost']} / {kind['units']}",
            f"{lost} of those alive when measured",
        ),
    ]


def _figures(
    told: dict[str, Any], kind: dict[str, Any], measure: str, frame: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All layers left, the selected one right; a click selects layer and unit everywhere. Both figures."""
    site = str(selection().get("site"))
    layers = list(dict.fromkeys(frame["site"]))
    if site not in layers:
        site = most_mixed(frame)
    mine = frame[frame["site"] == site].reset_index(drop=True)
    unit = selected_number("unit") if selection().get("site") == site else None
    label, height = str(mine["label"].iloc[0]), max(300, 26 * len(layers) + 90)
    name = words.MEASURES[measure]
    left, right = st.columns([3, 2], gap="medium")
    with left:
        whole = kind[measure]["within"]["value"] is None
        ideal = (
            "each row lived or died as a whole"
            if whole
            else "had it kept just what mattered, every cross would stand left of every dot of its row"
        )
        alt = (
            f"Every unit by its place in its layer's order by {name}: {kind['lost']} of {kind['units']} died; {ideal}."
        )
        theme.takeaway(alt)
        every = charts.by_layer(frame, site, alt, name)
        live_chart(
            every,
            key="chart-kept-layers",
            height=height,
            on_picked=lambda: _picked("chart-kept-layers"),
        )
    with right:
        alt = layer_sentence(told, site, label, mine, name)
        theme.takeaway(alt)
        spec = (
            charts.one_layer(mine, unit, alt, name, told["survival_epoch"]) if np.isfinite(mine["death"]).any()
            else charts.against_norm(mine, unit, alt, name)
        )  # fmt: skip
        live_chart(spec, key="chart-kept-layer", height=min(height, 420), on_picked=lambda: _picked("chart-kept-layer"))
    return every, spec


def most_mixed(frame: pd.DataFrame) -> str:
    """The layer that has most to compare: the most pairs of a kept and a lost unit, else the first."""
    lost = frame.assign(lost=np.isfinite(frame["death"])).groupby("site", sort=False)["lost"].agg(["sum", "count"])
    return str((lost["sum"] * (lost["count"] - lost["sum"])).idxmax())


def layer_sentence(told: dict[str, Any], site: str, label: str, frame: pd.DataFrame, measure: str) -> str:
    """What the selected layer shows."""
    lost = int(np.isfinite(frame["death"]).sum())
    if len(frame) == 1:
        return f"{label} is one unit; it {'died' if lost else 'is alive'}."
    if not lost:
        return f"{label}: none of its {len(frame)} units died; their {measure} stands against their norm at that time."
    if lost == len(frame):
        return f"{label}: all its {lost} units died."
    medians = [
        float(frame.loc[part, "value"].median()) for part in (~np.isfinite(frame["death"]), np.isfinite(frame["death"]))
    ]
    return f"{label}: {lost} of {len(frame)} units died; median {measure} of the kept {medians[0]:.2g}, of the lost {medians[1]:.2g}."


def _picked(key: str) -> None:
    picked = st.session_state[key].picked
    if picked and picked.get("customdata"):
        site, unit = picked["customdata"][:2]
        select(site=site, unit=unit)


def frame_of(told: dict[str, Any], arrays: dict[str, np.ndarray], kind: str, measure: str) -> pd.DataFrame:
    """A row for every unit of a kind that was alive when measured: site, label, unit, value, share, death, norm, norm_now.

    `share`: its place in the order of its layer, 0 (least) to 1.
    """
    kinds = ("filter", "neuron") if kind == "filter" else (kind,)
    offset, rows = 0, []
    for layer in told["layers"]:
        at = slice(offset, offset + layer["total"])
        offset += layer["total"]
        if layer["kind"] not in kinds:
            continue
        rows.append(pd.DataFrame({
            "site": layer["site"], "label": "all blocks" if kind == "block" else parts.short(layer["site"]), "unit": np.arange(layer["total"]),
            "value": arrays[measure][at].astype("f8"), "death": arrays["death"][at], "norm": arrays["norm"][at], "norm_now": arrays["norm_now"][at],
        })[arrays["then"][at]])  # fmt: skip
    frame = pd.concat(rows, ignore_index=True)
    group = frame.groupby("label", sort=False)["value"]
    size = group.transform("size")
    return frame.assign(share=((group.rank() - 1) / (size - 1).clip(lower=1)).where(size > 1, 0.5))


def _layer_table(told: dict[str, Any], kind: str) -> pd.DataFrame:
    kinds = ("filter", "neuron") if kind == "filter" else (kind,)
    return pd.DataFrame([
        {
            "layer": layer["site"], "alive when measured": layer["compared"], "lost since": layer["lost"],
            "share lost": layer["lost"] / max(1, layer["compared"]), "ρ with life": layer["rho"], "kept ahead of lost": layer["auc"],
        }
        for layer in told["layers"] if layer["kind"] in kinds
    ])  # fmt: skip


def _bars() -> dict[str, Any]:
    number = st.column_config.NumberColumn(format="%.2f")
    return {
        "share lost": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent"),
        "ρ with life": number,
        "kept ahead of lost": st.column_config.NumberColumn(format="percent"),
    }
