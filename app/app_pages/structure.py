"""Structure: the network as blocks, in step with a table of its layers, at any recorded epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, sentences, theme
from app.app_pages import parts
from app.asking import answer, known, looking
from app.components.live_chart import live_chart, plotly_loader
from app.espalier_ghost import ghost_of, ghosts_of
from app.glossary import glossary_row
from app.level_words import nested_phase
from app.runs import RunView, methods_of, store, view_of
from app.selection import select, selected_number, selection
from core.networks.remaining import remaining
from core.runs.store import Run

MAX_OTHERS = 200  # newest runs among which a ghost is sought


def page() -> None:
    """The selected run's network."""
    plotly_loader()
    found = parts.run_or_invitation("the network")
    if found is None:
        return
    row, view = found
    parts.header(row, view)
    if not len(view.alive):
        st.caption("Nothing is recorded yet: the first look at the network comes within a few seconds of the start.")
        return
    wanted = selected_number("epoch")
    epoch = view.newest_epoch if wanted is None else min(wanted, view.newest_epoch)
    with theme.card(f"The network after epoch {epoch}", key="structure"):
        others = {other.id: other for other in ghosts_of(view, store().recent(MAX_OTHERS)[0])}
        parts.tree(view, key=f"structure-{view.name}", follow=False, ghost=_ghost(view, others, epoch))
        if row is not None and nested_phase(row.config) is not None:
            looking(_levels, view.name, "structure-levels", living_s=None)
        _choose_ghost(view.name, others)
    shares, units = parts.stage_shares(view)
    if not shares.empty and any(view.learns(s["site"]) for s in view.sites):
        spec = charts.death_timeline(shares, parts.block_deaths(view), view.markers())
        parts.chart(f"Share of {units} alive, stage by stage", spec, shares.round(3), key="deaths", height=260)
    left, right = st.columns([3, 2])
    with left:
        _layers(view, epoch)
    with right:
        _site(view, epoch)
    _proof(view)
    glossary_row(
        "filter", "block", "skip path", "factor", "carry", "certificate", "exact", "spread", "uniform", "field"
    )


def _levels(run: str) -> None:
    """Asks once which level has what; the tree then shows levels as tints."""
    had = known(run, "nesting")
    if answer(run, "structure-levels", "nesting", once=True) is not None and had is None:
        st.rerun()


def _ghost(view: RunView, found: dict[str, Run], epoch: int) -> dict[str, Any] | None:
    """The run in the address that stands behind this one; None where there is none."""
    chosen = st.query_params.get("ghost", "")
    return ghost_of(view, view_of(chosen), epoch, found[chosen].name or chosen) if chosen in found else None


def _choose_ghost(run: str, found: dict[str, Run]) -> None:
    """The runs of the same network; the chosen one is in the address."""
    if not found:
        return
    chosen, key = st.query_params.get("ghost", ""), f"ghost-{run}"
    options = ["", *found]
    st.selectbox(
        "Compare with another run of this network, as a ghost behind it", options, index=options.index(chosen if chosen in found else ""), key=key,
        format_func=lambda other: _called(found[other]) if other else "no other run", on_change=_ghost_chosen, args=(key,), width=420,
    )  # fmt: skip


def _called(row: Run) -> str:
    return f"{row.name or row.id} · {methods_of(row.config)}, seed {row.seed}"


def _ghost_chosen(key: str) -> None:
    if chosen := st.session_state[key]:
        st.query_params["ghost"] = chosen
    else:
        st.query_params.pop("ghost", None)


def layer_table(view: RunView, epoch: int) -> pd.DataFrame:
    """One row a layer, in forward order: what lives of it and what that leaves."""
    counts = view.counts()
    alive = {str(s): int(n) for s, n in counts.iloc[:, min(epoch, counts.shape[1] - 1)].items()} if counts.size else {}
    left = remaining(view.layout, alive)
    rows = []
    for conv, block in _convs(view):
        macs, params = left[conv["path"]]
        dead = macs == 0
        state = "dead" if dead else "fixed" if conv["site"] not in alive else "alive"
        living = 0 if dead else alive.get(conv["site"], conv["total"])
        rows.append({
            "layer": parts.short(conv["path"]), "path": conv["path"], "alive": living / conv["total"], "units": f"{living} / {conv['total']}", "state": state,
            "MACs": round(macs), "MACs dense": conv["macs"], "parameters": round(params), "block": block,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _convs(view: RunView) -> Iterator[tuple[dict[str, Any], str]]:
    layout = view.layout
    for conv in layout["stem"]:
        yield conv, "stem"
    for stage in layout["stages"]:
        for block in stage["blocks"]:
            for conv in block["convs"]:
                yield conv, block["label"]
    for conv in layout["head"]:
        yield conv, "head"


def _layers(view: RunView, epoch: int) -> None:
    table = layer_table(view, epoch)
    dead = table[table["state"] == "dead"]["layer"].tolist()
    left, dense = table["MACs"].sum(), table["MACs dense"].sum()
    how = "" if view.result and epoch == view.newest_epoch else " (estimated)"
    verb = "left" if view.result and epoch == view.newest_epoch else "would leave"
    sentence = f"{sentences.plural(len(dead), 'layer')} of {len(table)} {verb} whole; {sentences.percent(left / dense)} of the MACs remain{how}."
    path = (selection().get("site") or "").partition("/")[0]
    rows = [i for i, layer in enumerate(table["path"]) if layer == path][:1]
    key = f"layer-table-{view.name}-{path}"  # a new choice elsewhere shows here
    with theme.card("Layers", f"{sentence} Choose a row to see its filters.", key="layers"):
        st.dataframe(
            table, hide_index=True, key=key, height=420, on_select=lambda: _choose(table, key), selection_mode="single-row",
            selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
            column_order=("layer", "alive", "units", "state", "MACs", "MACs dense", "parameters"),
            column_config={
                "alive": st.column_config.ProgressColumn("alive", min_value=0, max_value=1, format="percent"),
                "MACs": st.column_config.NumberColumn(format="compact"), "MACs dense": st.column_config.NumberColumn(format="compact"),
                "parameters": st.column_config.NumberColumn(format="compact"),
            },
        )  # fmt: skip


def _choose(table: pd.DataFrame, key: str) -> None:
    rows = st.session_state[key].selection.rows
    if rows:
        path = table.iloc[rows[0]]["path"]
        select(site=f"{path}/{'neuron' if path.startswith('fc') else 'filter'}", unit=None)


def _site(view: RunView, epoch: int) -> None:
    """The selected site: its units, and their values over the epochs."""
    wanted, site = selection().get("site"), parts.selected_site(view)
    if wanted and wanted not in [s["site"] for s in view.sites]:
        with theme.card(parts.short(wanted), _why_fixed(view, wanted), key="site-fixed"):
            st.caption("Choose another layer to see what is recorded there.")
        return
    if site is None:
        with theme.card("Units", "This run learns no structure.", key="site-none"):
            st.caption("The dense control keeps everything.")
        return
    streams = view.streams(site)
    noun = view.noun(site)
    spec = charts.factor_streams(streams, parts.short(site), view.markers(), noun=noun)
    with theme.card(parts.short(site), spec["alt"], key="site"):
        live_chart(spec, key="site-chart", height=330)
        now = streams.iloc[min(epoch, len(streams) - 1)]
        st.caption(
            f"{site}: {int((now > 0).sum())} of {len(now)} {noun}s above zero after epoch {epoch}; largest {now.max():.3g}."
            + effective_words(view.effective(site, epoch))
        )


def removal(result: dict[str, Any]) -> str:
    """`248 of 336 filters and 2 of 9 blocks (with them 4 whole layers)`."""
    words = []
    for kind, noun in (("filter", "filter"), ("neuron", "neuron"), ("group", "conv group"), ("block", "block")):
        rows = [r for r in result["survival"] if r["kind"] == kind]
        dead, total = sum(r["total"] - r["alive"] for r in rows), sum(r["total"] for r in rows)
        if dead:
            words.append(f"{dead} of {sentences.plural(total, noun)}")
    layers = result["removed"].get("layer", 0)
    return (
        (sentences.listing(words) + (f" (with them {sentences.plural(layers, 'whole layer')})" if layers else ""))
        if words
        else "nothing"
    )


def _why_fixed(view: RunView, site: str) -> str:
    """Why a layer has no units that could die."""
    path = site.partition("/")[0]
    if path not in [conv["path"] for conv, _ in _convs(view)]:
        return "This network has no layer of that name; choose one in the table."
    if path in [conv["path"] for conv in view.layout["head"]]:
        return "These are the class scores: every one is needed."
    if path in [conv["path"] for conv in view.layout["stem"]]:
        return "The first layer feeds the skip path of the whole first stage, so its channels stay."
    return "The outputs of this layer are added to the skip path, so they stay as long as its block does."


def _proof(view: RunView) -> None:
    """What was cut, and the certificate."""
    if view.result is None:
        with theme.card("Cut and proof", "The cut is made and proved when training ends.", key="proof"):
            st.caption("Take away can also cut what is dead at the newest checkpoint of a run that ended early.")
        return
    result = view.result
    with theme.card("Cut and proof", parts.proof(view), key="proof"):
        removed = removal(result)
        macs, params = result["macs_per_image"], result["params"]
        st.markdown(
            f"Removed: **{removed}**. MACs {sentences.amount(macs['dense'])} → **{sentences.amount(macs['compact'])}**, "
            f"parameters {sentences.amount(params['dense'])} → **{sentences.amount(params['compact'])}**. "
            + accuracies(result["accuracy"])
        )
        _certificate(result["certificate"])
    if result.get("why"):
        with theme.card("Why not more", sentences.why_not(result), key="why-not"):
            _why_not(result)


def effective_words(norms: np.ndarray) -> str:
    """What the units of a site pass on, in a sentence; empty where it was not recorded."""
    living = norms[norms > 0]
    if not len(living):
        return ""
    return (
        " Effective norms (weights × |scale| / σ of the norm behind them, factors included: what reaches the next layer) go "
        f"from {living.min():.3g} to {living.max():.3g}, median {np.median(living):.3g}."
    )


def accuracies(accuracy: dict[str, float | None]) -> str:
    """Test accuracy before and after the cut, and after fine-tuning where there was any."""
    before, after = (sentences.percent(accuracy[key] or 0.0, 2) for key in ("test", "compact"))
    tuned = accuracy.get("finetuned")
    more = "" if tuned is None else f", after fine-tuning {sentences.percent(tuned, 2)}"
    return f"Test accuracy before {before}, after the cut {after}{more}."


def _certificate(proof: dict[str, Any]) -> None:
    """Every number of the certificate, with what it has to be."""
    with st.expander("Certificate, number by number", icon=":material/verified:"):
        st.dataframe(pd.DataFrame(sentences.certificate_rows(proof)), hide_index=True, key="certificate-rows")


def _why_not(result: dict[str, Any]) -> None:
    """What the units of each layer were, what left, and what had to stay at full width."""
    table = pd.DataFrame(result["why"]["sites"])
    table["layer"] = [parts.short(site.partition("/")[0]) for site in table["site"]]
    table["stay"] = table["total"] - table["removed"]
    st.dataframe(
        table, hide_index=True, key="why-table", height=280,
        column_order=("layer", "total", *(k for k in ("zero", "uniform", "field", "unread") if table[k].any()), "alive", "removed", "stay"),
        column_config={
            "total": st.column_config.NumberColumn("units"),
            "zero": st.column_config.NumberColumn("zero", help="says 0 to every image, at every position"),
            "uniform": st.column_config.NumberColumn("uniform", help="says one other number to every image, at every position"),
            "field": st.column_config.NumberColumn("field", help="the same for every image, another number at the border"),
            "alive": st.column_config.NumberColumn("alive", help="its answer depends on the image"),
            "unread": st.column_config.NumberColumn("unread", help="alive, but nothing that lives reads it any more"),
            "removed": st.column_config.NumberColumn("leave", help="cut out: no longer computed for an image"),
            "stay": st.column_config.NumberColumn("stay", help="alive and read"),
        },
    )  # fmt: skip
    if result["refilled"]:
        st.markdown("Kept at full width in front of an operation that needs every channel:")
        st.dataframe(pd.DataFrame(result["refilled"]), hide_index=True, key="refilled")
