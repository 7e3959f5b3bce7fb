"""Pictures side by side as a figure, so that they leave as every other figure does: kernels, feature maps, attributions."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image

from app.components.figure_parts import INK, SOFT, Spec, base_layout, figure

WIDE, TALL = (
    590.0,
    262.0,
)  # pixels of a slide's plot, which words of 12 pixels are placed for; a larger one has larger pictures
GAP, LINE, LETTER = 14.0, 17.5, 6.6  # pixels between pictures, of a line of words, of a letter
Row = tuple[str, Sequence[tuple[str, np.ndarray]]]


def pictures(rows: Sequence[Row], alt: str) -> Spec:
    """Rows of (title, pictures with their captions); a picture is (H, W, 3 or 4) uint8 and keeps its pixels; captions are wrapped."""
    columns = max(len(cells) for _, cells in rows)
    room = (WIDE + GAP) / columns - GAP
    said = [[_wrapped(caption, room) for caption, _ in cells] for _, cells in rows]
    words = sum(
        LINE * (max(map(len, lines), default=0) + bool(title)) + GAP
        for lines, (title, _) in zip(said, rows, strict=True)
    )
    scale = _scale(rows, room, TALL - words)
    images, notes, top = [], [], 0.0
    for lines, (title, cells) in zip(said, rows, strict=True):
        if title:
            notes.append(_note(html.escape(title), 0.0, top, INK))
            top += LINE + 2
        tall = max(scale * len(array) for _, array in cells)
        for k, (_, array) in enumerate(cells):
            left = k * (room + GAP)
            images.append({
                "source": data_url(array), "xref": "x", "yref": "y", "x": round(left, 1), "y": round(top, 1), "xanchor": "left", "yanchor": "top",
                "sizex": round(scale * array.shape[1], 2), "sizey": round(scale * len(array), 2), "sizing": "stretch", "layer": "above",
            })  # fmt: skip
            if lines[k]:
                notes.append(_note("<br>".join(map(html.escape, lines[k])), left, top + tall + 2, SOFT))
        top += tall + LINE * max(map(len, lines)) + GAP
    flat = {"visible": False, "fixedrange": True}
    layout = base_layout(
        xaxis={**flat, "range": [0, WIDE]}, yaxis={**flat, "range": [round(top, 1), 0], "scaleanchor": "x", "scaleratio": 1},
        images=images, annotations=notes, margin={"l": 4, "r": 4, "t": 4, "b": 4},
    )  # fmt: skip
    return figure([], layout, alt)


def _wrapped(caption: str, room: float) -> list[str]:
    """A caption in lines that are no wider than its picture's column."""
    return [part for line in caption.splitlines() for part in textwrap.wrap(line, max(6, int(room / LETTER)))]


def _scale(rows: Sequence[Row], room: float, free: float) -> float:
    """By how much all pictures are enlarged alike, so that the widest fits its column, and all rows what height the words leave."""
    widest = max(array.shape[1] for _, cells in rows for _, array in cells)
    tall = sum(max(len(array) for _, array in cells) for _, cells in rows)
    return min(room / widest, max(free, 0.4 * TALL) / tall)


def data_url(array: np.ndarray) -> str:
    """A picture as a PNG in an address."""
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _note(text: str, x: float, y: float, colour: str) -> dict[str, object]:
    return {
        "x": round(x, 1), "y": round(y, 1), "text": text, "showarrow": False, "xanchor": "left", "yanchor": "top", "align": "left",
        "font": {"size": 12, "color": colour}, "borderpad": 0,
    }  # fmt: skip
