"""What all figures share: the palette and its dark twins, axes, direct labels, steering markers, thinning, a page of its own.

Categories are Okabe and Ito's, shares are cividis (Nuñez et al., 2018), and nothing is said by colour alone.
"""

from __future__ import annotations

import html
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

Spec = dict[str, Any]

INK, SOFT, LINE, GHOST, PAPER = "#22302a", "#5f6e66", "#dfe4de", "#b3bcb4", "#fbfaf7"
LEAF, LEAF_PALE, WOOD, DYING, PICKED = "#2f7d5b", "rgba(47,125,91,0.18)", "#6b5b4a", "#c8701a", "#b5518a"
BLUE, SKY, ORANGE, GREEN, ROSE, VERMILION = "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00"
LEVEL_HUES = [
    "#27306f",
    "#1d5a8a",
    "#1b7f86",
    "#2f8f5b",
    "#739a2c",
    "#b08a14",
]  # core to full, as dark as they are small
CLEAR = "rgba(0,0,0,0)"
DARK = {
    INK: "#e6ece8", SOFT: "#9aa9a2", LINE: "#2f3a3c", GHOST: "#56666a", PAPER: "#14191a", LEAF: "#5fbf93",
    LEAF_PALE: "rgba(95,191,147,0.22)", WOOD: "#b39a7e", DYING: "#f0a04b", PICKED: "#e6a3c8", BLUE: "#56B4E9",
    SKY: "#9fd4f2", GREEN: "#00B386", ROSE: "#E6A3C8", VERMILION: "#F0793A",
    **dict(zip(LEVEL_HUES, ("#9aa5f5", "#63b3ee", "#45c8c8", "#58c98a", "#a8cf58", "#d8b13c"), strict=True)),
}  # fmt: skip
CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"]
STAGE_LOOKS = [
    (BLUE, "solid"),
    (VERMILION, "dash"),
    (GREEN, "dot"),
    (ROSE, "dashdot"),
    (WOOD, "longdash"),
    (SKY, "solid"),
]
METHOD_LOOKS = {
    "dense": (WOOD, "square"),
    "ssl": (BLUE, "circle"),
    "sss": (LEAF, "triangle-up"),
    "nested": (VERMILION, "star"),
    "masks": (VERMILION, "star-open"),
    "slimming": (ROSE, "cross"),
    "l1": (SKY, "hexagon"),
    "prune": (ORANGE, "pentagon"),
    "scratch": (SOFT, "x"),
}
METHOD_NAMES = {
    "ssl": "SSL", "sss": "SSS", "nested": "NestedNet", "masks": "masks on weights", "slimming": "network slimming", "prune": "pruning by size",
    "dense": "dense", "scratch": "cut shape from scratch",
}  # fmt: skip


def level_colours(levels: int) -> list[str]:
    """One colour for each level of a nested network, core first; the ends are always the same."""
    return [LEVEL_HUES[round(k * (len(LEVEL_HUES) - 1) / max(1, levels - 1))] for k in range(levels)]


def figure(data: list[dict[str, Any]], layout: dict[str, Any], alt: str) -> Spec:
    return {"data": data, "layout": layout, "alt": alt}


def base_layout(**parts: Any) -> dict[str, Any]:
    hover = {"bgcolor": PAPER, "bordercolor": GHOST, "font": {"color": INK, "size": 12.5}}
    base = {
        "paper_bgcolor": CLEAR, "plot_bgcolor": CLEAR, "font": {"color": INK, "size": 12.5}, "showlegend": False,
        "hoverlabel": hover, "dragmode": "zoom", "modebar": {"bgcolor": CLEAR, "color": GHOST, "activecolor": INK},
    }  # fmt: skip
    return {**base, **parts}


def round_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks of a log axis from `low` to `high`, written out (`0.2`, `0.5`, `1`): 1, 2 and 5 of every decade; of many decades 1 alone."""
    decades = math.log10(high / low)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, max(1, round(decades / 6)))
    steps = (1, 2, 5) if high <= 150 * low else (1,)
    values = [m * 10.0**e for e in exponents for m in steps if 0.999 * low <= m * 10.0**e <= 1.001 * high]
    return {"tickvals": [float(f"{value:.1g}") for value in values], "ticktext": [f"{value:g}" for value in values]}


def titled_axis(title: str, **more: Any) -> dict[str, Any]:
    base = {
        "title": {"text": title, "font": {"size": 12, "color": SOFT}, "standoff": 6}, "tickfont": {"size": 11.5, "color": SOFT},
        "gridcolor": LINE, "linecolor": GHOST, "zeroline": False, "showgrid": not title.startswith("epoch"), "ticks": "",
    }  # fmt: skip
    return {**base, **{key: value for key, value in more.items() if value is not None}}


def epoch_axis(last: int, **more: Any) -> dict[str, Any]:
    """The axis of epochs up to `last`: whole numbers, also while there are only a few."""
    few = {"dtick": 1} if last < 6 else {}  # no fixed range: a changing one would undo a person's zoom
    return titled_axis("epoch", **more | few)


def rule(color: str, width: float, dash: str = "solid", **where: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"color": color, "width": width, "dash": dash}, **where}


def end_label(y: float, text: str, colour: str, axis: str) -> dict[str, Any]:
    """A direct label right of a line's end."""
    return {
        "x": 1, "xref": "paper", "y": y, "yref": axis, "text": text, "showarrow": False, "xanchor": "left", "align": "left", "xshift": 5,
        "font": {"size": 12, "color": colour},
    }  # fmt: skip


def spread_apart(ends: list[tuple[float, str, str]], gap: float | None = None) -> list[tuple[float, str, str]]:
    """Labels pushed apart upwards, from the lowest, so that none covers another."""
    ends = sorted(ends)
    if gap is None:
        gap = (ends[-1][0] - ends[0][0] + 1.0) * 0.075 if ends else 0
    placed: list[tuple[float, str, str]] = []
    for y, text, colour in ends:
        placed.append((max(y, placed[-1][0] + gap) if placed else y, text, colour))
    return placed


def with_markers(layout: dict[str, Any], markers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Steering events as dashed lines over the whole height, named at the top."""
    shapes, notes = list(layout.get("shapes", [])), list(layout.get("annotations", []))
    for marker in markers:
        x = marker["epoch"]
        shapes.append(rule(x0=x, x1=x, y0=0, y1=1, yref="paper", color=DYING, width=1.6, dash="dash"))
        notes.append(
            {"x": x, "y": 1, "yref": "paper", "text": html.escape(str(marker["label"])), "showarrow": False, "yanchor": "bottom",
             "font": {"size": 11, "color": DYING}}
        )  # fmt: skip
    margin = dict(layout["margin"])
    if markers:
        margin["t"] = max(margin["t"], 24)
    return {**layout, "shapes": shapes, "annotations": notes, "margin": margin}


def plain_numbers(column: pd.Series, digits: int) -> list[float | int | None]:
    """Rounded plain numbers; what is not finite is a gap."""
    values = [round(float(value), digits) if is_finite(value) else None for value in column]
    return [int(value) if digits == 0 and value is not None else value for value in values]


def is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(float(value))


def thinned(table: pd.DataFrame, at_most: int) -> pd.DataFrame:
    """Every k-th row and the last: the newest is always there, and what is there stays as the table grows."""
    return table.iloc[kept_places(len(table), at_most)]


def kept_places(count: int, at_most: int) -> list[int]:
    """Every k-th of so many places, and the last; at most so many of them, and at least two."""
    every = max(1, math.ceil((count - 1) / max(1, at_most - 1)))
    return sorted({*range(0, count, every), *range(max(0, count - 1), count)})


def colour_scale(colours: Sequence[str]) -> list[list[Any]]:
    return [[round(i / (len(colours) - 1), 4), colour] for i, colour in enumerate(colours)]


def along(epochs: Sequence[int]) -> dict[str, Any]:
    """Where a line's points stand: only the start where none is left out, which says the same in few bytes."""
    whole = all(after - before == 1 for before, after in itertools.pairwise(epochs))
    return {"x0": epochs[0], "dx": 1} if whole and len(epochs) > 1 else {"x": list(epochs)}


def figure_html(spec: Spec, title: str, conditions: str = "") -> str:
    """One figure as one file: plotly.js inside, nothing fetched. `conditions`: what its numbers hold for, in lines, below it."""
    under = "".join(f"<p>{html.escape(line)}</p>" for line in conditions.splitlines())
    inside = json.dumps(
        {"data": spec["data"], "layout": spec["layout"], "dark": DARK}, ensure_ascii=False, allow_nan=False
    )
    inside = inside.replace("</", "<\\/")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 0 auto; max-width: 1100px; padding: 24px 28px; font-family: system-ui, sans-serif; background: {PAPER}; color: {INK} }}
h1 {{ font-size: 22px; margin: 0 0 4px }} figure {{ margin: 0 }} figcaption, p {{ color: {SOFT}; margin: 0 0 8px }} p {{ margin: 4px 0 }} #chart {{ height: 520px }}
@media (prefers-color-scheme: dark) {{ body {{ background: {DARK[PAPER]}; color: {DARK[INK]} }} figcaption, p {{ color: {DARK[SOFT]} }} }}
</style></head>
<body><h1>{html.escape(title)}</h1>
<figure><figcaption>{html.escape(spec["alt"])}</figcaption><div id="chart" role="figure" aria-label="{html.escape(spec["alt"])}"></div></figure>
{under}
<script>{get_plotlyjs()}</script>
<script type="application/json" id="figure">{inside}</script>
<script>
const {{ data, layout, dark }} = JSON.parse(document.getElementById("figure").textContent);
const twin = matchMedia("(prefers-color-scheme: dark)").matches ? dark : {{}};
const recolour = (v) => typeof v === "string" ? twin[v] ?? v : Array.isArray(v) ? v.map(recolour)
  : v && typeof v === "object" ? Object.fromEntries(Object.entries(v).map(([k, x]) => [k, recolour(x)])) : v;
Plotly.newPlot("chart", recolour(data), recolour(layout), {{ displaylogo: false, responsive: true, modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d"], toImageButtonOptions: {{ format: "svg" }} }});
</script></body></html>
"""
