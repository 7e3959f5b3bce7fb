"""Lesson: reading a trade-off curve, with misleading slides to catch, all from real numbers."""

from __future__ import annotations

import statistics

import pandas as pd
import streamlit as st

from app import sentences
from app.app_pages import parts
from app.lessons import curve_charts as charts
from app.lessons import here, progress
from app.lessons.curve_numbers import IMAGES, accuracies, clocks, differences, halved, shapes, signed
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.recorded import conditions

KEY = "curves"
SEED = 2  # the one that a hurried speaker would show
SOURCES = {"digits": "digits, here", "imagenet": "ImageNet, Liu et al."}
HEIGHT = 272


def asked(number: int) -> bool:
    """Whether the prediction of a step is made: the honest figure is then shown."""
    return progress.given(KEY, number) is not None


def one_seed() -> None:
    """A slide with one seed, then all five."""
    runs, honest = accuracies(), asked(1)
    seeds = list(range(len(runs["SSS"])))
    chosen = [SEED]
    if honest:
        chosen = (
            st.pills(
                "Seeds shown", seeds, selection_mode="multi", default=seeds, key=f"{KEY}-seeds", bind="query-params"
            )
            or seeds
        )
    own = statistics.fmean(differences()[seed] for seed in chosen)
    words = f"With a third of the MACs SSS is {abs(own):.1f} points {'better' if own >= 0 else 'worse'} than the dense network."
    if honest:
        spread = statistics.stdev(differences())
        some = (
            f"Of the seeds shown, SSS minus dense is {signed(own, 2)} points; of"
            if len(chosen) < len(seeds)
            else "SSS minus dense, mean of"
        )
        words = f"{some} all {len(seeds)}: {signed(statistics.fmean(differences()), 2)} ± {spread:.2f} points."
    table = pd.DataFrame(
        {"seed": seeds, "dense, %": runs["dense"], "SSS, %": runs["SSS"], "difference, points": differences()}
    ).round(2)
    table = table if honest else table.iloc[[SEED]]
    title = (
        "ResNet-20 on digits: one line a seed, bars: mean ± standard deviation"
        if honest
        else "“Pruning makes it better”"
    )
    parts.chart(
        title,
        charts.seeds(runs, sorted(chosen), words, honest),
        table,
        key=f"{KEY}-one",
        height=HEIGHT,
        note="ResNet-20 on digits, 120 epochs, the project's own evidence.",
    )


def axis() -> None:
    """Two bars on an axis that one can move."""
    runs, honest = accuracies(), asked(2)
    means = {name: statistics.fmean(values) for name, values in runs.items()}
    spreads = {name: statistics.stdev(values) for name, values in runs.items()}
    begins = st.select_slider(
        "The axis begins at",
        [0, 50, 80, 90, 95, 97, 98, 98.5, 99],
        value=99,
        format_func=lambda v: f"{v:g} %",
        key=f"{KEY}-axis",
        bind="query-params",
    )
    ratio = (means["dense"] - begins) / (means["SSS"] - begins)
    words = f"From {begins:g} %, dense ({means['dense']:.2f} %) looks {ratio:.3g} times as tall as SSS ({means['SSS']:.2f} %)."
    if honest:
        lost = (means["dense"] - means["SSS"]) / 100 * IMAGES
        words += f" Between them: {lost:.0f} of {IMAGES} test images; the deviation over seeds is larger."
    table = pd.DataFrame(
        {"network": list(means), "mean, %": means.values(), "standard deviation, points": spreads.values()}
    ).round(3)
    title = "Mean of five seeds ± standard deviation" if honest else "“Accuracy collapses under SSS”"
    parts.chart(
        title,
        charts.cut_axis(means, spreads, begins, words, honest),
        table,
        key=f"{KEY}-axis-chart",
        height=HEIGHT,
        note="ResNet-20 on digits, five seeds, the project's own evidence.",
    )


def lines() -> None:
    """Methods joined by a line, then each below its own baseline."""
    found, honest = halved(), asked(3)
    worst = found[0]
    words = (
        f"{worst['name'].replace('<br>', ' ')} began at {worst['baseline']:.1f} %, not at {found[-1]['baseline']:.1f} %: it lost {worst['baseline'] - worst['accuracy']:.1f} points, not {found[-1]['baseline'] - worst['accuracy']:.1f}."
        if honest
        else f"From {found[0]['accuracy']:.1f} % to {found[-1]['accuracy']:.1f} % at half of the weights."
    )
    if honest:
        honest = (
            st.segmented_control(
                "Figure",
                ("the slide", "the honest plot"),
                default="the honest plot",
                key=f"{KEY}-lines",
                required=True,
                bind="query-params",
                label_visibility="collapsed",
            )
            == "the honest plot"
        )
    table = pd.DataFrame([row | {"name": row["name"].replace("<br>", " ")} for row in found])
    title = "Points below each method's own baseline" if honest else "“Steady progress in pruning ResNet-56”"
    parts.chart(
        title,
        charts.joined(found, words, honest),
        table,
        key=f"{KEY}-lines-chart",
        height=HEIGHT,
        note="ResNet-56 on CIFAR-10; Kim et al., CVPR 2018, table 1.",
    )


def clock() -> None:
    """MACs sold as speed, then clocks."""
    honest = asked(4)
    found = [row | {"clocks": dict(row["clocks"])} for row in clocks()]
    if honest:
        answer = here.run_here(
            "curves-speed",
            key=f"{KEY}-speed-run",
            label="Time it here",
            about="Times the demo's network against its cut, in interleaved pairs, one thread, batch 128; a few seconds.",
        )
        if answer:
            found[0]["clocks"]["this machine, now"] = (answer["measured"], answer["low"], answer["high"])
    first = found[0]
    words = f"{first['name']}: {first['promised']:.1f} times as fast."
    if honest:
        ratio, low, high = first["clocks"]["one CPU thread, batch 128"]
        words = f"{first['name']}: {first['promised']:.1f} × promised, {ratio:.2f} × on the clock ({low:.2f}–{high:.2f} over five seeds)."
        if "this machine, now" in first["clocks"]:
            words += f" This machine, now: {first['clocks']['this machine, now'][0]:.2f} ×."
    table = pd.DataFrame([
        {"network": row["name"], "how": how, "times as fast": round(value[0], 3), "low": round(value[1], 3), "high": round(value[2], 3)}
        for row in found for how, value in ({"promised by MACs": (row["promised"],) * 3} | (row["clocks"] if honest else {})).items()
    ])  # fmt: skip
    title = "Promised by MACs, and measured" if honest else "“Speed-up of pruned networks”"
    note = (
        "Bars: over five seeds, or quartiles of 30 pairs. AMD EPYC, float32. Paper: Kim et al., table 2."
        if honest
        else "“Speed” is dense MACs over pruned MACs."
    )
    parts.chart(
        title,
        charts.promises(found if honest else found[:1], words, honest),
        table,
        key=f"{KEY}-clock",
        height=HEIGHT,
        note=note,
    )


def scratch() -> None:
    """Pruned networks beside the same shapes trained from fresh weights."""
    source = st.segmented_control(
        "Where",
        list(SOURCES),
        default="imagenet",
        format_func=SOURCES.__getitem__,
        key=f"{KEY}-where",
        required=True,
        bind="query-params",
        label_visibility="collapsed",
    )
    found, honest = shapes(source), asked(5)
    gaps = [
        (
            row["name"].rpartition(", ")[2],
            row["points"]["fresh weights, as many epochs"][0] - row["points"]["pruned by SSS"][0],
        )
        for row in found
    ]
    words = "What pruning left, without the control that everyone should ask for."
    if honest:
        told = [f"{signed(gap, 2)} ({name})" for name, gap in gaps]
        words = f"Fresh weights minus pruned, equally many epochs, in points: {sentences.listing(told, 3)}."
    note = (
        "Top-1 on ImageNet, one run each. Liu et al., ICLR 2019, arXiv 1810.05270, quoted second-hand."
        if source == "imagenet"
        else f"Five seeds, ± standard deviation. {conditions('digits')}"
    )
    table = pd.DataFrame([
        {"network": row["name"], "how": how, "accuracy, %": value, "standard deviation": spread}
        for row in found for how, (value, spread) in row["points"].items() if honest or how.startswith("pruned")
    ]).round(2)  # fmt: skip
    parts.chart(
        "Pruned, and the same shape from fresh weights",
        charts.scratch(found, words, honest),
        table,
        key=f"{KEY}-scratch",
        height=HEIGHT,
        note=note,
    )


def why_seeds() -> str:
    """What all seeds say, in numbers."""
    found = differences()
    return (
        f"Over all five the difference is {signed(statistics.fmean(found), 2)} ± {statistics.stdev(found):.2f} points, from {signed(min(found))} to {signed(max(found))}: no gain, and a loss too small to be sure of. "
        "A point without its spread is an anecdote."
    )


def why_axis() -> str:
    """What the cliff is made of, in numbers."""
    lost = -statistics.fmean(differences())
    return f"{lost:.2f} points of {IMAGES} images: one image. An axis may be cut, for points more than for bars, but then the spread has to be in the picture: begin it at 0 and see."


def why_clock() -> str:
    """What the clock says, in numbers."""
    row = clocks()[0]
    return (
        f"{row['clocks']['one CPU thread, batch 128'][0]:.2f} times, where MACs promise {row['promised']:.1f}: in thin layers time goes into moving data and starting operations, not into arithmetic. "
        "The ratio depends on machine, batch and network, so a plot of speed needs a clock and its conditions."
    )


def why_scratch() -> str:
    """What the control says here and on ImageNet, in numbers."""
    told = shapes("digits")[0]["points"]
    pruned, fresh = told["pruned by SSS"], told["fresh weights, as many epochs"]
    return (
        f"Here {fresh[0]:.2f} ± {fresh[1]:.2f} % from fresh weights, {pruned[0]:.2f} ± {pruned[1]:.2f} % by pruning; on ImageNet Liu et al. found about as much, and more with more epochs. "
        "Where that holds, pruning found a shape rather than weights; a curve without this control claims too much."
    )


LESSON = Lesson(
    key=KEY,
    title="Reading a trade-off curve",
    about="Four slides that mislead with real numbers, what is wrong with each, and the control that is most often missing.",
    minutes=10,
    terms=("seed", "dense control", "MAC", "measured speed", "promised speed", "percentage point"),
    steps=(
        Step(
            "A slide: pruning makes it better",
            "SSS took two thirds of the MACs out of a ResNet-20 for digits, and on this slide it even gains accuracy. Both numbers are real.",
            one_seed,
            Question(
                "What does the slide hide?",
                ("Nothing: a gain is a gain", "What other seeds say", "How many filters were removed"),
                "What other seeds say",
                why_seeds,
            ),
        ),
        Step(
            "A slide: accuracy collapses",
            "The same networks, now the mean of five seeds. The bars' axis does not begin at zero; move it.",
            axis,
            Question(
                "How many of the 360 test images lie between the two bars?",
                ("1", "About 10", "About 100"),
                "1",
                why_axis,
            ),
        ),
        Step(
            "A slide: steady progress",
            "Five ways to halve the weights of ResNet-56 on CIFAR-10, with the accuracies that one paper puts side by side. The line climbs by almost two points.",
            lines,
            Question(
                "What is wrong with it?",
                ("The axis does not begin at zero", "It joins methods that began at different baselines", "CIFAR-10 has only ten classes"),
                "It joins methods that began at different baselines",
                "Two of the numbers are quoted from another paper, whose unpruned network was 0.6 points worse to begin with. Different methods are no curve; and half of the weights is half of the MACs only where whole channels go.",
            ),
        ),
        Step(
            "A slide: three times as fast",
            "This one shows speed-ups, but what it plots is dense MACs over pruned MACs. Nobody has looked at a clock.",
            clock,
            Question(
                "On one CPU thread with batches of 128: how fast is the pruned network really?",
                ("3 times as fast", "About 1.5 times as fast", "Slower than before"),
                "About 1.5 times as fast",
                why_clock,
            ),
        ),
        Step(
            "The missing control",
            "A pruned network is a small network with inherited weights. So train the same small shape from fresh weights too, and compare.",
            scratch,
            Question(
                "Does the shape from fresh weights reach what pruning reached?",
                ("No, by far not", "About as good, sometimes better", "It does not learn at all"),
                "About as good, sometimes better",
                why_scratch,
            ),
        ),
    ),
)  # fmt: skip
