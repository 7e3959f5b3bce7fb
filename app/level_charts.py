"""Figures of nested levels, as data; see `charts`. One colour a level, from the core on."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from app import level_sentences
from app.components.figure_parts import (
    CLEAR,
    GHOST,
    INK,
    LINE,
    METHOD_LOOKS,
    ORANGE,
    PAPER,
    ROSE,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    end_label,
    epoch_axis,
    figure,
    level_colours,
    plain_numbers,
    rule,
    spread_apart,
    thinned,
    titled_axis,
)
from app.level_words import level_name, shown_layers

MAX_TICKS = 24
UNEVEN = 20
LOG_BELOW = 12  # percent: smaller shares need a log axis
COSTS = {
    "macs": "MACs, % of the full level", "weights": "weights kept, % of the full level", "speed": "times as fast as the full level, measured",
}  # fmt: skip


def nested_bands(
    bands: Sequence[Mapping[str, Any]], masked: bool, names: Sequence[str], stages: Sequence[tuple[str, int]] = ()
) -> Spec:
    """Of every layer a band for each level, drawn inside the next larger one: channels, or, masked, the share of weights.

    Where layers differ more than UNEVEN times in width, channels are shown as shares of their layer. `names`: of the shown layers;
    `stages`: (name, number of shown layers), in order.
    """
    layers = shown_layers(bands, masked)
    levels = len(layers[0]["units"]["kept"]) if layers else 0
    totals = [layer["units"]["total"] for layer in layers]
    uneven = bool(totals) and max(totals) > UNEVEN * min(totals)
    colours, data = level_colours(levels), []
    for level in reversed(range(levels)):
        kept = [layer["units"]["kept"][level] for layer in layers]
        share = [layer["weights"]["kept"][level] / layer["weights"]["total"] for layer in layers]
        data.append({
            "type": "bar", "name": f"level {level_name(level, levels)}", "x": list(range(len(layers))),
            "y": [round(100 * part, 2) for part in share] if masked
            else [round(100 * units / total, 2) for units, total in zip(kept, totals, strict=True)] if uneven else kept,
            "width": round(0.3 + 0.64 * level / max(1, levels - 1), 3), "marker": {"color": colours[level], "line": {"width": 0.6, "color": PAPER}},
            "customdata": [
                [html.escape(name), f"{units} of {layer['units']['total']}", f"{part:.0%}".replace("%", " %")]
                for name, units, layer, part in zip(names, kept, layers, share, strict=True)
            ],
            "hovertemplate": "%{customdata[0]}<br>" + f"level {level_name(level, levels)}: "
            + "%{customdata[1]} channels, %{customdata[2]} of the weights<extra></extra>",
        })  # fmt: skip
    step = max(1, math.ceil(len(layers) / MAX_TICKS))
    shapes, notes, at = [], [], 0
    for name, count in stages:
        if at:
            shapes.append(rule(x0=at - 0.5, x1=at - 0.5, y0=0, y1=1, yref="paper", color=LINE, width=1.4))
        if name:
            notes.append({"text": html.escape(name), "x": at - 0.4, "y": 1, "yref": "paper", "xanchor": "left", "yanchor": "bottom",
                          "showarrow": False, "font": {"size": 11.5, "color": SOFT}})  # fmt: skip
        at += count
    layout = base_layout(
        barmode="overlay", shapes=shapes, annotations=notes, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": -0.34, "yanchor": "top", "traceorder": "reversed", "itemclick": False, "itemdoubleclick": False},
        xaxis=titled_axis("", tickvals=list(range(0, len(layers), step)), ticktext=list(names[::step]), tickangle=-45, showgrid=False,
                          range=[-0.6, len(layers) - 0.4], automargin=True),
        yaxis=titled_axis("weights kept, %" if masked else "channels kept, %", range=[0, 104]) if masked or uneven
        else titled_axis("channels", rangemode="tozero"),
        margin={"l": 56, "r": 12, "t": 24, "b": 60},
    )  # fmt: skip
    return figure(data, layout, level_sentences.bands_sentence(layers, masked))


def accuracy_against_cost(
    frame: pd.DataFrame,
    consensus: Mapping[str, float | None],
    alone: pd.DataFrame,
    papers: pd.DataFrame,
    by: str = "macs",
    others: pd.DataFrame | None = None,
    *,
    apart: float = 0.15,
) -> Spec:
    """Test accuracy of every level against its share of the MACs or of the weights, or how many times as fast it is (`by`, of COSTS).

    `frame`: level, accuracy, task (what it tells apart), macs and weights (0-1), measured, low, high, n; `alone`: level, accuracy, runs; `papers`: label,
    method, accuracy, left, citation; `others`: name, accuracy, macs and weights of what else is compared. Consensus as horizontal marks. A line joins levels with the same task, and nothing else.
    `apart`: the share of the heights by which the names of the marks stand apart at least.
    """
    levels, speed = len(frame), by == "speed"
    colours = level_colours(levels)
    place = {row["level"]: (row["measured"] if speed else 100 * row[by]) for row in frame.to_dict("records")}
    data: list[dict[str, Any]] = []
    for _, group in frame.groupby("task", sort=False):
        data.append({
            "type": "scatter", "mode": "lines", "x": [round(place[k], 3) for k in group["level"]], "y": plain_numbers(group["accuracy"] * 100, 2),
            "line": {"color": METHOD_LOOKS["nested"][0], "width": 1.2}, "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
    several = frame["task"].nunique() > 1
    nested = {
        "type": "scatter", "mode": "markers+text", "name": "levels of this run", "x": [round(place[k], 3) for k in frame["level"]],
        "y": plain_numbers(frame["accuracy"] * 100, 2), "cliponaxis": False,
        "text": [level_name(k, levels) + (f", {task}" if several else "") for k, task in zip(frame["level"], frame["task"], strict=True)],
        "textposition": [_side(row, alone) for row in frame.to_dict("records")], "textfont": {"size": 12, "color": INK}, "customdata": _costs(frame),
        "marker": {"symbol": "star", "size": 14, "color": colours, "line": {"width": 1, "color": PAPER}},
        "hovertemplate": "level %{text}<br>%{y:.2f} % test accuracy%{customdata}<extra></extra>",
    }  # fmt: skip
    if speed:
        nested["error_x"] = {
            "type": "data", "symmetric": False, "array": plain_numbers(frame["high"] - frame["measured"], 3),
            "arrayminus": plain_numbers(frame["measured"] - frame["low"], 3), "color": SOFT, "thickness": 1.4, "width": 4,
        }  # fmt: skip
    data.append(nested)
    if len(alone):
        data.append({
            "type": "scatter", "mode": "markers", "name": "the same network trained alone", "x": [round(place[k], 3) for k in alone["level"]],
            "y": plain_numbers(alone["accuracy"] * 100, 2), "cliponaxis": False,
            "customdata": [[level_name(k, levels), n] for k, n in zip(alone["level"], alone["runs"], strict=True)],
            "marker": {"symbol": "square", "size": 10, "color": WOOD},
            "hovertemplate": "level %{customdata[0]} alone<br>%{y:.2f} % test accuracy, runs: %{customdata[1]}<extra></extra>",
        })  # fmt: skip
    for name, group in others.groupby("name", sort=False) if others is not None and not speed else ():
        data.append({
            "type": "scatter", "mode": "markers", "name": str(name), "x": plain_numbers(group[by] * 100, 2),
            "y": plain_numbers(group["accuracy"] * 100, 2), "cliponaxis": False,
            "marker": {"symbol": "x-thin", "size": 9, "color": ROSE, "line": {"width": 2.4, "color": ROSE}} if name == "random masks"
            else {"symbol": {"L1-norm filters": "pentagon"}.get(str(name), "triangle-down"), "size": 10, "color": ORANGE},
            "hovertemplate": f"{html.escape(str(name))}<br>%{{y:.2f}} % test accuracy<extra></extra>",
        })  # fmt: skip
    for method, group in papers.groupby("method", sort=False) if len(papers) and not speed else ():
        colour, _ = METHOD_LOOKS.get(str(method), (SOFT, ""))
        data.append({
            "type": "scatter", "mode": "markers", "name": {"nested": "NestedNet (paper)", "dense": "alone (paper)"}.get(str(method), "others (paper)"),
            "x": plain_numbers(group["left"] * 100, 2), "y": plain_numbers(group["accuracy"] * 100, 2), "cliponaxis": False,
            "customdata": [[html.escape(a), html.escape(b)] for a, b in zip(group["label"], group["citation"], strict=True)],
            "marker": {"symbol": "diamond-open", "size": 10, "color": colour, "line": {"width": 2, "color": colour}},
            "hovertemplate": "%{customdata[0]}<br>%{y:.1f} %<br>%{customdata[1]}<extra></extra>",
        })  # fmt: skip
    marks = [
        (100 * value, f"{word}<br>{value:.1%}".replace("%", " %"))
        for word, value in consensus.items()
        if value is not None
    ]
    shapes = [rule(xref="paper", x0=0, x1=1, y0=y, y1=y, color=SOFT, width=1.3, dash="dot") for y, _ in marks]
    points = [*frame["accuracy"], *alone["accuracy"]] if len(alone) else [*frame["accuracy"]]
    points += [] if others is None or speed else [*others["accuracy"]]
    heights = [*(100 * value for value in points), *(y for y, _ in marks)]
    gap = max(1.0, max(heights) - min(heights)) * apart
    notes = [end_label(y, text, SOFT, "y") for y, text, _ in spread_apart([(y, text, SOFT) for y, text in marks], gap)]
    if speed:
        axis = titled_axis(COSTS[by], ticksuffix=" ×")
    elif min(place.values()) < LOG_BELOW:
        axis = titled_axis(f"{COSTS[by]}, log scale", type="log", tickvals=[1, 2, 5, 10, 20, 50, 100])
    else:
        axis = titled_axis(COSTS[by], range=[0, 106])
    layout = base_layout(
        xaxis=axis, yaxis=titled_axis("test accuracy, %"), shapes=shapes, annotations=notes, showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False},
        margin={"l": 56, "r": 92 if marks else 40, "t": 40, "b": 46},
    )  # fmt: skip
    return figure(data, layout, level_sentences.cost_sentence(frame, consensus, alone))


def _side(row: Mapping[str, Any], alone: pd.DataFrame) -> str:
    """A level's name stands on the side where its network trained alone does not."""
    other = alone.loc[alone["level"] == row["level"], "accuracy"] if len(alone) else pd.Series(dtype=float)
    return "bottom center" if len(other) and float(other.iloc[0]) > row["accuracy"] else "top center"


def _costs(frame: pd.DataFrame) -> list[str]:
    out = []
    for row in frame.to_dict("records"):
        fast = (
            f"<br>{row['measured']:.2f} × as fast ({row['low']:.2f}-{row['high']:.2f}, n = {int(row['n'])})"
            if row["n"]
            else ""
        )
        out.append(f"<br>{row['macs']:.1%} of the MACs".replace("%", " %") + fast)
    return out


def level_lines(epochs: Sequence[Mapping[str, Any]]) -> Spec:
    """Validation accuracy of every level by epoch. `epochs`: epoch and levels (0-1, core first) of each."""
    rows = [{"epoch": e["epoch"], **dict(enumerate(e["levels"]))} for e in epochs if e.get("levels")]
    table = thinned(pd.DataFrame(rows), 600) if rows else pd.DataFrame({"epoch": []})
    levels = [column for column in table.columns if column != "epoch"]
    data, ends = [], []
    for level, colour in zip(levels, level_colours(len(levels)), strict=True):
        name, last = level_name(int(level), len(levels)), float(table[level].iloc[-1]) * 100
        data.append({
            "type": "scatter", "mode": "lines" if len(table) > 2 else "lines+markers", "name": f"level {name}", "x": plain_numbers(table["epoch"], 0),
            "y": plain_numbers(table[level] * 100, 2), "line": {"color": colour, "width": 2.2},
            "hovertemplate": f"level {name}: %{{y:.1f}} %<extra></extra>",
        })  # fmt: skip
        ends.append((last, f"{name}  {last:.1f} %", colour))
    low = float(table[levels].to_numpy().min()) * 100 if levels else 0.0
    gap = max(1.0, max((end[0] for end in ends), default=0.0) - low) * 0.08
    layout = base_layout(
        xaxis=epoch_axis(int(table["epoch"].max()) if len(table) else 0, rangemode="tozero"), yaxis=titled_axis("validation accuracy, %"),
        annotations=[end_label(y, text, colour, "y") for y, text, colour in spread_apart(ends, gap)], hovermode="x unified",
        margin={"l": 52, "r": 104, "t": 14, "b": 40},
    )  # fmt: skip
    return figure(data, layout, level_sentences.lines_sentence(table, len(levels)))


def family_accuracy(family: Mapping[str, Any], levels: int) -> Spec:
    """Of every family a row: the level's coarse answer, the family of the full level's answer, and its fine answer."""
    order = sorted(range(len(family["names"])), key=lambda i: family["coarse"][i])
    names = [html.escape(family["names"][i]) for i in order]
    level = family["level"]
    mine, full = level_colours(levels)[level], level_colours(levels)[-1]
    shapes = [
        rule(
            x0=100 * family["mapped"][i],
            x1=100 * family["coarse"][i],
            y0=name,
            y1=name,
            color=GHOST,
            width=2,
            layer="below",
        )
        for i, name in zip(order, names, strict=True)
    ]
    data = [
        {
            "type": "scatter", "mode": "markers", "name": word, "y": names, "x": [round(100 * family[key][i], 2) for i in order],
            "customdata": [family["images"][i] for i in order], "cliponaxis": False, "marker": {"size": 11, **marker},
            "hovertemplate": f"%{{y}}: {word} right on %{{x:.1f}} % of %{{customdata}} images<extra></extra>",
        }
        for key, word, marker in (
            ("fine", "full level, exact class", {"symbol": "diamond-open", "color": full, "line": {"width": 2, "color": full}}),
            ("mapped", "full level, family of its class", {"symbol": "diamond", "color": full}),
            ("coarse", f"level {level_name(level, levels)}, family", {"symbol": "circle", "color": mine}),
        )
    ]  # fmt: skip
    layout = base_layout(
        xaxis=titled_axis("test images answered rightly, %", showgrid=True), shapes=shapes,
        yaxis=titled_axis("", type="category", automargin=True, showgrid=True, range=[-0.6, len(names) - 0.4]), showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False},
        margin={"l": 90, "r": 24, "t": 40, "b": 44}, plot_bgcolor=CLEAR,
    )  # fmt: skip
    return figure(data, layout, level_sentences.family_sentence(family, levels))
