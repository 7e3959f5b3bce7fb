"""A talk on the page: slides one can walk through, in place or over the whole screen; and the same as one HTML file.

The data: {"slides": [{"key", "title", "sentence", "footer", "notes", "figure" or "espalier", "still"}], "at": the slide shown, from 0,
"open": whether it fills the screen, "look": light or dark}. Figures wait for plotly.js (`live_chart.plotly_loader`).
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from app.components import espalier
from app.components.figure_parts import DARK
from app.components.scripts import component
from app.talk.slide import Slide

HERE = Path(__file__).parent
SCRIPT, PICTURE = ((HERE / f"{name}.js").read_text(encoding="utf-8") for name in ("talk", "talk_picture"))
STYLE = (HERE / "talk.css").read_text(encoding="utf-8")

_mount = component("talk", css=STYLE, js=SCRIPT, isolate_styles=False)


def talk(
    slides: Sequence[Slide], *, key: str, at: int, present: bool, look: str, on_at: Callable[[], None], on_entered: Callable[[], None],
    on_left: Callable[[], None],
) -> Any:  # fmt: skip
    """Shows the slide `at`. ``result.at`` is the one that was walked to; ``result.entered`` and ``result.left``, once, those at which the
    whole screen was entered (by its key) and left."""
    return _mount(
        key=key, data=_data(slides, look) | {"at": at, "open": present, "part": espalier.PART}, default={"at": at},
        on_at_change=on_at, on_entered_change=on_entered, on_left_change=on_left,
    )  # fmt: skip


def _data(slides: Sequence[Slide], look: str) -> dict[str, Any]:
    return {"slides": [asdict(slide) for slide in slides], "look": look, "dark": DARK}


def talk_html(slides: Sequence[Slide], title: str, look: str = "light", *, pictures: bool = False) -> str:
    """The talk as one file that fetches nothing: arrow keys walk, print gives a slide a page. `pictures`: it can also draw its slides as SVG."""
    inside = json.dumps(
        _data(slides, look) | {"alone": True, "part": "espalier"}, ensure_ascii=False, allow_nan=False
    ).replace("</", "<\\/")
    plotly = f"<script>{get_plotlyjs()}</script>" if any(slide.figure for slide in slides) else ""
    draws = "window.drawSlide = (number, how) => picture(data.slides[number], { ...how, part: data.part, dark: data.dark });"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
html, body {{ margin: 0; background: {"#14191a" if look == "dark" else "#ffffff"} }}
{espalier.STYLE}
{STYLE}
</style></head>
<body><main></main>
{plotly}
<script type="application/json" id="slides">{inside}</script>
<script type="module">
{espalier.SCRIPT}
window.espalierParts = {{ espalier: {{ draw: espalier, waits: [] }} }};
</script>
<script type="module">
{SCRIPT}
{PICTURE if pictures else ""}
const data = JSON.parse(document.getElementById("slides").textContent);
talk({{ data, parentElement: document.querySelector("main") }});
{draws if pictures else ""}
</script></body></html>
"""
