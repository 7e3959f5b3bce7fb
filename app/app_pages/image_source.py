"""Where an image to ask about comes from: test images by number, a person's file, or a drawing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from app.components.draw_pad import draw_pad
from app.pictures import pixels_of
from app.runs import RunView
from core.data.names import DATASETS
from core.errors import BadInput

SOURCES = ("Test image", "Upload", "Draw")


def image_source(view: RunView, name: str, of_tests: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """What to ask the lane: what `of_tests` gives for test images, or {pixels}; None before there is one. `name`: begins the keys."""
    source = st.segmented_control(
        "Image from", SOURCES, default=SOURCES[0], key=f"{name}-source", label_visibility="collapsed"
    )
    shape = shape_of(view)
    if source == "Upload":
        return _upload(shape, name)
    return _drawn(shape, name) if source == "Draw" else of_tests()


def _upload(shape: tuple[int, int, int], name: str) -> dict[str, Any] | None:
    file = st.file_uploader(
        "A picture", type=None, key=f"{name}-upload", label_visibility="collapsed", max_upload_size=20
    )
    swapped = shape[0] == 1 and st.toggle(
        "Dark on light",
        value=True,
        key=f"{name}-swap",
        help="Swaps dark and light: the network learned light strokes on dark.",
    )
    if file is None:
        return None
    try:
        return _sent(pixels_of(file.getvalue(), shape, swapped))
    except BadInput as problem:
        st.error(f"{str(problem)[0].upper()}{str(problem)[1:]}.", icon=":material/error:")
        return None


def _drawn(shape: tuple[int, int, int], name: str) -> dict[str, Any] | None:
    ink, paper = "#ffffff", "#000000"
    if shape[0] > 1:
        one, two = st.columns(2)
        ink, paper = (
            one.color_picker("Pen", "#d03030", key=f"{name}-pen"),
            two.color_picker("Ground", "#e8e4d8", key=f"{name}-ground"),
        )
    drawn = draw_pad(shape, ink=ink, paper=paper, key=f"{name}-pad")
    return None if drawn is None else _sent(drawn)


def _sent(pixels: np.ndarray) -> dict[str, Any]:
    return {"pixels": base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()}


def shape_of(view: RunView) -> tuple[int, int, int]:
    """(C, H, W) of the run's images."""
    data = view.started.get("data") or {}
    channels, height, width = data.get("shape") or DATASETS[view.started["config"]["dataset"]].shape
    return channels, height, width
