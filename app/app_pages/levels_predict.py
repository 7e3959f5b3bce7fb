"""Levels: one image asked of every level at once, and test images about which levels disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import sentences, theme
from app.app_pages.heat import picture
from app.app_pages.image_source import SOURCES, image_source
from app.asking import answer, looking
from app.level_words import level_name
from app.runs import view_of
from app.selection import select, selected_number

LOOK = 152  # pixels of a shown image


def predict(run: str) -> None:
    """The card; it looks again while the lane works, and now and then while the run trains."""
    looking(_card, run, "levels-predict", living_s=4.0)


def _card(run: str) -> None:
    view = view_of(run)
    with theme.card(
        "Ask every level about one image",
        "All levels answer at once; the slider only chooses whose answer is shown large. A small level that already says the same is one that would do.",
        key="levels-predict",
    ):
        left, right = st.columns([2, 5], gap="medium")
        with left:
            asked = image_source(view, "levels", _number)
        with right:
            told = None
            if asked is None:
                st.caption("Give an image on the left: every level answers as soon as it is there.")
            else:
                told = answer(run, "levels-predict", "levels", **asked)
            if told is not None:
                _show(told)
        with left:
            if told is not None:
                _seen(told)
        if told is None or any(level["agrees"] is not None for level in told["levels"][:-1]):
            _parted(run)


def _number() -> dict[str, Any]:
    index = st.number_input(
        "Number of the test image", 0, 1_000_000, 7, key="levels-index", help="Counting starts over behind the last."
    )
    return {"index": int(index)}


def _seen(told: dict[str, Any]) -> None:
    """The image as the levels get it."""
    truth = "" if told["label"] is None else f"test image {told['index']}: {told['class_names'][told['label']]}"
    shown = truth or "as the network sees it"
    st.image(picture(np.array(told["pixels"], "u1"), 8), caption=shown, alt=shown, width=LOOK)


def _show(told: dict[str, Any]) -> None:
    """The slider, the chosen level's classes, and one line for each level."""
    levels = told["levels"]
    level = _slider(len(levels))
    chosen = levels[level]
    name, sure = level_name(level, len(levels)), sentences.percent(max(chosen["probabilities"]), 1)
    st.markdown(f"Level **{name}** says **{_said(chosen)}** with {sure}. {' '.join(verdicts(told))}")
    top = sorted(zip(chosen["names"], chosen["probabilities"], strict=True), key=lambda pair: -pair[1])[:5]
    bars = {"probability": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")}
    st.dataframe(
        pd.DataFrame(top, columns=[f"level {name}", "probability"]), hide_index=True, key="levels-probabilities", column_config=bars,
    )  # fmt: skip
    st.dataframe(answers_table(told), hide_index=True, key="levels-answers", column_config=bars)
    st.caption(f"All levels after epoch {told['epoch']}.")


def _slider(levels: int) -> int:
    """The chosen level: that of the address where it names one, else the core."""
    wanted = selected_number("level")
    wanted = 0 if wanted is None or wanted >= levels else wanted
    if st.session_state.get("levels-slider") != wanted:
        st.session_state["levels-slider"] = wanted
    found = st.select_slider(
        "Level", range(levels), key="levels-slider", format_func=lambda k: level_name(k, levels),
        on_change=lambda: select(level=st.session_state["levels-slider"]),
    )  # fmt: skip
    return int(found)


def _said(level: dict[str, Any]) -> str:
    return str(level["names"][int(np.argmax(level["probabilities"]))])


def answers_table(told: dict[str, Any]) -> pd.DataFrame:
    """One row a level: what it says, how surely, whether that is what the full level says."""
    levels = told["levels"]
    return pd.DataFrame([
        {
            "level": level_name(k, len(levels)), "says": _said(level), "probability": max(level["probabilities"]),
            "full level": "—" if k == len(levels) - 1 else {True: "✓ agrees", False: "✗ differs", None: "other images"}[level["agrees"]],
            **({} if told["label"] is None else {"truth": _right(told, level)}),
        }
        for k, level in enumerate(levels)
    ])  # fmt: skip


def _right(told: dict[str, Any], level: dict[str, Any]) -> str:
    if level["agrees"] is None:
        return "—"
    label = told["label"] if level["of"] is None else level["of"][told["label"]]
    return "✓ right" if level["names"][label] == _said(level) else f"✗ it is {level['names'][label]}"


def verdicts(told: dict[str, Any]) -> list[str]:
    """Where the core and the full level part, and in a hierarchy whether family and class fit together; in sentences."""
    core, full = told["levels"][0], told["levels"][-1]
    if core["agrees"] is None:
        return ["The core learned other images: its answer cannot be compared with the full level's."]
    if core["of"] is None:
        same = "say the same" if core["agrees"] else "disagree: the core is not enough for this image"
        return [f"Core ({_said(core)}) and full level ({_said(full)}) {same}."]
    family = core["names"][core["of"][int(np.argmax(full["probabilities"]))]]
    fit = "they fit together" if core["agrees"] else f"they do not fit: {_said(full)} belongs to {family}"
    return [f"The core names the family {_said(core)}, the full level the class {_said(full)}; {fit}."]


def _parted(run: str) -> None:
    """The button that finds test images about which levels disagree, and what it found."""
    key = f"levels-parted-{run}"
    if not st.session_state.get(key):
        if st.button("Find test images where levels disagree", key="levels-find", icon=":material/compare_arrows:"):
            st.session_state[key] = True
            st.rerun()
        return
    found = answer(run, "levels-predict", "part", once=True)
    if found is None:
        return
    st.markdown(_parted_sentence(found))
    for start in range(0, min(12, len(found["rows"])), 6):
        for column, row in zip(st.columns(6), found["rows"][start : start + 6], strict=False):
            words = f"{row['index']}: " + " · ".join(
                names[said] for names, said in zip(found["names"], row["said"], strict=True)
            )
            column.button(
                words, key=f"levels-part-{row['index']}", width="stretch", on_click=_look_at, args=(row["index"],)
            )


def _parted_sentence(found: dict[str, Any]) -> str:
    rows, looked = found["rows"], found["looked"]
    if not rows:
        return f"Of the first {looked} test images every level says the same as the full one about all of them."
    more = f" The first {min(12, len(rows))}, with what each level says, core first:" if rows else ""
    return f"About {len(rows)} of the first {looked} test images ({sentences.percent(len(rows) / looked, 1)}) some level says something else than the full one.{more}"


def _look_at(index: int) -> None:
    st.session_state["levels-index"] = index
    st.session_state["levels-source"] = SOURCES[0]
