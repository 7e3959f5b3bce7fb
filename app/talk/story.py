"""The slides that a run or a comparison has to tell, in an order that can be told. Pure: from records to slides."""

from __future__ import annotations

from typing import Any

import pandas as pd

from app import (
    chart_words,
    charts,
    level_charts,
    level_sentences,
    sentences,
    speed_charts,
    tradeoff_charts,
    tradeoff_points,
    tradeoff_words,
)
from app.app_pages import parts, run_tiles
from app.app_pages.levels_cost import consensus_of, cost_frame
from app.app_pages.speed import layer_frame
from app.app_pages.structure_proof import removal
from app.collapse_words import report_sentence
from app.espalier_data import espalier_data, newest_sentence
from app.level_words import is_masked, nested_phase
from app.runs import RunView, final_accuracy, learned_kinds
from app.talk import conditions
from app.talk.slide import Slide, brief
from core.networks.names import shown

# pixels of a slide's figure across and of its plot's height, where a name's letters are 11 high
FIGURE, TALL = 578.0, 138.0
LEFT, SIGN, LETTER = 58, 46, 7  # pixels left of the plot, of a legend's sign and of a letter beside it
LARGER = 12 / 11  # a slide's letters, as the page's
FEW = 3  # epochs that make a line
APART = 11.0  # percent of a stage that its name is high, on a slide
LAYERS = 7  # bars that stand legibly below each other
DETAILS = ((13, "convolution"), (30, "block"), (10**9, "stage"))  # (blocks up to, how closely the tree is drawn)
LEVELS = "Bars: every layer; at the bottom what the core has of it, above what larger levels add."
LEGEND, TRUNK = "Bars: what lives of each layer. Dashed and crossed: dead.", " The trunk is the skip path."
TWO_LINES = 180  # letters of a sentence above a tree, which must not be drawn smaller than its texts can be read
AGAINST = {"macs": "MACs", "params": "parameters", "ms": "milliseconds", "times": "measured speed"}
CUTS = {
    "exact": "Cut out, and proved", "approximate": "Cut out, approximately", "nothing-removed": "Nothing was removed",
    "inconclusive": "Cut out, not proved", "failed": "The cut failed its proof",
}  # fmt: skip


def of_run(view: RunView, table: pd.DataFrame) -> list[Slide]:
    """The dense network; what died and when; its levels; the cut and its certificate; accuracy against MACs and time; layer by layer.

    `table`: points of the same network and data set (`app.tradeoff_points`), the run's own among them where it is kept here.
    """
    slides = [_dense(view)]
    slides += [_died(view) if _learns_to_die(view) else _training(view)]
    slides += [_cut(view)] if view.result and not view.result.get("levels") else []
    slides += _levels(view)
    slides += of_points(table, _own_key(view, table))
    slides += _layers(view)
    return slides[:7]


def of_comparison(table: pd.DataFrame, view: RunView | None) -> list[Slide]:
    """Accuracy against MACs, parameters and time; then, where its records are here, the run that keeps the accuracy at least cost."""
    slides = of_points(table, None, ("macs", "params", "ms"))
    if view is None or not view.epochs:
        return slides
    return [
        _dense(view),
        *slides,
        *([_died(view)] if _learns_to_die(view) else []),
        *([_cut(view)] if view.result and not view.result.get("levels") else []),
    ]


def of_points(table: pd.DataFrame, picked: str | None, costs: tuple[str, ...] = ("macs", "ms")) -> list[Slide]:
    """A slide for each cost that two points or more have; milliseconds become times as fast where they were not measured in one place."""
    if table.empty:
        return []
    place = tradeoff_points.one_place(table)
    slides = []
    for asked in costs:
        cost = "times" if asked == "ms" and not place else asked
        if cost in table and table.dropna(subset=[cost])["source"].ne("paper").sum() >= 2:
            slides.append(of_tradeoff(table, cost, place, picked, tradeoff_points.crowded(table, cost)))
    return slides


def of_tradeoff(
    table: pd.DataFrame, cost: str, place: tuple[Any, ...] | None, picked: str | None = None, log: bool = False
) -> Slide:
    """One trade-off, with the papers' points where these are among the table's."""
    first = table.iloc[0]
    mixed = "ours" in set(table["source"])
    aside = _aside(_short_legend(tradeoff_charts.tradeoff(table, cost)["data"], mixed))
    plot = (FIGURE - LEFT - aside, TALL)
    spec = tradeoff_charts.tradeoff(table, cost, log=log, picked=picked, plot=plot)
    spec = _with_legend_aside(spec | {"data": _short_legend(spec["data"], mixed)}, aside)
    title = f"{shown(first['network'])} on {first['dataset']}: accuracy against {AGAINST[cost]}"
    if len(title) > 56:
        title = f"Accuracy against {AGAINST[cost]}"
    shown_points = table.dropna(subset=[cost, "accuracy"])
    footer = conditions.of_points(shown_points, cost, place)
    notes = f"{spec['alt']}\n{footer}\n{conditions.notes_of_points(shown_points)}"
    return Slide(cost, title, brief(spec["alt"]), footer, notes, figure=spec, native="points")


def _short_legend(data: list[dict[str, Any]], mixed: bool) -> list[dict[str, Any]]:
    """The legend of a slide: its footer says whose the hollow diamonds are; `mixed`: it tells one's own points from recorded ones."""
    return [
        trace
        | ({"showlegend": False} if str(trace.get("name", "")).endswith(" (paper)") else {})
        | ({"name": trace["name"].removesuffix(" (recorded)")} if trace.get("name") and not mixed else {})
        for trace in data
    ]


def _aside(data: list[dict[str, Any]]) -> int:
    """Pixels that the legend of these traces takes beside a figure."""
    named = (trace["name"] for trace in data if trace.get("name") and trace.get("showlegend", True))
    return SIGN + LETTER * max(map(len, named), default=0)


def _with_legend_aside(spec: dict[str, Any], aside: int) -> dict[str, Any]:
    """On a slide there is more room beside a figure than above it; and its letters are larger, so names stand farther off."""
    legend = {"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"}
    margin = {"l": LEFT, "r": aside, "t": 12, "b": 44}
    names = [
        note
        | {
            key: _farther(note[key], room)
            for key, room in (("xshift", 3), ("yshift", 1), ("ax", 3), ("ay", 1))
            if key in note
        }
        for note in spec["layout"].get("annotations", [])
    ]
    return spec | {"layout": spec["layout"] | {"legend": legend, "margin": margin, "annotations": names}}


def _farther(shift: float, room: int) -> int:
    """How far the middle of a name stands from its point where letters are larger, and `room` pixels more."""
    return round(LARGER * shift + (room if shift > 0 else -room if shift < 0 else 0))


def cheapest_run(table: pd.DataFrame) -> str | None:
    """The run of the cheapest of one's own points that keep the accuracy; None where there is no run here."""
    ours = table[(table["source"] == "ours") & (table["role"] == "method")] if len(table) else table
    ours = ours.dropna(subset=["macs", "accuracy"]) if len(ours) else ours
    if ours.empty:
        return None
    thinned = ours[(ours["method"] != "dense") & (ours["macs"] < 1)]
    ours = thinned if len(thinned) else ours
    _, small = tradeoff_words.best_and_cheapest(ours.assign(price=ours["macs"]).to_dict("records"))
    return str(small["runs"][0])


def _own_key(view: RunView, table: pd.DataFrame) -> str | None:
    """The key of the point that the run itself is in."""
    if table.empty or "runs" not in table:
        return None
    return next(
        (row["key"] for row in table.to_dict("records") if isinstance(row["runs"], list) and view.name in row["runs"]),
        None,
    )


def _dense(view: RunView) -> Slide:
    """The network as it begins: whole, or, where it began in another's shape, with what lives of it."""
    layout = view.layout
    blocks, units = (
        sum(s["total"] for s in view.sites if s["kind"] in kinds)
        for kinds in (("block",), ("filter", "neuron", "group"))
    )
    living = int(view.alive[0].sum())
    whole = living == view.alive.shape[1]
    counted = (view.result or {}).get("params")  # with the norms'
    params = counted["dense"] if counted else layout["params"]
    words = [
        "" if whole else f"{living} of {sentences.plural(view.alive.shape[1], 'unit')} alive from the first step",
        sentences.plural(blocks, "residual block") if blocks else "",
        f"{_networks(view)} networks in one" if _networks(view) else "",
        f"{sentences.plural(units, 'unit')} that may leave" if _learns_to_die(view) and units else "",
        f"{sentences.amount(params)} parameters", f"{sentences.amount(layout['macs'])} MACs an image",
    ]  # fmt: skip
    sentence = f"{sentences.listing([word for word in words if word], 4)}."
    begins = "before training" if whole else "as it begins"
    title = f"{shown(layout['network'])} on {view.started['config']['dataset']}, {begins}"
    return Slide(
        "dense",
        title,
        sentence,
        _legend(view),
        _notes(view, sentence, "Space plays the training."),
        espalier=_tree(view, 0),
    )


def _networks(view: RunView) -> int:
    """How many networks a nested run is; 0 of any other."""
    phase = nested_phase(view.started["config"])
    return len(phase["levels"]) if phase else 0


def _died(view: RunView) -> Slide:
    shares, _ = parts.stage_shares(view)
    told = report_sentence(view.collapses())
    if shares.empty:
        names = {site: parts.short(site) for site in view.survival().index}
        spec = charts.survival_heatmap(view.survival(), parts.stage_rows(view), view.markers(), names)
    else:
        spec = charts.death_timeline(shares, parts.block_deaths(view), view.markers(), apart=APART)
    return Slide(
        "died", "What died, and when", brief(told), _footer(view), _notes(view, told, spec["alt"]), figure=spec
    )


def _learns_to_die(view: RunView) -> bool:
    """Whether some phase drives structures to zero; levels and single weights leave all of them alive."""
    return not view.survival().empty and any(learned_kinds(phase) for phase in view.started["config"]["phases"])


def _training(view: RunView) -> Slide:
    several = sum(bool(epoch.get("levels")) for epoch in view.epochs) >= FEW
    spec = level_charts.level_lines(view.epochs) if several else charts.accuracy_and_loss(view.table(), view.markers())
    return Slide("training", "Training", brief(spec["alt"]), _footer(view), _notes(view, spec["alt"]), figure=spec)


def _cut(view: RunView) -> Slide:
    result = view.result or {}
    verdict = result["certificate"]["verdict"]
    macs, accuracy = result["macs_per_image"], result["accuracy"]
    said = run_tiles.proof(view)
    numbers = (
        f"Gone: {removal(result).partition(' (')[0]}; MACs {sentences.change(macs['compact'] / macs['dense'] - 1)}. Test accuracy "
        f"{sentences.percent(accuracy['test'] or 0.0, 1)} before, {sentences.percent(accuracy['compact'] or 0.0, 1)} after"
        + (f", {sentences.percent(final_accuracy(accuracy), 1)} fine-tuned." if accuracy.get("finetuned") else ".")
    )
    proved = f"{numbers} {said.partition(' over ')[0].rstrip('.')}."  # how many inputs stands in the notes
    told = proved if verdict == "exact" else said if verdict == "nothing-removed" else f"{said} {numbers}"
    return Slide(
        "cut",
        CUTS.get(verdict, "The cut"),
        brief(told, TWO_LINES),
        _legend(view),
        _notes(view, numbers, said),
        espalier=_tree(view, view.newest_epoch),
        still=True,
    )


def tree_of(view: RunView) -> Slide:
    """The tree as it stands now, alone."""
    said = newest_sentence(view)
    title = f"{shown(view.layout['network'])} on {view.started['config']['dataset']} after epoch {view.newest_epoch}"
    return Slide(
        "espalier",
        title,
        brief(said, TWO_LINES),
        _legend(view),
        _notes(view, said),
        espalier=_tree(view, view.newest_epoch),
    )


def _levels(view: RunView) -> list[Slide]:
    result = view.result or {}
    if not result.get("levels"):
        return []
    frame, nothing = cost_frame(result), pd.DataFrame()
    by = "weights" if is_masked(view.started["config"]["phases"][-1]["levels"]) else "macs"
    told = level_sentences.cost_sentence(frame, consensus_of(result), nothing)
    slides = []
    said = {
        by: level_sentences.accuracy_sentence(frame, consensus_of(result)),
        "speed": level_sentences.speed_sentence(frame),
    }
    for cost, title in ((by, "Networks inside one another"), ("speed", "Every level, measured")):
        spec = level_charts.accuracy_against_cost(frame, consensus_of(result), nothing, nothing, cost, apart=0.2)
        for note in spec["layout"]["annotations"]:
            note["text"] = note["text"].replace("<br>", " ")
        spec["layout"] |= {"showlegend": False, "margin": {"l": 58, "r": 124, "t": 14, "b": 44}}
        speed = (
            next((level["speed"] for level in result["levels"] if level["speed"]), None) if cost == "speed" else None
        )
        if cost == "speed" and speed is None:
            continue
        footer = f"{conditions.run_line(view)}\n{conditions.speed_line(speed) or conditions.machine_line(view)}"
        slides.append(
            Slide(f"levels-{cost}", title, brief(said[cost]), footer, _notes(view, told), figure=spec, native="points")
        )
    return slides


def _layers(view: RunView) -> list[Slide]:
    speed = view.measured()
    if not speed or not speed.get("layers") or speed["promised"] <= 1:  # where nothing was cut, nothing was bought
        return []
    frame = layer_frame(speed["layers"]).drop(columns=["reason", "numbers"], errors="ignore")
    spec = speed_charts.speed_layers(frame, LAYERS)
    told = f"{speed['measured']:.2f} × as fast (quartiles {speed['low']:.2f} to {speed['high']:.2f}) where the MACs promised {speed['promised']:.2f} ×."
    drawn = (
        f"Drawn: the {LAYERS} of {len(frame)} layers whose time stays farthest behind their MACs."
        if len(frame) > LAYERS
        else ""
    )
    footer = f"{conditions.speed_line(speed)} {drawn}\n{conditions.run_line(view)}"
    notes = _notes(view, chart_words.speed(speed), spec["alt"])
    return [
        Slide(
            "layers",
            "What the cut buys, layer by layer",
            brief(f"{told} {spec['alt']}"),
            footer,
            notes,
            figure=spec,
            native="bars",
        )
    ]


def _legend(view: RunView) -> str:
    """The footer of a tree: what its signs mean, and of which run it is."""
    has_blocks = any(site["kind"] == "block" for site in view.sites)
    return f"{LEVELS if _networks(view) else LEGEND}{TRUNK if has_blocks else ''}\n{conditions.run_line(view)}"


def _tree(view: RunView, epoch: int) -> dict[str, Any]:
    blocks = sum(len(stage["blocks"]) for stage in view.layout["stages"])
    bands = (view.result or {}).get("bands")
    data = espalier_data(view, selected={"epoch": str(epoch)}, follow=False, bands=bands)
    return data | {"large": True, "detail": next(detail for most, detail in DETAILS if blocks <= most)}


def _footer(view: RunView) -> str:
    return conditions.of_run(view)


def _notes(view: RunView, *said: str) -> str:
    """All that is said, the conditions, and the paper of the method."""
    papers = conditions.papers_of({phase["method"] for phase in view.started["config"]["phases"]})
    lines = [*said, conditions.of_run(view), conditions.speed_line(view.measured()), *papers]
    return "\n".join(line for line in dict.fromkeys(lines) if line)
