"""PowerPoint's own charts of a slide's figure, to edit: points of a trade-off with their bars, or horizontal bars. From the Plotly spec."""

from __future__ import annotations

from typing import Any

from app.talk import deck_bars, deck_points
from app.talk.slide import Slide


def fits(slide: Slide) -> bool:
    """Whether PowerPoint can draw the figure as it is meant: on linear axes only."""
    if not slide.native or slide.figure is None:
        return False
    layout = slide.figure["layout"]
    return all(layout.get(axis, {}).get("type") in (None, "linear", "category") for axis in ("xaxis", "yaxis"))


def add(page: Any, slide: Slide, left: int, top: int, width: int, height: int) -> Any:
    """The chart on a PowerPoint slide: its frame. Lengths in PowerPoint's own unit."""
    draw = deck_points.points if slide.native == "points" else deck_bars.bars
    return draw(page, slide.figure or {}, left, top, width, height)
