"""What the network says about one image now, and where it looks: answered by the inference lane in well under a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import sentences, theme
from app.app_pages.heat import picture
from app.guard import guarded
from app.runs import store, view_of
from core.errors import WrongMoment
from core.runs.lane_client import ask


def prediction(run: str) -> None:
    """The card, as a part of what looks at a living run again and again; while the lane wakes up, it looks by itself."""
    st.fragment(_answer, run_every=2.0 if st.session_state.get("lane-asleep") else None)(run)


@guarded
def _answer(run: str) -> None:
    view = view_of(run)
    with theme.card(
        "What does it say about this image now?",
        "One test image, asked of the newest checkpoint; orange pixels spoke for the answer, blue ones against it.",
        key="says",
    ):
        left, right = st.columns([1, 5], vertical_alignment="center")
        index = left.number_input(
            "Image",
            0,
            100_000,
            7,
            key="image-index",
            help="Number of a test image; counting starts over behind the last.",
        )
        try:
            answer = ask(store().root, "predict", folder=str(view.folder.path), index=int(index), timeout_s=1.0)
        except WrongMoment as problem:
            right.caption(str(problem))
            if st.session_state.pop("lane-asleep", False):
                st.rerun()  # no further look is needed
            return
        ready = answer is not None and not answer.get("busy")
        if ready:
            st.session_state["answer"] = (run, index, answer)
        kept = st.session_state.get("answer", ("", 0, {}))
        with right:
            if kept[:2] == (run, index):
                _show(kept[2])
            elif answer is None:
                st.caption("The inference lane is waking up; it answers in a few seconds.")
            else:
                st.caption("The inference lane is busy with another question; it answers the next time this looks.")
        if bool(st.session_state.get("lane-asleep")) == ready:
            st.session_state["lane-asleep"] = not ready
            st.rerun()


def _show(answer: dict[str, Any]) -> None:
    names, probabilities = answer["class_names"], answer["probabilities"]
    said, truth = names[answer["said"]], names[answer["label"]]
    image, looks, bars = st.columns([1, 1, 3], vertical_alignment="center")
    pixels = np.array(answer["pixels"], "u1")
    shown, looked = f"test image {answer['index']}: {truth}", "where it looks (integrated gradients)"
    image.image(picture(pixels, 8), caption=shown, alt=shown, width=150)
    looks.image(picture(np.array(answer["attribution"]), 8), caption=looked, alt=looked, width=150)
    right = "right" if said == truth else f"wrong, it is {truth}"
    with bars:
        st.markdown(
            f"After epoch {answer['epoch']} it says **{said}** with {sentences.percent(max(probabilities))}; that is {right}."
        )
        top = sorted(zip(names, probabilities, strict=True), key=lambda pair: -pair[1])[:5]
        st.dataframe(
            pd.DataFrame(top, columns=["class", "probability"]), hide_index=True, key="probabilities",
            column_config={"probability": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")},
        )  # fmt: skip
