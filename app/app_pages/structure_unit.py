"""Structure: one unit. Its kernel, what it says about a test image, its history, and what it lives or dies with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import sentences, structure_charts, theme
from app.app_pages import parts
from app.app_pages.heat import picture
from app.asking import answer
from app.picture_charts import pictures
from app.pictures import kernel_sheet
from app.runs import RunView, view_of
from app.selection import selected_number, selection

WEIGHED = ("filter", "neuron", "group", "layer")  # kinds whose units are rows of a layer's weights
SIDE = 168  # pixels, about


def unit(run: str) -> None:
    """The card of the selected unit; asks the lane for its weights and its feature map."""
    view, number = view_of(run), selected_number("unit")
    site = selection().get("site") or parts.selected_site(view)
    if number is None or site is None:
        with theme.card(
            "One unit", "Choose a square: its kernel, what it says about an image, and its history.", key="unit"
        ):
            st.caption("A click on a line of the figure above does the same.")
        return
    path, _, kind = site.rpartition("/")
    place = next((s for s in view.sites if s["site"] == site), None)
    if place is not None and number >= place["total"]:
        with theme.card(
            "One unit", f"{parts.short(site)} has units 0 to {place['total'] - 1}; choose one of them.", key="unit"
        ):
            return
    epoch = view.newest_epoch if (wanted := selected_number("epoch")) is None else min(wanted, view.newest_epoch)
    title = f"{kind[:1].upper()}{kind[1:]} {number} of {parts.short(path)}"
    with theme.card(title, key="unit"):
        left, right, last = st.columns([1, 1.3, 1.7], gap="medium")
        if kind in WEIGHED:
            units = place["total"] if place and kind in ("group", "layer") else None
            index = right.number_input(
                "Test image", 0, 100_000, 7, key="unit-image", help="Counting starts over behind the last."
            )
            with left:
                told = answer(run, "unit", "unit", once=True, path=path, unit=number, units=units, index=int(index), at=selected_number("epoch"))  # fmt: skip
            if told is not None:
                with left:
                    _kernel(told["kernel"])
                with right:
                    _feature(told["feature"])
                    parts.table_behind(
                        lambda: _pixels(told), key="table-unit", figure=(title, lambda: _drawn(title, told))
                    )
        if place is not None:
            with last:
                _history(view, site, number, epoch)
        if words := company(view, site, number):
            st.caption(words)


def _kernel(told: dict[str, Any]) -> None:
    slices, sheet = np.array(told["slices"]), _sheet(told)
    _, look = kernel_pictures(slices, told["reads_image"])
    st.image(sheet, alt="the kernels of this filter", width=min(260, sheet.shape[1]))
    zeros = f"; {told['zeros']:,} of {told['weights']:,} weights exactly 0" if told["zeros"] else ""
    fewer = f" (the largest {len(slices)} of {told['of']})" if len(slices) < told["of"] else ""
    st.caption(
        f"Kernel{fewer}: {look}. Norm {told['norm']:.3g}, largest weight {told['largest']:.3g}{zeros}; checkpoint after epoch {told['epoch']}."
    )


def _sheet(told: dict[str, Any]) -> np.ndarray:
    shown, _ = kernel_pictures(np.array(told["slices"]), told["reads_image"])
    scale = max(2, SIDE // shown[0].shape[1]) if len(shown) == 1 else max(2, 21 // max(shown[0].shape[1:]))
    return kernel_sheet(shown, scale, 8)


def _drawn(title: str, told: dict[str, Any]) -> dict[str, Any]:
    """Kernel, image and feature map as one figure."""
    feature, field = told["feature"], np.array(told["feature"]["map"])
    cells = [
        ("kernel", _sheet(told["kernel"])),
        (f"image {feature['index']}: {feature['label']}", picture(np.array(feature["pixels"], "u1"), 8)),
    ]
    if field.size > 1 and feature["largest"]:
        cells.append((f"feature map, largest {feature['largest']:.3g}", picture(field, 8)))
    return pictures(
        [("", cells)], f"{title}: its kernel, a test image and what it says about it, orange for, blue below 0."
    )


def _pixels(told: dict[str, Any]) -> pd.DataFrame:
    """What the unit says, position by position of its feature map."""
    field = np.atleast_2d(np.array(told["feature"]["map"], "f8"))
    y, x = np.indices(field.shape).reshape(2, -1)
    return pd.DataFrame({"y": y, "x": x, "says": (field.ravel() * told["feature"]["largest"]).round(6)})


def kernel_pictures(slices: np.ndarray, reads_image: bool) -> tuple[list[np.ndarray], str]:
    """What `kernel_sheet` draws of slices (slices, h, w), and how to read it: an image's channels as one picture, single weights as one field."""
    signs = "orange positive, blue negative"
    if reads_image and slices.shape[1:] != (1, 1):
        return [slices], "as colours, grey is 0" if len(slices) == 3 else signs
    if slices.shape[1] == 1 and (slices.shape[2] == 1 or len(slices) == 1):
        flat = slices.reshape(-1)
        across = max(1, int(np.ceil(np.sqrt(len(flat)))))
        field = np.full(-(-len(flat) // across) * across, np.nan)
        field[: len(flat)] = flat
        return [field.reshape(1, -1, across)], f"one weight an input, {signs}"
    return [one[None] for one in slices], f"a slice for every input channel, {signs}"


def _feature(told: dict[str, Any]) -> None:
    behind = f"behind its norm {told['behind'].rpartition('.')[2]}" if told["behind"] else "as the layer gives it"
    image, says = st.columns(2)
    shown = f"image {told['index']}: {told['label']}"
    image.image(picture(np.array(told["pixels"], "u1"), 8), caption=shown, alt=shown, width=128)
    field = np.array(told["map"])
    if told["largest"] == 0:
        says.markdown("It says **0** everywhere.")
    elif field.size == 1:
        says.metric("it says", f"{told['mean']:.3g}")
    else:
        says.image(picture(field, 8), caption="feature map", alt="feature map", width=128)
    wide = " × ".join(map(str, told["side"]))
    st.caption(
        f"{behind.capitalize()}, {wide}, before ReLU: orange up to {told['largest']:.3g}, blue below 0; after epoch {told['epoch']}."
    )


def _history(view: RunView, site: str, number: int, epoch: int) -> None:
    raw, effective = view.streams(site)[number].tolist(), view.effective_streams(site)
    own = effective[number].tolist() if number in effective else []
    spec = structure_charts.unit_history(raw, own, epoch, view.noun(site))
    theme.takeaway(spec["alt"])
    parts.picking(spec, key=f"history-{site}", height=230)
    table = pd.DataFrame({view.noun(site): raw, **({"effective norm": own} if own else {})}).rename_axis("epoch")
    parts.table_behind(
        table.round(5), key="table-history", figure=(f"{site.rpartition('/')[2]} {number} of {parts.short(site)}", spec)
    )


def company(view: RunView, site: str, number: int) -> str:
    """The units that a unit lives or dies with, in a sentence; empty where the run has no result, or it stands alone."""
    groups = ((view.result or {}).get("why") or {}).get("groups") or []
    own = next((g for g in groups if number in g.get(site, [])), None)
    if own is None:
        return "It lives or dies alone: no other layer's units are tied to it." if view.result and groups else ""
    others = [
        f"{parts.short(other)} {sentences.listing([str(n) for n in held])}"
        for other, held in own.items()
        if other != site
    ]
    if not others:
        return ""
    return f"It lives or dies with {sentences.plural(len(others), 'unit')} that are added to it or read beside it: {sentences.listing(others, 6)}."
