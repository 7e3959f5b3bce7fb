"""Levels: the filters of the first convolution by the level that adds them, and how alike they are within and between levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import sentences, theme
from app.app_pages import parts
from app.asking import answer
from app.level_words import level_name
from app.picture_charts import pictures
from app.pictures import kernel_sheet

PAPER = {
    "within": (0.38, 0.09),
    "between": (0.08, 0.03),
}  # Kim et al., CVPR 2018, section 4: ResNet-56, first convolution 7 x 7
SHEET_ACROSS = 16
LARGEST = 40  # pixels of a drawn kernel's side


def filters(run: str) -> None:
    """The card."""
    with theme.card("The first filters, level by level", key="levels-filters"):
        told = answer(run, "filters", "nesting", once=True)
        if told is None:
            return
        first = told["first"]
        if first is None:
            st.caption("The first layer of this network is no convolution over a plane: it has no kernels to draw.")
            return
        theme.takeaway(alike_sentence(first["alike"]))
        kernels, level = np.array(first["kernels"]), np.array(first["level"])
        levels = len(told["bands"][0]["units"]["kept"])
        rows = rows_of(kernels, level, levels)
        sheets = [(title, _sheet(drawn)) for title, drawn in rows if drawn]
        for title, drawn in rows:
            st.caption(title)
            if drawn:
                sheet = dict(sheets)[title]
                st.image(sheet, alt=title, width=sheet.shape[1])

        def drawn_together() -> dict[str, Any]:
            return pictures([(title, [("", sheet)]) for title, sheet in sheets], alike_sentence(first["alike"]))

        parts.table_behind(
            lambda: kernel_table(kernels, level),
            key="table-filters",
            figure=("The first filters, level by level", drawn_together),
        )
        theme.kpi_row(alike_tiles(first["alike"]))
        st.caption(_estimator(first, kernels, told["epoch"]))


def _sheet(drawn: list[np.ndarray]) -> np.ndarray:
    return kernel_sheet(drawn, max(2, LARGEST // max(drawn[0].shape[1:])), SHEET_ACROSS)


def kernel_table(kernels: np.ndarray, level: np.ndarray) -> pd.DataFrame:
    """One row a weight as drawn, in [-1, 1] of its filter's largest, with the level that has it first."""
    places = np.indices(kernels.shape).reshape(kernels.ndim, -1)
    return pd.DataFrame({
        **dict(zip(("filter", "channel", "y", "x"), places, strict=True)), "level": np.broadcast_to(level, kernels.shape).ravel(), "weight": kernels.ravel().round(4),
    })  # fmt: skip


def rows_of(kernels: np.ndarray, level: np.ndarray, levels: int) -> list[tuple[str, list[np.ndarray]]]:
    """(what it is, kernels) of every level, core first: the filters that it adds; where filters are shared by weight, all of
    them with the weights that it has (NaN where it has none)."""
    born = level.reshape(len(level), -1)
    whole = bool((born == born[:, :1]).all())
    out = []
    for k in range(levels):
        name = f"level {level_name(k, levels)}"
        if whole:
            added = np.flatnonzero(born[:, 0] == k)
            out.append(
                (
                    f"{name} has {_numbers(added)}" if k == 0 else f"{name} adds {_numbers(added)}",
                    [kernels[i] for i in added],
                )
            )
        else:
            kept = level <= k
            share = sentences.percent(float(kept.mean()))
            out.append((f"{name} keeps {share} of their weights", list(np.where(kept, kernels, np.nan))))
    return out


def _numbers(filters: np.ndarray) -> str:
    """`8 filters, 0 to 7`; `no filter`."""
    if not len(filters):
        return "no filter: it has those of the level before"
    run = len(filters) > 1 and filters[-1] - filters[0] == len(filters) - 1
    return sentences.plural(len(filters), "filter") + (f", {filters[0]} to {filters[-1]}" if run else "")


def alike_sentence(alike: dict[str, Any]) -> str:
    """Whether what levels add differs from level to level, in words."""
    within, between, chance = alike["within"], alike["between"], alike["chance"]
    if between is None:
        return (
            "All levels have the same filters here; they differ in layers behind, or in which single weights they keep."
        )
    if within is None:
        return f"Filters of different levels are alike to {between['mean']:.2f}; shuffled ones to {chance:.2f}."
    gap, spread = within["mean"] - between["mean"], max(within["std"], between["std"])
    words = (
        "clearly less alike than"
        if gap > spread
        else "a little less alike than"
        if gap > 0.25 * spread
        else "as alike as"
    )
    luck = (
        "; both are near what shuffled filters give, so these kernels have too few values, or too little training, to tell"
        if abs(within["mean"] - chance) < 0.5 * spread and abs(between["mean"] - chance) < 0.5 * spread
        else ""
    )
    return f"Filters of different levels are {words} filters of one level ({between['mean']:.2f} against {within['mean']:.2f}){luck}."


def alike_tiles(alike: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Within a level, between levels, by chance; the paper's beside."""
    tiles = []
    for key, words in (("within", "alike within a level"), ("between", "alike between levels")):
        found, (mean, std) = alike[key], PAPER[key]
        paper = f"paper {mean:.2f} ± {std:.2f}"
        if found is None:
            tiles.append((words, "—", f"no such pairs of filters · {paper}"))
        else:
            tiles.append(
                (
                    words,
                    f"{found['mean']:.2f} ± {found['std']:.2f}",
                    f"{sentences.plural(found['pairs'], 'pair')} · {paper}",
                )
            )
    return [
        *tiles,
        ("alike by chance", f"{alike['chance']:.2f}", f"the same filters shuffled, {alike['values']} values each"),
    ]


def _estimator(first: dict[str, Any], kernels: np.ndarray, epoch: int) -> str:
    _, channels, height, width = kernels.shape
    look = (
        "as colours, grey is 0"
        if channels == 3
        else "orange positive, blue negative" + (", mean over channels" if channels > 1 else "")
    )
    return (
        f"{first['layer']}, {height} × {width}, {look}; after epoch {epoch}. Normalised mutual information, mean ± standard deviation over pairs: values of a filter "
        f"in {first['alike']['bins']} bins of equal size, I / √(H H′). The paper (ResNet-56, 7 × 7) does not print its estimator, so compare within with between, not with its numbers."
    )
