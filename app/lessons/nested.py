"""Lesson: networks inside a network, who lies in whom, and what each says about one's own drawing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import sentences, theme
from app.app_pages import parts
from app.app_pages.heat import picture
from app.components.draw_pad import draw_pad
from app.lessons import here, progress
from app.lessons import nested_charts as charts
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.recorded import conditions, recorded
from core.evidence.counting import recorded as evidence
from core.evidence.tables import TABLES
from core.papers import points

KEY = "nested"
LAYERS = ("stage1.0.conv1", "stage2.0.conv1", "stage2.1.conv1", "stage3.0.conv1")
PAIRS = {"1-2": (1, 2), "0-1": (0, 1), "0-2": (0, 2), "1-3": (1, 3)}
SOURCES = {"digits": "digits, here", "cifar100": "CIFAR-100, the paper", "cifar10": "CIFAR-10, the paper"}
PLACES = {"cifar100": "table 2", "cifar10": "figure 6"}
IMAGES = (77, 66, 346, 101, 172, 318)
OURS = {
    "nested-channels": "CIFAR-10, channels",
    "nested-weights": "CIFAR-10, weights",
    "nested-four-levels": "CIFAR-100, four levels",
}
HEIGHT = 268


def asked(number: int) -> bool:
    """Whether the prediction of a step is made."""
    return progress.given(KEY, number) is not None


def told() -> dict[str, Any]:
    """The recorded network."""
    return recorded("nested")


def share(level: int) -> float:
    """Parameters of a level over those of the full one."""
    rows = told()["levels"]
    return float(rows[level]["params"] / rows[-1]["params"])


def slider(step: int, first: int = 0) -> int:
    """The level that one looks at; `first`: before anybody moves it."""
    names = charts.NAMES
    return int(
        st.select_slider(
            "Level",
            range(len(names)),
            value=first,
            key=f"{KEY}-level-{step}",
            format_func=lambda k: f"{k}: {names[k]}",
            bind="query-params",
        )
    )


def grids() -> None:
    """A layer's weights by level."""
    left, right = st.columns(2)
    with left:
        level = slider(1, first=len(charts.NAMES) - 1)
    layer = right.select_slider("Layer", LAYERS, key=f"{KEY}-layer", format_func=charts.layer_name, bind="query-params")
    grid = told()["grids"][layer]
    spec = charts.weight_grid(grid, level, len(charts.NAMES), share(level) if asked(1) else None)
    rows = [
        {"level": k, "of all channels": sentences.percent(told()["widths"][k]), **({"parameters": row["params"], "MACs": row["macs"]} if asked(1) else {})}
        for k, row in enumerate(told()["levels"])
    ]  # fmt: skip
    parts.chart(
        f"Weights of {charts.layer_name(layer)}: a square is one kernel",
        spec,
        pd.DataFrame(rows),
        key=f"{KEY}-grid",
        height=HEIGHT + 12,
        note=about(),
    )


def about() -> str:
    """Whose numbers these are."""
    return f"ResNet-20 at half width on digits, {told()['epochs']} epochs, one seed. {conditions('nested')}"


def pairs() -> None:
    """Two levels beside one another: who lies in whom."""
    four = here.answer_here("nested-four") or told()["four"]
    names = four["names"]
    left, right = st.columns([7, 3], vertical_alignment="bottom")
    with right:
        here.run_here(
            "nested-four",
            key=f"{KEY}-four-run",
            about="Makes the four levels with core's own code on this machine and checks every weight; seconds.",
            quick=True,
        )
    key = left.selectbox(
        "Two levels",
        list(PAIRS),
        key=f"{KEY}-pair",
        format_func=lambda k: " | ".join(names[i] for i in PAIRS[k]),
        bind="query-params",
    )
    shown = asked(2) or key != "1-2"
    spec = charts.two_levels(four["bands"], PAIRS[key], names, four["subset_holds"] if shown else None)
    table = pd.DataFrame([
        {"level": names[int(j)], "lies in": names[int(k)], "subset rule": "holds" if holds else "does not hold"}
        for (j, k), holds in ((pair.split(" in "), holds) for pair, holds in four["subset_holds"].items()) if asked(2) or (j, k) != ("1", "2")
    ])  # fmt: skip
    note = "Checked on this machine." if here.answer_here("nested-four") else conditions("nested")
    parts.chart(
        "ResNet-20 at half width: what two levels keep", spec, table, key=f"{KEY}-pair", height=HEIGHT + 12, note=note
    )


def drawing() -> None:
    """Every level about a recorded image, or one's own drawing."""
    source = st.segmented_control(
        "Image",
        ("recorded", "your drawing"),
        default="recorded",
        key=f"{KEY}-source",
        required=True,
        bind="query-params",
        label_visibility="collapsed",
    )
    left, right = st.columns([2, 3], gap="medium")
    answer = None
    with left:
        if source == "recorded":
            index = st.select_slider("Test image", IMAGES, key=f"{KEY}-image", bind="query-params")
            answer = next(one for one in told()["answers"] if one["index"] == index)
            st.image(picture(np.array(answer["pixels"], "u1")[..., None], 8), width=190)
        else:
            drawn = draw_pad((1, 8, 8), ink="#ffffff", paper="#000000", key=f"{KEY}-pad")
            if drawn is not None:
                pixels = drawn[..., 0].tolist()
                answer = here.answer_here("nested-answers", pixels=pixels)
                here.run_here(
                    "nested-answers",
                    key=f"{KEY}-answers-run",
                    label="Ask all levels",
                    about="Asks the recorded network on this machine; a second or so.",
                    quick=True,
                    pixels=pixels,
                )
    with right:
        level = slider(3)
        if answer is None:
            with theme.card("Answers", "Draw a digit as large as the pad, then ask all levels.", key=f"{KEY}-none"):
                st.caption(
                    "The network learned digits of 8 × 8 pixels, light on dark. The code of core answers on this machine."
                )
            return
        spec = charts.answer_bars(answer["levels"], level, share(level), answer["label"])
        table = pd.DataFrame(answer["levels"], columns=[str(k) for k in range(10)])
        table.insert(0, "level", charts.NAMES)
        parts.chart("What the levels say", spec, table, key=f"{KEY}-answer", height=HEIGHT - 50)


def alone() -> None:
    """The levels beside the same networks trained alone."""
    source = st.segmented_control(
        "Where",
        list(SOURCES),
        default="digits",
        format_func=SOURCES.__getitem__,
        key=f"{KEY}-where",
        required=True,
        bind="query-params",
        label_visibility="collapsed",
    )
    if source == "digits":
        rows = [
            {"name": f"level {k}", "left": f"{sentences.percent(share(k), 1)} of the parameters", "inside": 100 * row["accuracy"], "alone": 100 * row["alone"]}
            for k, row in enumerate(told()["levels"])
        ]  # fmt: skip
        note = f"One seed; one of {told()['images']} test images is {100 / told()['images']:.2f} points. {conditions('nested')}"
    else:
        rows = from_paper(source)
        note = f"Kim et al., CVPR 2018, {PLACES[source]}" + (" (read off the figure)." if source == "cifar10" else ".")
    worst = min(rows, key=lambda row: row["inside"] - row["alone"])
    best = max(rows, key=lambda row: row["inside"] - row["alone"])
    words = (
        f"Inside minus alone: from {sentences.points((worst['inside'] - worst['alone']) / 100)} ({worst['name']}) to {sentences.points((best['inside'] - best['alone']) / 100)} ({best['name']})."
        if asked(4)
        else "Each level's network trained alone, equally long, with weights of its own."
    )
    table = pd.DataFrame(rows if asked(4) else [{k: v for k, v in row.items() if k != "inside"} for row in rows])
    parts.chart(
        f"Together or alone: {SOURCES[source]}",
        charts.beside_alone(rows, words, asked(4)),
        table,
        key=f"{KEY}-alone",
        height=HEIGHT,
        note=note,
    )


def from_paper(dataset: str) -> list[dict[str, Any]]:
    """The paper's levels and the same networks alone, smallest first."""
    found = [p for p in points() if p.paper == "NestedNet" and p.place == PLACES[dataset] and p.dataset == dataset]
    rows = []
    for point in found:
        if not point.point.endswith(" alone"):
            continue
        name = point.point.removesuffix(" alone")
        inside = next(p for p in found if p.point == f"NestedNet {name}")
        rows.append(
            {
                "name": name,
                "left": f"{sentences.percent(point.params_left or 0, 1)} of the parameters",
                "inside": 100 - inside.error,
                "alone": 100 - point.error,
            }
        )
    return sorted(rows, key=lambda row: row["alone"])


def consensus() -> None:
    """What asking all levels adds."""
    shown = sources() if asked(5) else sources()[:1]
    best = max(shown, key=lambda row: max(row["average"], row["learned"]))
    words = (
        f"Most is gained on {best['name']}: {sentences.points(max(best['average'], best['learned']) / 100)} over the full level alone."
        if asked(5)
        else f"On {shown[0]['name']} the average adds {sentences.points(shown[0]['average'] / 100, 2)} to the full level, the learned layer {sentences.points(shown[0]['learned'] / 100, 2)}."
    )
    chosen = st.pills(
        "Show",
        [row["name"] for row in shown],
        selection_mode="multi",
        default=[row["name"] for row in shown],
        key=f"{KEY}-consensus-{len(shown)}",
        label_visibility="collapsed",
    )
    rows = [row for row in shown if row["name"] in chosen] or shown
    parts.chart("All levels asked together", charts.consensus_gain(rows, words), pd.DataFrame(rows), key=f"{KEY}-consensus", height=HEIGHT - 20,
                note="Ours: one seed each, CIFAR after 8 or 12 epochs. Paper: Kim et al., CVPR 2018; CIFAR-10 read off its figure 6.")  # fmt: skip


def sources() -> list[dict[str, Any]]:
    """Points that consensus adds to the full level: here on digits and CIFAR, and in the paper."""
    full = told()["levels"][-1]["accuracy"]
    out = [
        {"name": "digits", **{key: round(100 * (told()["consensus"][key] - full), 2) for key in ("average", "learned")}}
    ]
    for table, name in OURS.items():
        row = evidence(TABLES[table]).get(f"{table}.0")
        if row:
            top = row["levels"][-1]["accuracy"]["test"]
            out.append(
                {"name": name, **{key: round(100 * (row["consensus"][key] - top), 2) for key in ("average", "learned")}}
            )
    for dataset, name in (("cifar10", "CIFAR-10 (paper)"), ("cifar100", "CIFAR-100 (paper)")):
        errors = {p.point: p.error for p in points() if p.paper == "NestedNet" and p.place == PLACES[dataset]}
        top = errors["NestedNet WRN-32-4"]
        out.append(
            {
                "name": name,
                "average": round(top - errors["NestedNet-A"], 2),
                "learned": round(top - errors["NestedNet-L"], 2),
            }
        )
    return out


def sixteenth() -> str:
    """Why the core is so small, in numbers."""
    return f"A layer has inputs times outputs many kernels: a quarter of both leaves a sixteenth. The first and last layers and the norms make it {sentences.percent(share(0), 1)}."


def how_often() -> str:
    """How often the core differs, in numbers."""
    parted, images = told()["parted"][0], told()["images"]
    rows = told()["levels"]
    return (
        f"{parted} of {images}: with {sentences.percent(rows[0]['macs'] / rows[-1]['macs'])} of the MACs the core names {sentences.percent(rows[0]['accuracy'], 1)} of the images rightly, the full level {sentences.percent(rows[-1]['accuracy'], 1)}. "
        "Most digits are easy; draw one that is not."
    )


def together() -> str:
    """What sharing brings or costs, in numbers."""
    apart = [row["accuracy"] - row["alone"] for row in told()["levels"]]
    return (
        f"Inside minus alone: here from {sentences.points(min(apart))} to {sentences.points(max(apart))}, of one seed; in the paper levels with fewer layers gain, and the one with fewer channels loses a little. "
        "Three networks for the parameters of one: that is the gain."
    )


def added() -> str:
    """What consensus added, there and here, in numbers."""
    ours = [row for row in sources() if row["name"] in ("digits", *OURS.values())]
    reach = {key: sorted(row[key] / 100 for row in ours) for key in ("average", "learned")}
    average, learned = (f"{sentences.points(found[0])} to {sentences.points(found[-1])}" for found in reach.values())
    return (
        "75.5 % became 77.4 %, and 78.1 % by the learned layer. "
        f"Here, in smaller networks and after short training, the average adds {average}, the learned layer {learned}."
    )


LESSON = Lesson(
    key=KEY,
    title="Networks inside a network",
    about="One set of weights that is three networks: what lies in what, what each says about your drawing, and what they know together.",
    minutes=10,
    terms=("NestedNet", "level", "core level", "mask", "consensus"),
    steps=(
        Step(
            "One set of weights, three networks",
            "Level 2 is the whole network; level 1 has the first half of every layer's channels, level 0, the core, the first quarter. They share weights: what the core has, the others use too.",
            grids,
            Question(
                "The core has a quarter of the channels. What share of the parameters does it have?",
                ("About 7 %", "About 25 %", "About 50 %"),
                "About 7 %",
                sixteenth,
            ),
        ),
        Step(
            "The subset rule",
            "Levels are nested if every weight of a smaller one is also a weight of the larger ones. A level may do without channels, without blocks, or without both.",
            pairs,
            Question(
                "One level has half of the channels and all blocks, another all channels and fewer blocks. Which lies in which?",
                ("The first in the second", "The second in the first", "Neither in the other"),
                "Neither in the other",
                "Each has weights that the other lacks. NestedNet accepts that between middle levels; both lie in the full one, and the core, which lacks what either lacks, lies in all.",
            ),
        ),
        Step(
            "Ask every level",
            "Move the slider from the core to the full level: all of them answer from the same weights. Then draw a digit of your own.",
            drawing,
            Question(
                "Over all 360 test images, how often does the core say something else than the full level?",
                ("Never", "About 1 time in 50", "About 1 time in 3"),
                "About 1 time in 50",
                how_often,
            ),
        ),
        Step(
            "Together or alone",
            "Every weight of the core has to serve three networks at once. As a control, the same three networks were each trained alone, equally long.",
            alone,
            Question(
                "How do the levels inside compare with the same networks alone?",
                ("10 points and more worse: they fight", "Within a few points", "10 points and more better"),
                "Within a few points",
                together,
            ),
        ),
        Step(
            "All levels together",
            "All levels can be asked at once: by averaging their probabilities, or by a layer that learned to weigh them. The full level is the best of them alone.",
            consensus,
            Question(
                "On CIFAR-100, what did the average add to the full level in the paper?",
                ("It cost points: the core drags it down", "About nothing", "About 2 points"),
                "About 2 points",
                added,
            ),
        ),
    ),
)  # fmt: skip
