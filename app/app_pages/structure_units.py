"""Structure: the units of the selected layer as a mosaic, as kernels, or as taps; a click selects one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import structure_charts, theme
from app.app_pages import parts
from app.app_pages.structure_streams import EFFECTIVE, which
from app.asking import answer, looking
from app.espalier_data import died
from app.pictures import kernel_sheet
from app.runs import RunView, view_of
from app.selection import select, selected_number, selection
from core.runs.collapses import layers_of

ORDERS = ("index", "norm", "death")
NOUNS = {"shape": "tap", "kernel2d": "2-D filter", "group": "conv group"}
KERNEL = 36  # pixels of a first-layer kernel's side


def units(view: RunView, epoch: int) -> None:
    """The card: the units of the selected layer, or of the selected block's first."""
    places = of_block(view)
    if not places:
        return
    chosen = units_site(view, places)
    if chosen not in [s["site"] for s in view.sites]:
        looking(_unrecorded, view.name, "layer")
        return
    with theme.card(f"Units of {parts.short(chosen)}", key="units"):
        _choice(places, chosen)
        _recorded(view, chosen, epoch)


def of_block(view: RunView) -> list[str]:
    """The sites of the layers in the block of the selected site; where none is selected, in that of the one that lost most."""
    wanted = selection().get("site") or parts.selected_site(view) or ""
    path = wanted.rpartition("/")[0]
    block = next((b for s in view.layout["stages"] for b in s["blocks"] if path == b["path"] or path in [c["path"] for c in b["convs"]]), None)  # fmt: skip
    paths = (
        [c["path"] for c in block["convs"]]
        if block
        else [c["path"] for c, _ in layers_of(view.layout) if c["path"] == path]
    )
    recorded: dict[str, list[str]] = {}
    for place in view.sites:
        recorded.setdefault(place["site"].rpartition("/")[0], []).append(place["site"])
    return [site for p in paths for site in recorded.get(p) or [f"{p}/{'neuron' if p.startswith('fc') else 'filter'}"]]


def units_site(view: RunView, places: list[str]) -> str:
    """The site whose units are shown: the selected one, or of a selected block the first that has several units."""
    wanted = selection().get("site") or parts.selected_site(view)
    if wanted in places:
        return str(wanted)
    several = [s["site"] for s in view.sites if s["site"] in places and s["total"] > 1]
    return several[0] if several else places[0]


def _choice(places: list[str], chosen: str) -> None:
    """The layers of the block, to go from one to the next."""
    if len(places) < 2:
        return
    key = f"places-{chosen}"

    def choose() -> None:
        if st.session_state[key]:
            select(site=st.session_state[key], unit=None)

    st.segmented_control(
        "Layer", places, default=chosen, key=key, on_change=choose, format_func=lambda site: parts.short(site).partition(" ")[2] or parts.short(site),
        label_visibility="collapsed",
    )  # fmt: skip


def _recorded(view: RunView, site: str, epoch: int) -> None:
    """The units of a recorded site as they were after an epoch."""
    raw, effective, alive = view.streams(site).to_numpy(), view.effective_streams(site).to_numpy(), view.living(site)
    norms, value = (
        (effective, "effective norm") if len(effective) > epoch and which(view) == EFFECTIVE else (raw, view.noun(site))
    )
    states = structure_charts.unit_states(raw, alive, epoch)
    kind, picked = site.rpartition("/")[2], selected_number("unit")
    conv = next((c for c, _ in layers_of(view.layout) if c["path"] == site.rpartition("/")[0]), None)
    noun = NOUNS.get(kind, kind)
    if kind == "shape" and conv and conv["kernel"] > 1 and conv["inputs"] * conv["kernel"] ** 2 == raw.shape[1]:
        spec = structure_charts.tap_grid(raw[epoch] * alive[epoch], conv["inputs"], conv["kernel"], picked=picked)
        height = min(420, 30 + 9 * structure_charts.tap_rows(conv["inputs"], conv["kernel"]))
        theme.takeaway(spec["alt"])
        parts.picking(
            spec, key=f"mosaic-{site}", height=max(90, height), on_picked=lambda click: _pick(site, click["customdata"])
        )
    else:
        by = st.segmented_control("Order", ORDERS, default="index", key="unit-order", bind="query-params", help="Which unit comes first: by number, the largest, or the first to die.")  # fmt: skip
        deaths = [died(column[: epoch + 1]) for column in alive.T]
        order = structure_charts.unit_order(by or "index", norms[epoch], deaths)
        spec = structure_charts.mosaic(norms[epoch], states, order, noun=noun, value=value, picked=picked)
        theme.takeaway(spec["alt"])
        height = structure_charts.mosaic_height(raw.shape[1])
        parts.picking(
            spec, key=f"mosaic-{site}", height=height, on_picked=lambda click: _pick(site, click["customdata"])
        )
    _by_number(site, raw.shape[1], noun, picked)
    table = pd.DataFrame({noun: range(raw.shape[1]), "state": states, view.noun(site): raw[epoch].round(5)})
    if len(effective) > epoch:
        table["effective norm"] = effective[epoch].round(5)
    table["dead since epoch"] = pd.array([died(column[: epoch + 1]) for column in alive.T], dtype="Int64")
    parts.table_behind(table, key="table-units", figure=(f"Units of {parts.short(site)} after epoch {epoch}", spec))
    st.caption(
        f"After epoch {epoch}. The more solid, the larger the {value}. Falling fast: under half of what it was {max(3, epoch // 10)} epochs before."
    )


def _pick(site: str, told: Any) -> None:
    """A click on a square ([unit, value]) or on a tap (its number, -1 between grids)."""
    number = told[0] if isinstance(told, list) else told
    if number is not None and number >= 0:
        select(site=site, unit=int(number))


def _by_number(site: str, total: int, noun: str, picked: int | None) -> None:
    """A unit by its number, for the keyboard."""
    key = f"unit-number-{site}-{picked}"

    def choose() -> None:
        number = st.session_state[key]
        select(site=site, unit=None if number is None else int(number))

    st.number_input(
        f"{noun[:1].upper()}{noun[1:]} number", 0, total - 1, picked if picked is not None and picked < total else None, key=key, on_change=choose,
        placeholder=f"0 to {total - 1}, or click a square",
    )  # fmt: skip


def _unrecorded(run: str) -> None:
    """A layer whose units are not learned: its weights as the checkpoint has them; first-layer kernels as pictures."""
    view = view_of(run)
    places = of_block(view)
    if not places:
        return
    site, at = units_site(view, places), selected_number("epoch")
    with theme.card(f"Units of {parts.short(site)}", key="units"):
        _choice(places, site)
        told = answer(run, "layer", "layer", once=True, path=site.rpartition("/")[0], at=at)
        if told is None:
            return
        norms, noun, picked = np.array(told["norms"]), site.rpartition("/")[2], selected_number("unit")
        states = ["dead" if norm == 0 else "alive" for norm in norms]
        spec = structure_charts.mosaic(norms, states, range(len(norms)), noun=noun, picked=picked)
        theme.takeaway(spec["alt"])
        if told["kernels"]:
            kernels = np.array(told["kernels"])
            sheet = kernel_sheet(list(kernels), max(2, KERNEL // max(kernels.shape[2:])), 10)
            st.image(sheet, alt="kernels, row by row", width=sheet.shape[1], caption="kernels 0 to " + str(len(kernels) - 1) + ", row by row" + (", as colours, grey is 0" if kernels.shape[1] == 3 else "; orange positive, blue negative"))  # fmt: skip
        height = structure_charts.mosaic_height(len(norms))
        parts.picking(
            spec, key=f"mosaic-{site}", height=height, on_picked=lambda click: _pick(site, click["customdata"])
        )
        _by_number(site, len(norms), noun, picked)
        st.caption(
            f"From the checkpoint after epoch {told['epoch']}. The more solid, the larger the norm of its weights."
        )
