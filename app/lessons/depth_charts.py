"""Figures of the lesson on depth, as data: streams and branches, choices of blocks, deaths by seed, what papers left, what blocks cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app import sentences
from app.components.figure_parts import (
    CLEAR,
    DYING,
    GHOST,
    INK,
    LEAF,
    LEAF_PALE,
    PICKED,
    SOFT,
    WOOD,
    Spec,
    base_layout,
    figure,
    titled_axis,
)

LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}


def label(block: str) -> str:
    """`1.2` of `stage1.1`, as everywhere on screen."""
    stage, _, place = block.removeprefix("stage").partition(".")
    return f"{stage}.{int(place) + 1}"


def stream_bars(rows: Sequence[Mapping[str, Any]], chosen: str) -> Spec:
    """Of every block what the skip path brings and what the branch adds, root mean squares; one block is pointed at."""
    names = [label(row["block"]) for row in rows]
    bar = {"type": "bar", "x": names, "hovertemplate": "block %{x}: %{y:.3f}<extra>%{fullData.name}</extra>"}
    most = max(max(row["branch"], row["skip"]) for row in rows)
    data = [
        {**bar, "name": "comes in by the skip path", "y": [round(row["skip"], 4) for row in rows], "marker": {"color": WOOD}},
        {**bar, "name": "the branch adds", "y": [round(row["branch"], 4) for row in rows], "marker": {"color": LEAF}},
    ]  # fmt: skip
    notes = [
        {"x": place + 0.17, "y": 0, "text": "<b>0</b>", "showarrow": False, "yanchor": "bottom", "font": {"size": 13, "color": DYING}}
        for place, row in enumerate(rows) if row["branch"] == 0
    ]  # fmt: skip
    place = names.index(label(chosen))
    layout = base_layout(
        barmode="group", bargap=0.3, annotations=notes, showlegend=True, legend=LEGEND,
        shapes=[{"type": "rect", "x0": place - 0.5, "x1": place + 0.5, "y0": 0, "y1": 1, "yref": "paper", "line": {"width": 0}, "fillcolor": PICKED, "opacity": 0.14, "layer": "below"}],
        xaxis=titled_axis("block", type="category", showgrid=False), yaxis=titled_axis("root mean square, test images", range=[0, 1.06 * most]),
        margin={"l": 52, "r": 12, "t": 34, "b": 40},
    )  # fmt: skip
    row = next(row for row in rows if row["block"] == chosen)
    said = "adds nothing at all" if row["branch"] == 0 else f"adds {row['branch']:.3f}"
    return figure(
        data, layout, f"In block {label(chosen)} the skip path brings {row['skip']:.3f} and the branch {said}."
    )


def choices_cloud(told: Mapping[str, Any], chosen: Mapping[str, Any], revealed: bool) -> Spec:
    """Test accuracy against MACs of every choice of blocks crossed out; the chosen one large. Before the reveal only the whole network."""
    rows, images = told["rows"], told["images"]
    point = {
        "type": "scatter",
        "mode": "markers",
        "hovertemplate": "%{text}<br>%{y:.1f} % at %{x:.0f} % of the MACs<extra></extra>",
        "cliponaxis": False,
    }
    whole = rows[0]

    def places(some: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "x": [round(100 * row["macs"] / told["macs"], 2) for row in some], "y": [round(100 * row["right"] / images, 2) for row in some],
            "text": [without(row["gone"]) for row in some],
        }  # fmt: skip

    data = [
        {**point, **places([whole]), "name": "as trained", "marker": {"symbol": "square", "size": 11, "color": WOOD}}
    ]
    if revealed:
        data.insert(
            0,
            {
                **point,
                **places(rows[1:]),
                "name": f"every other choice ({len(rows) - 1})",
                "marker": {"symbol": "circle-open", "size": 6, "color": GHOST},
            },
        )
        if chosen["gone"]:
            data.append(
                {
                    **point,
                    **places([chosen]),
                    "name": "your choice",
                    "marker": {"symbol": "circle", "size": 13, "color": LEAF},
                }
            )
    layout = base_layout(
        showlegend=True, legend=LEGEND, hovermode="closest",
        xaxis=titled_axis("MACs left, % of the dense network", range=[0, 36]), yaxis=titled_axis("test accuracy, %", range=[0, 104]),
        margin={"l": 52, "r": 14, "t": 34, "b": 42},
    )  # fmt: skip
    words = f"As trained, {sentences.percent(whole['right'] / images, 1)} of {images} test images are right at {sentences.percent(whole['macs'] / told['macs'])} of the MACs."
    if revealed and chosen["gone"]:
        words = (
            f"{without(chosen['gone']).capitalize()}: {sentences.percent(chosen['right'] / images, 1)} right at {sentences.percent(chosen['macs'] / told['macs'])} of the MACs, "
            f"{sentences.points((chosen['right'] - whole['right']) / images)}."
        )
    return figure(data, layout, words)


def without(gone: Sequence[str]) -> str:
    """`without 1.2 and 3.1`; of nothing, `as trained`."""
    return f"without {sentences.listing([label(block) for block in gone], 7)}" if gone else "as trained"


def seeds_grid(runs: Sequence[Mapping[str, Any]], blocks: Sequence[str], revealed: bool) -> Spec:
    """Runs (rows, by seed) by blocks: alive, or dead with the epoch of its last death."""
    names, seeds = [label(block) for block in blocks], [f"seed {run['seed']}" for run in runs]
    died = [dict(run["blocks"]) for run in runs]
    values = [[1 if f"{block}/block" in dead else 0 for block in blocks] for dead in died]
    text = [[f"✕ {dead[f'{block}/block']}" if f"{block}/block" in dead else "" for block in blocks] for dead in died]
    if not revealed:
        values, text = [[0] * len(blocks) for _ in runs], [["?"] * len(blocks) for _ in runs]
    data = [{
        "type": "heatmap", "x": names, "y": seeds, "z": values, "zmin": 0, "zmax": 1, "colorscale": [[0, LEAF_PALE], [1, GHOST]], "showscale": False,
        "xgap": 3, "ygap": 3, "hovertemplate": "block %{x}, %{y}<extra></extra>",
    }]  # fmt: skip
    notes = [
        {"x": c, "y": r, "text": text[r][c], "showarrow": False, "font": {"size": 12.5, "color": INK if revealed else SOFT}}
        for r in range(len(seeds)) for c in range(len(names)) if text[r][c]
    ]  # fmt: skip
    layout = base_layout(
        annotations=notes, dragmode=False, xaxis=titled_axis("block (stage.place)", type="category", showgrid=False, fixedrange=True),
        yaxis=titled_axis("", autorange="reversed", type="category", showgrid=False, fixedrange=True), margin={"l": 60, "r": 10, "t": 8, "b": 42},
    )  # fmt: skip
    return figure(
        data,
        layout,
        seeds_sentence(runs, blocks)
        if revealed
        else "Nine blocks, five runs that differ in their seed alone. Which blocks die?",
    )


def seeds_sentence(runs: Sequence[Mapping[str, Any]], blocks: Sequence[str]) -> str:
    """How many blocks of each stage died, over all runs."""
    stages = sorted({block.partition(".")[0] for block in blocks})
    counts = [sum(site.startswith(stage) for run in runs for site, _ in run["blocks"]) for stage in stages]
    of = [len(runs) * sum(block.startswith(stage) for block in blocks) for stage in stages]
    told = [
        f"{count} of {total} in stage {stage.removeprefix('stage')}"
        for stage, count, total in zip(stages, counts, of, strict=True)
    ]
    return f"Dead at the end, over {sentences.plural(len(runs), 'run')}: {sentences.listing(told)}. ✕ with the epoch of the last death."


def stages_left(total: Sequence[int], left: Sequence[int], sizes: Sequence[int], words: str, revealed: bool) -> Spec:
    """Blocks left of each stage as bars inside the outline of the whole network."""
    names = [f"stage {k} ({size} × {size})" for k, size in enumerate(sizes, 1)]
    bar = {"type": "bar", "x": names}
    data = [
        {
            **bar,
            "name": "before",
            "y": list(total),
            "marker": {"color": CLEAR, "line": {"color": GHOST, "width": 1.6}},
            "width": 0.62,
            "hovertemplate": "%{x}: %{y} blocks before<extra></extra>",
        }
    ]
    if revealed:
        data.append(
            {
                **bar,
                "name": "left",
                "y": list(left),
                "marker": {"color": LEAF},
                "width": 0.46,
                "hovertemplate": "%{x}: %{y} blocks left<extra></extra>",
            }
        )
    notes = [
        {"x": name, "y": before, "text": f"{after} of {before}" if revealed else f"{before} blocks", "showarrow": False, "yanchor": "bottom", "yshift": 3, "font": {"size": 12.5, "color": INK}}
        for name, before, after in zip(names, total, left, strict=True)
    ]  # fmt: skip
    layout = base_layout(
        barmode="overlay", annotations=notes, dragmode=False, xaxis=titled_axis("", type="category", showgrid=False, fixedrange=True),
        yaxis=titled_axis("residual blocks", range=[0, 1.14 * max(total)], fixedrange=True), margin={"l": 48, "r": 12, "t": 10, "b": 30},
    )  # fmt: skip
    return figure(data, layout, words)


def block_prices(stages: Sequence[Mapping[str, Any]], words: str) -> Spec:
    """MACs and weights of one block of each stage, as multiples of stage 1's."""
    names = [f"stage {k} ({stage['size']} × {stage['size']})" for k, stage in enumerate(stages, 1)]
    first, data = stages[0], []
    for key, name, colour in (("macs", "MACs of one block", LEAF), ("weights", "weights of one block", WOOD)):
        times = [stage[key] / first[key] for stage in stages]
        data.append({
            "type": "bar", "name": name, "x": names, "y": [round(t, 3) for t in times], "text": [f"{t:.3g} ×" for t in times], "textposition": "outside",
            "marker": {"color": colour}, "cliponaxis": False, "textfont": {"size": 12, "color": INK}, "hovertemplate": f"%{{x}}: %{{y:.3g}} times stage 1's<extra>{name}</extra>",
        })  # fmt: skip
    most = max(stage["weights"] / first["weights"] for stage in stages)
    layout = base_layout(
        barmode="group", showlegend=True, legend=LEGEND, dragmode=False, xaxis=titled_axis("", type="category", showgrid=False, fixedrange=True),
        yaxis=titled_axis("times a block of stage 1", range=[0, 1.12 * most], fixedrange=True), margin={"l": 52, "r": 12, "t": 34, "b": 30},
    )  # fmt: skip
    return figure(data, layout, words)
