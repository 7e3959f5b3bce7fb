"""Lesson: a filter of zeros behind a norm still says a number, and what a cut has to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app import proof_words, sentences, theme
from app.app_pages import parts
from app.lessons import here, progress
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.map_charts import Panel, inside, maps
from app.lessons.recorded import conditions, recorded

KEY = "constants"
PADDINGS = {"zeros": "zeros", "reflect": "reflected pixels", "none": "none"}
CASES = {
    "dead": "a filter of exact zeros, cut by the knife",
    "dropped": "the same filter, taken for silent",
    "chosen": "a living filter, crossed out by hand",
    "constant": "a network that says nearly the same to every image",
    "small": "a filter whose weights are all 0.001",
}
HEIGHT = 262
Map = Sequence[Sequence[float]]


def told(shift: float, padding: str, seed: int = 0) -> dict[str, Any]:
    """This machine's answer for a shift, a padding and a seed, where it was asked; otherwise the recorded one of seed 0."""
    if answer := here.answer_here("constants-cuts", shift=shift, padding=padding, seed=seed):
        return answer
    return next(row for row in recorded("constants")["rows"] if (row["shift"], row["padding"]) == (shift, padding))


def asked(number: int) -> bool:
    """Whether the prediction of a step is made: its figure then tells all."""
    return progress.given(KEY, number) is not None


def largest(values: Map) -> float:
    """The largest size among the values."""
    return max(abs(value) for row in values for value in row)


def middle(values: Map) -> float:
    """The value in the middle."""
    return values[len(values) // 2][len(values[0]) // 2]


def shift_of(step: int) -> float:
    """The norm's shift, by a slider."""
    return float(st.select_slider("Shift of the norm", shifts(), value=0.75, key=f"{KEY}-shift-{step}", bind="query-params", format_func=lambda s: f"{s:g}".replace("-", sentences.MINUS)))  # fmt: skip


def padding_of(step: int) -> str:
    """The padding of both convolutions."""
    chosen = st.segmented_control(
        "Padding", list(PADDINGS), default="zeros", format_func=PADDINGS.__getitem__, key=f"{KEY}-padding-{step}", required=True, bind="query-params",
    )  # fmt: skip
    return chosen or "zeros"


def shifts() -> list[float]:
    """The recorded shifts."""
    return sorted({row["shift"] for row in recorded("constants")["rows"]})


def shown(title: str, panels: Sequence[Panel], alt: str, key: str, here_now: bool = False) -> None:
    """Maps in a card, every number in the table behind; `here_now`: computed on this machine, not recorded."""

    def table() -> pd.DataFrame:
        rows = [
            {"map": panel.title, "row": r, "column": c, "value": value}
            for panel in panels for r, row in enumerate(panel.values or ()) for c, value in enumerate(row)
        ]  # fmt: skip
        return pd.DataFrame(rows)

    parts.chart(
        title,
        maps(panels, alt),
        table,
        key=f"{KEY}-{key}",
        height=HEIGHT,
        note="" if here_now else conditions("constants"),
    )


def says() -> None:
    """What the channel says, operation by operation."""
    left, right = st.columns(2)
    with left:
        which = st.segmented_control(
            "Channel", ("living", "dead"), default="dead", key=f"{KEY}-channel", required=True, bind="query-params"
        )
    with right:
        answer = told(shift_of(1), "zeros")
    steps, secret = answer["steps"], which == "dead" and not asked(1)
    after = None if secret else steps["relu"][which]
    words = (
        f"A convolution of zeros gives 0; the norm then adds its shift, {answer['shift']:g}."
        if secret
        else f"Behind norm and relu the dead channel says {answer['said']:g} at every position, for every image."
        if which == "dead"
        else "The living channel answers to the image: a handwritten digit of 8 × 8 pixels."
    ).replace("-", sentences.MINUS)
    strongest = max(largest(steps["convolution"]["living"]), 1.0)
    shown(
        f"The {which} channel",
        [Panel("after the convolution", steps["convolution"][which], strongest), Panel("after norm and relu", after, strongest)],
        words, "says",
    )  # fmt: skip


def dropped() -> None:
    """What a naive cut changes."""
    shift = shift_of(2)
    answer = told(shift, padding_of(2))
    change = answer["cuts"]["dropped"]["difference"] if asked(2) else None
    words = "The answer of the whole network, before anything is cut."
    if change:
        off, centre = largest(change), abs(middle(change))
        words = (
            f"Without the channel the answer is off by {centre:.2f} in the middle and by up to {off:.2f} elsewhere."
            if off > 1e-9
            else "Without the channel the answer is the same: with this shift the relu says 0."
        )
    shown(
        "Taken for silent",
        [Panel("answer of the whole network", answer["dense"], largest(answer["dense"])), Panel("change without the channel", change, 1.0)],
        words, "dropped",
    )  # fmt: skip


def folded() -> None:
    """The repair by a bias, and the window that explains where it fails."""
    answer = told(0.75, padding_of(3))
    one, two = st.columns(2)
    side = len(answer["dense"])
    row = one.slider("Window's row", 0, 7, 0, key=f"{KEY}-row", bind="query-params")
    column = two.slider("Window's column", 0, 7, 3, key=f"{KEY}-column", bind="query-params")
    at = (min(row, side - 1), min(column, side - 1))
    missing = [] if answer["padding"] != "zeros" else [tap for tap in taps() if not inside(at, tap, side)]
    given = answer["said"] * sum(answer["reads"][r][c] for r, c in taps() if (r, c) not in missing)
    words = (
        f"Here {9 - len(missing)} of 9 weights meet the channel: it gave {given:.2f}, the bias gives {answer['bias']:.2f}."
    ).replace("-", sentences.MINUS)
    wrong = answer["cuts"]["folded"]["difference"] if asked(3) else None
    shown(
        "What the bias cannot know",
        [
            Panel("weights; grey: on padding", answer["reads"], largest(answer["reads"]), faded=missing),
            Panel("still wrong by", wrong, 1.0, framed=at),
        ],
        words, "folded",
    )  # fmt: skip


def taps() -> list[tuple[int, int]]:
    """The places of a 3 x 3 kernel."""
    return [(r, c) for r in range(3) for c in range(3)]


def carried() -> None:
    """The knife's own cut: what it keeps, and what is left of the difference."""
    padding, seed = padding_of(4), 0
    if asked(4):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            seed = int(
                st.number_input("Weights from seed", 0, 9999, 0, key=f"{KEY}-seed", bind="query-params", width=130)
            )
            here.run_here(
                "constants-cuts", key=f"{KEY}-run", about="Draws the network, cuts it in three ways and proves each, on this machine; seconds.",
                quick=True, shift=0.75, padding=padding, seed=seed,
            )  # fmt: skip
    answer = told(0.75, padding, seed)
    cut, dropped = answer["cuts"]["carried"], answer["cuts"]["dropped"]
    once = cut["macs"] - cut["macs_per_image"]
    price = f"{answer['macs_per_image']:,} MACs an image become {cut['macs_per_image']:,}"
    price += f", and {once} once a batch." if once else "; the bias can hold the constant."
    left = [[value / 1e-16 for value in row] for row in cut["difference"]] if asked(4) else None
    here_now = (
        seed == answer["seed"] and here.answer_here("constants-cuts", shift=0.75, padding=padding, seed=seed) is answer
    )
    words = f"{proof_words.certificate(cut['certificate'])} {price}" if asked(4) else price
    if asked(4) and seed != answer["seed"]:
        words += " Shown: seed 0, recorded; press the button for your own."
    shown(
        "Carried along, computed here just now" if here_now else "Carried along",
        [
            Panel("what the kept constant adds", [[-value for value in row] for row in dropped["difference"]]),
            Panel("difference that is left, in 10⁻¹⁶", left, 1e3, ".1f"),
        ],
        words, "carried", here_now,
    )  # fmt: skip


def certificates() -> None:
    """Five cuts and their certificates."""
    case = st.selectbox(
        "What is cut", list(CASES), format_func=CASES.__getitem__, key=f"{KEY}-case", bind="query-params"
    )
    proof = recorded("constants")["verdicts"][case]
    if case == "small" and not asked(5):
        with theme.card("Certificate", "Make your prediction first.", key=f"{KEY}-proof"):
            st.caption("Its numbers and its verdict appear with your answer.")
        return
    with theme.card("Certificate", verdict_of(case, proof), key=f"{KEY}-proof"):
        rows = [
            r | {"must be": r["must be"].partition(",")[0]}
            for r in proof_words.certificate_rows(proof)
            if not r["what"].startswith(("same", "largest difference of"))
        ]
        st.table(pd.DataFrame(rows), hide_index=True)
        st.caption(conditions("constants"))


def verdict_of(case: str, proof: dict[str, Any]) -> str:
    """A certificate in a sentence; that of a cut which took a channel for silent does not speak of a network to use."""
    if case == "dropped":
        return f"Failed: the answers differ by up to {sentences.percent(proof['max_rel'])} of the output's spread."
    return proof_words.certificate(proof)


def off_by() -> str:
    """Why the naive cut is wrong, with the recorded numbers."""
    change = told(0.75, "zeros")["cuts"]["dropped"]["difference"]
    return (
        "A window in the middle sees 0.75 nine times; at the border some of its weights meet padding, which is 0. "
        f"All that is lost: {abs(middle(change)):.2f} in the middle, up to {largest(change):.2f} at the border."
    )


def how_exact() -> str:
    """Why the knife's cut is exact, with the recorded number."""
    proof = told(0.75, "zeros")["cuts"]["carried"]["certificate"]
    return (
        f"The largest difference is {sentences.scientific(proof['max_rel'])} of the output's spread: rounding, over {proof['inputs']} inputs of two sizes. "
        "Nothing was dropped; what is the same for every image is only computed once."
    )


LESSON = Lesson(
    key=KEY,
    title="What a dead channel still says",
    about="A filter of zeros is not silent. How a cut can stay exact all the same, and what its certificate proves.",
    minutes=8,
    terms=("filter", "uniform", "field", "carry", "exact", "certificate"),
    steps=(
        Step(
            "Zero weights, and still a number",
            "All weights of one filter are zero, so its convolution gives 0 everywhere, whatever the image. Behind it stand a norm, which adds its learned shift, and a relu, which turns what is negative into 0.",
            says,
            Question(
                "With a shift of 0.75, what does the next layer read from the dead channel?",
                ("0 everywhere", "One and the same number everywhere", "A faint copy of the image"),
                "One and the same number everywhere",
                "The norm turns 0 into its shift and the relu lets it pass: 0.75 at every position, for every image. Only with a shift of 0 or less is the channel silent: try it.",
            ),
        ),
        Step(
            "Take the channel away",
            "A naive cut takes the filter, its norm and the weights that read it, as if it said nothing. The next convolution pads its border with zeros.",
            dropped,
            Question(
                "How does the network's answer change?",
                ("Not at all: the weights were zero", "By the same amount everywhere", "By one amount in the middle, by others at the border"),
                "By one amount in the middle, by others at the border",
                off_by,
            ),
        ),
        Step(
            "Give the number to the bias",
            "The usual repair adds what is lost in the middle to the next layer's bias, one number for all positions. Move the window: which of its nine weights meet the channel, and which only padding?",
            folded,
            Question(
                "With padding of zeros, where is the repaired answer still wrong?",
                ("Nowhere", "At the border", "In the middle"),
                "At the border",
                "There fewer than nine weights meet the channel, but the bias adds all nine. With no padding, or with reflected pixels, every window sees the same and the bias is enough: try it.",
            ),
        ),
        Step(
            "Carry the constant",
            "Espalier's knife keeps the constant: a map filled with it goes through the weights that read it, padding and all, once a batch instead of once an image. What comes out is added to the smaller network's answer.",
            carried,
            Question(
                "In double precision, how far apart are the trained and the cut network's answers at most?",
                ("About 10⁻¹⁶ of the spread: rounding", "About 10⁻³ of the spread", "A tenth of the spread and more"),
                "About 10⁻¹⁶ of the spread: rounding",
                how_exact,
            ),
        ),
        Step(
            "Read a certificate",
            "Every cut comes with a certificate: both networks on the same inputs, their largest difference beside the output's spread, and a verdict. Choose a cut and read its numbers.",
            certificates,
            Question(
                "A filter's weights are all 0.001 instead of 0. What does the certificate of its cut say?",
                ("Exact", "Nothing was removed", "Failed"),
                "Nothing was removed",
                "0.001 is not 0: the filter still answers to the image, so it has to stay, and the certificate says so loudly. Small is not dead.",
            ),
        ),
    ),
)  # fmt: skip
