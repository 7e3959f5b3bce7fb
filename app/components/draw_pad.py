"""A pad to draw an image on, with a mouse, a finger or the keyboard; what it gives is the image at the data set's size."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import streamlit as st

HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "draw_pad",
    css=(HERE / "draw_pad.css").read_text(encoding="utf-8"),
    js=(HERE / "draw_pad.js").read_text(encoding="utf-8"),
)


def draw_pad(shape: tuple[int, int, int], *, ink: str, paper: str, key: str) -> np.ndarray | None:
    """The drawing at a data set's `shape` (C, H, W): (H, W, C), uint8; None before the first stroke. Colours as `#rrggbb`."""
    channels, height, width = shape
    result = _mount(
        key=key, data={"height": height, "width": width, "ink": ink, "paper": paper}, default={"pixels": ""}, on_pixels_change=lambda: None,
    )  # fmt: skip
    drawn = base64.b64decode(result.pixels or "")
    if len(drawn) != height * width * 3:
        return None
    return np.frombuffer(drawn, "u1").reshape(height, width, 3)[..., :channels]
