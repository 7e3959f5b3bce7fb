"""Lesson: which residual blocks can go, and what the skip path carries."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
import streamlit as st

from app import sentences
from app.app_pages import parts
from app.lessons import depth_charts as charts
from app.lessons import here, progress
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.recorded import conditions, recorded
from core.published import Published, published

KEY = "depth"
PLANS = {
    "sss-resnet164-cifar10": "SSS, ResNet-164, CIFAR-10",
    "sss-resnet164-cifar100": "SSS, ResNet-164, CIFAR-100",
    "sss-resnet41": "SSS, ResNet-50 cut to 41 layers, ImageNet",
    "sss-resnet32": "SSS, ResNet-50 cut to 32 layers, ImageNet",
    "sss-resnet26": "SSS, ResNet-50 cut to 26 layers, ImageNet",
    "ssl-resnet20-depth18": "SSL, ResNet-20 cut to 18 layers, CIFAR-10",
    "ssl-resnet20-depth16": "SSL, ResNet-20 cut to 16 layers, CIFAR-10",
    "ssl-resnet20-depth14": "SSL, ResNet-20 cut to 14 layers, CIFAR-10",
    "ssl-resnet20-depth12": "SSL, ResNet-20 cut to 12 layers, CIFAR-10",
}
PRICED = {"resnet164": "ResNet-164", "resnet20-projection": "ResNet-20", "resnet50": "ResNet-50"}
HEIGHT = 268


def asked(number: int) -> bool:
    """Whether the prediction of a step is made."""
    return progress.given(KEY, number) is not None


def stream() -> None:
    """What every branch adds to the stream."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with right:
        here.run_here(
            "depth-stream",
            key=f"{KEY}-stream-run",
            about="Sends all 360 test images through the demo's network on this machine; seconds.",
            quick=True,
        )
    answer = here.answer_here("depth-stream") or recorded("depth")["stream"]
    rows = answer["blocks"]
    with left:
        block = st.select_slider(
            "Block",
            [row["block"] for row in rows],
            value="stage2.1",
            format_func=charts.label,
            key=f"{KEY}-block",
            bind="query-params",
        )
    spec = charts.stream_bars(rows, block)
    row = next(row for row in rows if row["block"] == block)
    if asked(1) and row["change"] is not None:
        spec["alt"] += (
            " What leaves is what came in, bit by bit."
            if row["change"] == 0
            else f" What leaves differs from what came in by up to {row['change']:.2f}."
        )
    table = pd.DataFrame(rows).rename(
        columns={"branch": "branch adds (rms)", "skip": "skip brings (rms)", "change": "largest change"}
    )
    note = "Computed on this machine." if here.answer_here("depth-stream") else conditions("depth")
    parts.chart(
        "The recorded demo: ResNet-20 on digits, 9 blocks", spec, table, key=f"{KEY}-stream", height=HEIGHT, note=note
    )


def choices() -> None:
    """Blocks of the demo crossed out by hand, without training again."""
    told = recorded("depth")["choices"]
    living = sorted({block for row in told["rows"] for block in row["gone"]})
    with st.container(horizontal=True, vertical_alignment="bottom"):
        gone = st.pills(
            "Cross out", living, selection_mode="multi", default=["stage1.1"], format_func=charts.label, key=f"{KEY}-gone", bind="query-params",
            disabled=not asked(2), help="Blocks 2.2 and 3.2 are dead already.",
        )  # fmt: skip
        if asked(2):
            here.run_here(
                "depth-crossed", key=f"{KEY}-crossed-run", about="Cuts these blocks out of the demo's network on this machine, proves it and asks all test images; seconds.",
                quick=True, gone=sorted(gone),
            )  # fmt: skip
    row = next(row for row in told["rows"] if row["gone"] == sorted(gone))
    spec = charts.choices_cloud(told, row, asked(2))
    note = conditions("depth")
    if asked(2) and (answer := here.answer_here("depth-crossed", gone=sorted(gone))):
        test = answer["test"]
        note = (
            f"On this machine: {sentences.percent(test['compact']['accuracy'], 1)}; {test['difference']['lost']} images became wrong, {test['difference']['won']} right. "
            f"Removal: {answer['certificate']['verdict']}, {sentences.scientific(answer['certificate']['max_rel'])}."
        )
    table = pd.DataFrame([
        {"crossed out": charts.without(one["gone"]), "right": f"{one['right']} of {told['images']}", "MACs": one["macs"], "parameters": one["params"]} for one in told["rows"]
    ])  # fmt: skip
    parts.chart(
        "Blocks crossed out by hand, nothing trained again", spec, table, key=f"{KEY}-choices", height=HEIGHT, note=note
    )


def seeds() -> None:
    """Which blocks the penalty killed in five runs."""
    runs = [run for run in recorded("digits")["runs"] if run["role"] == "SSS"]
    blocks = [row["block"] for row in recorded("depth")["stream"]["blocks"]]
    spec = charts.seeds_grid(runs, blocks, asked(3))
    table = pd.DataFrame([
        {"seed": run["seed"], "dead": sentences.listing([f"{charts.label(site.removesuffix('/block'))} (epoch {epoch})" for site, epoch in run["blocks"]], 9),
         "test accuracy": run["accuracy"], "MACs": run["macs"]} for run in runs
    ]) if asked(3) else pd.DataFrame({"seed": [run["seed"] for run in runs]})  # fmt: skip
    parts.chart(
        "SSS on digits, ResNet-20, 120 epochs: five seeds",
        spec,
        table,
        key=f"{KEY}-seeds",
        height=HEIGHT,
        note=conditions("digits"),
    )


def stages(found: Published) -> tuple[list[int], list[int]]:
    """Blocks of each stage before and after a published cut."""
    plan = found.packed_plan
    places = {tuple(path.split(".")[:2]) for path in plan["total"] if path.startswith("stage")}
    total = Counter(stage for stage, _ in places)
    gone = Counter(block.partition(".")[0] for block in plan["removed_blocks"])
    names = sorted(total)
    return [total[name] for name in names], [total[name] - gone[name] for name in names]


def papers() -> None:
    """What the papers' penalties left of each stage."""
    name = st.selectbox(
        "Published network", list(PLANS), format_func=PLANS.__getitem__, key=f"{KEY}-plan", bind="query-params"
    )
    found = published(name)
    total, left = stages(found)
    sizes = [row["size"] for row in recorded("depth")["prices"][found.network]]
    shown = asked(4) or name != "sss-resnet164-cifar10"
    lost = [before - after for before, after in zip(total, left, strict=True)]
    words = f"{sum(total)} blocks before, {sum(left)} left." if not shown else (
        f"{sum(left)} of {sum(total)} blocks are left: {sentences.listing([f'{n} of {t} in stage {k}' for k, (n, t) in enumerate(zip(left, total, strict=True), 1)], 4)}; "
        f"stage {max(range(len(lost)), key=lost.__getitem__) + 1} lost most."
    )  # fmt: skip
    table = pd.DataFrame({"stage": range(1, len(total) + 1), "before": total, "left": left if shown else "?"})
    spec = charts.stages_left(total, left, sizes, words, shown)
    parts.chart(PLANS[name], spec, table, key=f"{KEY}-papers", height=HEIGHT - 20, note=source(found))


def source(found: Published) -> str:
    """Where a published structure is from, and how sure."""
    how = (
        "read off a figure"
        if found.name.startswith("ssl")
        else "not printed: the structure that fits the printed MACs and parameters"
    )
    return f"{found.source.partition(';')[0]}; blocks a stage: {how}."


def prices() -> None:
    """What a block of each stage costs and holds."""
    network = st.segmented_control(
        "Network",
        list(PRICED),
        default="resnet164",
        format_func=PRICED.__getitem__,
        key=f"{KEY}-network",
        required=True,
        bind="query-params",
    )
    rows = recorded("depth")["prices"][network]
    last = rows[-1]
    words = f"A block of stage {len(rows)} costs as many MACs as one of stage 1 and holds {last['weights'] / rows[0]['weights']:.0f} times as many weights."
    if asked(5) and network == "resnet164":
        macs, params = left_of("sss-resnet164-cifar10")
        words += f" SSS's cut left {sentences.percent(macs, 1)} of the MACs and {sentences.percent(params, 1)} of the parameters."
    table = pd.DataFrame(rows).rename(
        columns={"size": "pixels a side", "macs": "MACs of a block", "weights": "weights of a block"}
    )
    parts.chart(
        f"One block, stage by stage: {PRICED[network]}",
        charts.block_prices(rows, words),
        table,
        key=f"{KEY}-prices",
        height=HEIGHT - 20,
        note="Counted, not measured: the second block of each stage.",
    )


def left_of(name: str) -> tuple[float, float]:
    """Shares of the MACs and parameters that a published cut leaves, as counted."""
    counted: dict[str, Any] = published(name).counted
    return counted["macs"] / counted["dense macs"], counted["params"] / counted["dense params"]


def worst() -> str:
    """Why crossing out is no training, with the recorded numbers."""
    told = recorded("depth")["choices"]
    whole = told["rows"][0]["right"]
    single = sorted((row for row in told["rows"] if len(row["gone"]) == 1), key=lambda row: row["right"])
    low, high = single[0], single[-1]
    return (
        f"{charts.without(low['gone']).capitalize()}, {sentences.percent(low['right'] / told['images'])} of the images are right, {charts.without(high['gone'])}, still {sentences.percent(high['right'] / told['images'], 1)} "
        f"(of {sentences.percent(whole / told['images'], 1)}). Which blocks can go is learned while training; afterwards only blocks that add nothing are free."
    )


def died() -> str:
    """How many blocks of each stage died over the seeds, in words."""
    sites = [site for run in recorded("digits")["runs"] if run["role"] == "SSS" for site, _ in run["blocks"]]
    counts = [sum(site.startswith(f"stage{k}.") for site in sites) for k in (1, 2, 3)]
    return (
        f"{len(sites)} died in all: {counts[1]} in stage 2, {counts[2]} in stage 3, {counts[0] or 'none'} in stage 1, and never the first block of a stage. "
        "On these small images it is not the early stages that go first."
    )


def kept() -> str:
    """What the published cut left, in numbers."""
    macs, params = left_of("sss-resnet164-cifar10")
    return (
        f"{sentences.percent(params)} of the parameters stay, at {sentences.percent(macs)} of the MACs: blocks of early stages are as dear to run and hold few weights. "
        "A cut should therefore be told in both numbers."
    )


LESSON = Lesson(
    key=KEY,
    title="Depth: which blocks can go",
    about="What a skip path carries when its branch dies, which blocks died here and in the papers, and what that saves.",
    minutes=9,
    terms=("block", "skip path", "stage", "factor", "SSS", "SSL", "MAC"),
    steps=(
        Step(
            "The skip path carries on",
            "A residual block adds what its branch computes to what came in; the skip path brings that unchanged. In this network a penalty drove the factors of two branches to exactly zero.",
            stream,
            Question(
                "The branch of block 2.2 adds 0. What leaves the block?",
                ("Zeros: the signal ends there", "What came in, unchanged", "What came in, halved"),
                "What came in, unchanged",
                "Input + 0 is the input, and the relu behind it changes nothing, for its input was never negative. So the whole block can be cut out and no answer changes.",
            ),
        ),
        Step(
            "Blocks that are not dead",
            "The seven other blocks still add something. Suppose one of them is cut out all the same, and nothing is trained again.",
            choices,
            Question(
                "What does the worst single choice cost in test accuracy?",
                ("Less than 1 point", "About 10 points", "About 50 points"),
                "About 50 points",
                worst,
            ),
        ),
        Step(
            "Which blocks die here",
            "One penalty acts on the factors of all nine blocks alike, while the network learns to read digits. Five runs differ in their seed alone.",
            seeds,
            Question(
                "Where are the blocks that die?",
                ("In stage 1, the earliest", "In stages 2 and 3", "Somewhere else in every run"),
                "In stages 2 and 3",
                died,
            ),
        ),
        Step(
            "Which blocks died in the papers",
            "SSS let 26 of ResNet-164's 54 blocks die on CIFAR-10. Each of its three stages has 18 blocks, on ever smaller maps.",
            papers,
            Question(
                "Which stage lost most?",
                ("Stage 1, on 32 × 32 pixels", "Stage 2, on 16 × 16 pixels", "Stage 3, on 8 × 8 pixels"),
                "Stage 1, on 32 × 32 pixels",
                "The cut that fits the paper's numbers leaves 3, 7 and 18 of 18 blocks: there, early stages went first. It is no law: SSL's ResNet-20 lost most in stage 2, and the runs of the last step in stages 2 and 3.",
            ),
        ),
        Step(
            "What early blocks save",
            "From stage to stage maps have a quarter of the pixels and twice the channels. The ResNet-164 that SSS cut lost 15 blocks of stage 1 and 11 of stage 2; 54 % of its MACs are left.",
            prices,
            Question(
                "How many of its parameters are left?",
                ("About 30 %", "About 54 % as well", "About 85 %"),
                "About 85 %",
                kept,
            ),
        ),
    ),
)  # fmt: skip
