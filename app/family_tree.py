"""The runs of a family as a tree, as data: what was done leads from run to run. See `charts`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from app import sentences
from app.components.figure_parts import (
    CIVIDIS,
    GHOST,
    INK,
    PAPER,
    PICKED,
    SOFT,
    Spec,
    base_layout,
    colour_scale,
    figure,
    rule,
)

Node = Mapping[str, Any]
TURN = 0.42  # of the way to a child where its edge turns off


def family_tree(nodes: Sequence[Node], chosen: str = "") -> Spec:
    """Runs from left to right, colour is accuracy, text the MACs left.

    A node: {id, name, parent (an id or None), done (what led to it), state, accuracy, macs}; the last two 0-1, or None before the end.
    """
    places = placed(nodes)
    shapes, notes = [], []
    for node in nodes:
        x, y = places[node["id"]]
        if node["parent"] in places:
            left, up = places[node["parent"]]
            turn = left + TURN * (x - left)
            for x0, y0, x1, y1 in ((left, up, turn, up), (turn, up, turn, y), (turn, y, x, y)):
                shapes.append(rule(x0=x0, y0=y0, x1=x1, y1=y1, color=GHOST, width=1.6, layer="below"))
        notes.append(
            _note(
                x - 0.03 if node["parent"] in places else x,
                y,
                node["done"],
                SOFT,
                "bottom",
                9,
                "right" if node["parent"] in places else "center",
            )
        )
        notes.append(_note(x, y, _numbers(node), INK, "top", -13, "center"))
    data = [_marks(nodes, places, chosen)]
    wide = max((x for x, _ in places.values()), default=0)
    tall = max((y for _, y in places.values()), default=0)
    layout = base_layout(
        xaxis={"visible": False, "range": [-0.5, max(2.0, wide) + 0.5], "fixedrange": True},
        yaxis={"visible": False, "range": [tall + 0.6, -0.6], "fixedrange": True},
        shapes=shapes, annotations=notes, margin={"l": 8, "r": 8, "t": 8, "b": 8}, hovermode="closest",
    )  # fmt: skip
    return figure(data, layout, tree_sentence(nodes))


def placed(nodes: Sequence[Node]) -> dict[str, tuple[float, float]]:
    """(steps from the root, row) of every node: children in order below each other, a parent in line with its first."""
    known = {node["id"] for node in nodes}
    children: dict[str | None, list[str]] = {}
    for node in nodes:
        parent = node["parent"] if node["parent"] in known and node["parent"] != node["id"] else None
        children.setdefault(parent, []).append(node["id"])
    places: dict[str, tuple[float, float]] = {}
    row = 0.0

    def place(name: str, depth: int) -> None:
        nonlocal row
        places[name] = (depth, row)
        for i, child in enumerate(children.get(name, [])):
            if i:
                row += 1
            place(child, depth + 1)

    for root in children.get(None, []):
        place(root, 0)
        row += 1
    return places


def _marks(nodes: Sequence[Node], places: Mapping[str, tuple[float, float]], chosen: str) -> dict[str, Any]:
    known = [node["accuracy"] for node in nodes if node["accuracy"] is not None]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if high - low < 0.01:
        low, high = low - 0.005, high + 0.005
    accuracy = [None if node["accuracy"] is None else round(100 * node["accuracy"], 2) for node in nodes]
    bar = {
        "title": {"text": "test<br>accuracy, %", "font": {"size": 11.5, "color": SOFT}},
        "thickness": 9,
        "len": 0.9,
        "outlinewidth": 0,
        "tickfont": {"color": SOFT},
    }
    return {
        "type": "scatter", "mode": "markers", "x": [places[n["id"]][0] for n in nodes], "y": [places[n["id"]][1] for n in nodes],
        "customdata": [n["id"] for n in nodes], "text": [_hover(n) for n in nodes], "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "size": 19, "symbol": ["circle" if a is not None else "circle-open-dot" for a in accuracy],
            "color": [100 * low if a is None else a for a in accuracy], "cmin": round(100 * low, 2), "cmax": round(100 * high, 2),
            "colorscale": colour_scale(CIVIDIS), "showscale": len(known) > 1, "colorbar": bar,
            "line": {"width": [3.5 if n["id"] == chosen else 1.2 for n in nodes], "color": [PICKED if n["id"] == chosen else PAPER if a is not None else GHOST for n, a in zip(nodes, accuracy, strict=True)]},
        },
    }  # fmt: skip


def _note(x: float, y: float, text: str, colour: str, anchor: str, shift: float, side: str) -> dict[str, Any]:
    return {
        "x": x, "y": y, "text": html.escape(text), "showarrow": False, "yanchor": anchor, "yshift": shift, "xanchor": side,
        "font": {"size": 11.5 if colour == SOFT else 12, "color": colour},
    }  # fmt: skip


def _numbers(node: Node) -> str:
    """`34 % of the MACs, 99.2 %`; of a run that is not over, its state."""
    if node["accuracy"] is None:
        return str(node["state"])
    return f"{sentences.percent(node['macs'])} of MACs · {sentences.percent(node['accuracy'], 1)}"


def _hover(node: Node) -> str:
    return f"{html.escape(str(node['name']))}<br>{html.escape(str(node['done']))}<br>{html.escape(_numbers(node))}<br>click to open"


def tree_sentence(nodes: Sequence[Node]) -> str:
    """How large the family is, and which hand-made branch keeps most accuracy."""
    done = [node for node in nodes if node["accuracy"] is not None]
    if len(nodes) == 1:
        return "This run stands alone so far: what is fine-tuned from it grows to its right."
    words = f"{sentences.plural(len(nodes), 'run')} in the family, {len(done)} finished."
    tuned = [node for node in done if node.get("by_hand")]
    if tuned:
        best = max(tuned, key=lambda node: node["accuracy"])
        parent = next((node for node in done if node["id"] == best["parent"]), None)
        before = (
            f", from {sentences.percent(parent['macs'])} at {sentences.percent(parent['accuracy'], 1)}"
            if parent
            else ""
        )
        words += f" Fine-tuned by hand, {sentences.percent(best['macs'])} of the MACs are left at {sentences.percent(best['accuracy'], 1)} test accuracy{before}; one seed each."
    return words
