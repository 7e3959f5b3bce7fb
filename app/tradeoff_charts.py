"""The figure of the trade-offs, as data: points, bars of their seeds, thin paths of one method, the frontier, names beside them."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from app import labels, tradeoff_words
from app.components.figure_parts import (
    GHOST,
    INK,
    LEAF_PALE,
    METHOD_LOOKS,
    METHOD_NAMES,
    ORANGE,
    PICKED,
    ROSE,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    figure,
    is_finite,
    plain_numbers,
    round_ticks,
    titled_axis,
)

CONTROL_LOOKS = {
    "level alone": (WOOD, "diamond"), "student": (ORANGE, "triangle-down"), "random masks": (ROSE, "x-thin"), "L1-norm filters": (ORANGE, "pentagon"),
}  # fmt: skip
CONTROL_NAMES = {
    "level alone": "level alone",
    "student": "taught core",
    "random masks": "random masks",
    "L1-norm filters": "L1-norm filters",
}
AXES = {
    "macs": ("MACs left, % of dense", 100.0), "params": ("parameters left, % of dense", 100.0),
    "times": ("measured speed, times as fast as dense", 1.0), "ms": ("milliseconds a batch, compact network", 1.0),
}  # fmt: skip
MANY = 14  # points beyond which only those of the frontier and the selected one are named
WIDE, TALL = 800, 396  # the plot that names are placed for, without its margins; on a wider one there is more room
MARGIN = {"l": 58, "r": 22, "t": 40, "b": 44}
LEGEND_ROW = 24


def tradeoff(
    frame: pd.DataFrame,
    cost: str = "macs",
    *,
    log: bool = False,
    envelope: Sequence[str] = (),
    fade: bool = False,
    picked: str | None = None,
    plot: tuple[float, float] = (WIDE, TALL),
) -> Spec:
    """Test accuracy against a cost. Columns: key, label, method, source (ours, recorded, paper), accuracy, the cost's (`AXES`), with
    optional `_low` and `_high` of both, n, path, strength, comparable, citation.

    A thin line joins the points of one path in the order of their strengths; nothing else is joined. `envelope`: keys of the frontier,
    drawn as the area beneath it; `fade`: whether all others of one's own are pale; `picked`: the key of the selected point; `plot`: width and
    height in pixels that names are placed for.
    """
    table = frame.dropna(subset=[cost, "accuracy"]) if len(frame) and cost in frame else frame.iloc[:0]
    title, unit = AXES[cost]
    layout = base_layout(
        xaxis=titled_axis(title, type="log" if log else "linear"), yaxis=titled_axis("test accuracy, %"), margin=MARGIN,
        showlegend=True, legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}, dragmode="select", hovermode="closest",
    )  # fmt: skip
    if table.empty:
        return figure([], layout, tradeoff_words.sentence(frame, cost))
    across, up = _range(table, cost, unit, log), _range(table, "accuracy", 100.0, False)
    layout["xaxis"]["range"], layout["yaxis"]["range"] = across, up
    if log:
        layout["xaxis"] |= round_ticks(10.0 ** across[0], 10.0 ** across[1])
    data = _frontier(table, cost, unit, envelope, across, up, log) + _paths(table, cost, unit)
    for (source, method), group in table.groupby(["source", "method"], sort=False):
        data.append(_trace(group, str(source), str(method), cost, unit, set(envelope) if fade else None))
    layout["annotations"] = _names(table, cost, unit, across, up, log, envelope, fade, picked, plot)
    if picked in set(table["key"]):
        data.append(_ring(table[table["key"] == picked], cost, unit))
    layout["margin"] = MARGIN | {"t": MARGIN["t"] + LEGEND_ROW * (_legend_rows(data, plot[0]) - 1)}
    return figure(data, layout, tradeoff_words.sentence(table, cost))


def height_of(spec: Spec) -> int:
    """The figure's height in pixels: the plot that names were placed for, its axes and its legend."""
    margin: Mapping[str, int] = spec["layout"]["margin"]
    return TALL + margin["t"] + margin["b"]


def _legend_rows(data: Sequence[Mapping[str, Any]], width: float) -> int:
    """In how many rows the legend's entries stand side by side."""
    row, used = 1, 0.0
    for trace in data:
        wide = 56 + 6.8 * len(trace["name"]) if trace.get("showlegend", True) and "name" in trace else 0
        row, used = (row + 1, wide) if used + wide > width else (row, used + wide)
    return row


def look_of(method: str) -> tuple[str, str]:
    """Colour and symbol of a method or of a control."""
    return CONTROL_LOOKS.get(method) or METHOD_LOOKS.get(method, (SOFT, "hexagon"))


def _range(table: pd.DataFrame, name: str, unit: float, log: bool) -> list[float]:
    """The axis' two ends with room around points and, as far as these are no longer than the points are apart, bars; on a log axis
    as exponents."""
    middle = pd.to_numeric(table[name]) * unit
    bars = [column for column in (f"{name}_low", f"{name}_high") if column in table]
    ends = pd.concat([middle, *(pd.to_numeric(table[column]).dropna() * unit for column in bars)])
    apart = max(float(middle.max() - middle.min()), 0.2 * float(middle.max()))
    low, high = max(float(ends.min()), float(middle.min()) - apart), min(float(ends.max()), float(middle.max()) + apart)
    if log:
        low = low if low > 0 else float(middle[middle > 0].min())
        low, high = math.log10(low), math.log10(high)
    room = 0.09 * ((high - low) or (0.3 if log else max(abs(high) * 0.05, 1.0)))
    return [round(low - room if log else max(0.0, low - room), 4), round(high + room, 4)]


def _frontier(
    table: pd.DataFrame,
    cost: str,
    unit: float,
    envelope: Sequence[str],
    across: list[float],
    up: list[float],
    log: bool,
) -> list[dict[str, Any]]:
    """The area that the frontier's points beat: a step from one to the next, no line between methods."""
    rows = [row for key in envelope for row in table[table["key"] == key].to_dict("records")]
    if not rows:
        return []
    end = across[0] if cost == "times" else across[1]
    end = 10**end if log else end
    x = [rows[0][cost] * unit, *(row[cost] * unit for row in rows), end]
    y = [up[0], *(row["accuracy"] * 100 for row in rows), rows[-1]["accuracy"] * 100]
    base = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "legendgroup": "frontier"}
    floor = {
        **base,
        "x": [round(x[0], 4), round(end, 4)],
        "y": [up[0], up[0]],
        "line": {"width": 0, "color": GHOST},
        "showlegend": False,
    }
    step = {
        **base, "name": "beaten by one of these points (frontier)", "x": [round(v, 4) for v in x], "y": [round(v, 3) for v in y], "fill": "tonexty", "fillcolor": LEAF_PALE,
        "line": {"color": GHOST, "width": 1.2, "dash": "dot", "shape": "hv"},
    }  # fmt: skip
    return [floor, step]


def _paths(table: pd.DataFrame, cost: str, unit: float) -> list[dict[str, Any]]:
    """The thin lines: strengths of one family and method, or levels of one network."""
    if "path" not in table:
        return []
    lines = []
    for (_, method), group in table.dropna(subset=["path"]).groupby(["path", "method"], sort=False):
        ordered = group.sort_values("strength")
        if method == "random masks" or len(ordered) < 2:
            continue
        lines.append({
            "type": "scatter", "mode": "lines", "x": plain_numbers(ordered[cost] * unit, 3), "y": plain_numbers(ordered["accuracy"] * 100, 2),
            "line": {"color": look_of(str(method))[0], "width": 1}, "opacity": 0.6, "hoverinfo": "skip", "showlegend": False,
        })  # fmt: skip
    return lines


def _trace(
    group: pd.DataFrame, source: str, method: str, cost: str, unit: float, bright: Collection[str] | None
) -> dict[str, Any]:
    """The points of one method from one source; where `bright` is given, only these keys stand out."""
    colour, symbol = look_of(method)
    rows = group.to_dict("records")
    hollow = {"paper": "diamond-wide-open" if method == "dense" else "diamond-open", "recorded": f"{symbol}-open"}.get(
        source, symbol
    )
    name = CONTROL_NAMES.get(method) or METHOD_NAMES.get(method, method)
    shade = [1.0 if bright is None or source == "paper" or row["key"] in bright else 0.25 for row in rows]
    trace = {
        "type": "scatter", "mode": "markers", "name": name + {"paper": " (paper)", "recorded": " (recorded)"}.get(source, ""),
        "x": plain_numbers(group[cost] * unit, 3), "y": plain_numbers(group["accuracy"] * 100, 2),
        "customdata": [[row["key"], html.escape(str(row["label"])), _note(row)] for row in rows], "cliponaxis": False,
        "marker": {"symbol": hollow, "size": 10, "color": colour, "line": {"width": 2, "color": colour}, "opacity": shade},
        "selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 0.3}},
        "hovertemplate": f"%{{customdata[1]}}<br>%{{y:.2f}} % {_at(cost)}%{{customdata[2]}}<extra></extra>",
    }  # fmt: skip
    for axis, column, scale in (("error_y", "accuracy", 100.0), ("error_x", cost, unit)):
        low, high = f"{column}_low", f"{column}_high"
        if {low, high} <= set(group.columns) and group[low].notna().any():
            trace[axis] = {
                "type": "data", "symmetric": False, "array": _bar(group[high] - group[column], scale), "arrayminus": _bar(group[column] - group[low], scale),
                "color": colour, "thickness": 1.2, "width": 3,
            }  # fmt: skip
    return trace


def _bar(lengths: pd.Series, scale: float) -> list[float]:
    """Lengths of bars; none where there is no spread."""
    return [round(float(value) * scale, 4) if is_finite(value) and value > 0 else 0.0 for value in lengths]


def _at(cost: str) -> str:
    return {
        "macs": "at %{x:.1f} % of the MACs", "params": "at %{x:.1f} % of the parameters", "times": "at %{x:.2f} × the speed of dense", "ms": "in %{x:.3g} ms a batch",
    }[cost]  # fmt: skip


def _note(row: Mapping[str, Any]) -> str:
    """Under a point's numbers: strength, seeds and what the bars are, or where a paper prints it."""
    parts = [
        f"strength {row['strength']:.3g}" if is_finite(row.get("strength")) and row["role"] == "method" and row["method"] != "nested" else "",
        f"n = {int(row['n'])}, bars: {row['spread']}" if is_finite(row.get("n")) and row["n"] > 1 else "one run" if is_finite(row.get("n")) else "",
        html.escape(row["citation"]) if isinstance(row.get("citation"), str) else "",
    ]  # fmt: skip
    return "".join(f"<br>{part}" for part in parts if part)


def _ring(group: pd.DataFrame, cost: str, unit: float) -> dict[str, Any]:
    """A ring around the selected point."""
    return {
        "type": "scatter", "mode": "markers", "x": plain_numbers(group[cost] * unit, 3), "y": plain_numbers(group["accuracy"] * 100, 2), "hoverinfo": "skip",
        "showlegend": False, "cliponaxis": False, "marker": {"symbol": "circle-open", "size": 20, "color": PICKED, "line": {"width": 2, "color": PICKED}},
    }  # fmt: skip


def _names(
    table: pd.DataFrame,
    cost: str,
    unit: float,
    across: list[float],
    up: list[float],
    log: bool,
    envelope: Sequence[str],
    fade: bool,
    picked: str | None,
    plot: tuple[float, float],
) -> list[dict[str, Any]]:
    """Names beside the points, the selected one's and the frontier's first; of many points only these."""
    rows, first = table.to_dict("records"), [picked, *envelope]
    width, height = plot
    xs = [math.log10(row[cost] * unit) if log else row[cost] * unit for row in rows]
    spots = [
        ((x - across[0]) / (across[1] - across[0]) * width, (up[1] - row["accuracy"] * 100) / (up[1] - up[0]) * height)
        for x, row in zip(xs, rows, strict=True)
    ]
    ranks = [first.index(row["key"]) if row["key"] in first else len(first) for row in rows]
    order = sorted(
        (i for i in range(len(rows)) if ranks[i] < len(first) or not (fade or len(rows) > MANY)), key=ranks.__getitem__
    )
    words, notes = [str(row["label"]).removeprefix("strength ") for row in rows], []
    bars = _bars(rows, cost, unit, across, up, plot) if not log else []
    edges = bars + _edges(
        [spots[[row["key"] for row in rows].index(key)] for key in envelope], plot, back=cost == "times"
    )
    for label in labels.placed(spots, words, width, height, order, edges):
        x, y = spots[label.point]
        row = rows[label.point]
        middle_x, middle_y = (label.box.left + label.box.right) / 2, (label.box.top + label.box.bottom) / 2
        note = {
            "x": round(xs[label.point], 5), "y": round(row["accuracy"] * 100, 3), "text": html.escape(label.text), "borderpad": 0,
            "font": {"size": 11, "color": INK if row["key"] == picked else SOFT}, "captureevents": False,
        }  # fmt: skip
        if label.leads:
            note |= {
                "showarrow": True,
                "arrowhead": 0,
                "arrowwidth": 0.8,
                "arrowcolor": GHOST,
                "standoff": 6,
                "ax": round(middle_x - x),
                "ay": round(middle_y - y),
            }
        else:
            note |= {
                "showarrow": False,
                "xanchor": "center",
                "yanchor": "middle",
                "xshift": round(middle_x - x),
                "yshift": round(y - middle_y),
            }
        notes.append(note)
    return notes


def _edges(corners: Sequence[tuple[float, float]], plot: tuple[float, float], back: bool) -> list[labels.Box]:
    """The frontier's dotted steps in pixels, for names to keep off."""
    found = []
    for k, (x, y) in enumerate(corners):
        end = corners[k + 1][0] if k + 1 < len(corners) else 0.0 if back else plot[0]
        below = corners[k - 1][1] if k else plot[1]
        found += [labels.Box(min(x, end), y - 2, max(x, end), y + 2), labels.Box(x - 2, y, x + 2, below)]
    return found


def _bars(
    rows: Sequence[Mapping[str, Any]],
    cost: str,
    unit: float,
    across: list[float],
    up: list[float],
    plot: tuple[float, float],
) -> list[labels.Box]:
    """The bars of the points in pixels, for names to keep off."""
    found = []
    wide, tall = plot[0] / (across[1] - across[0]), plot[1] / (up[1] - up[0])
    for row in rows:
        x, y = (row[cost] * unit - across[0]) * wide, (up[1] - row["accuracy"] * 100) * tall
        if is_finite(row.get(f"{cost}_low")):
            ends = [(row[f"{cost}_{end}"] * unit - across[0]) * wide for end in ("low", "high")]
            found.append(labels.Box(ends[0], y - 3, ends[1], y + 3))
        if is_finite(row.get("accuracy_low")):
            ends = [(up[1] - row[f"accuracy_{end}"] * 100) * tall for end in ("high", "low")]
            found.append(labels.Box(x - 3, ends[0], x + 3, ends[1]))
    return found
