"""Lesson 1: why zeros alone do not speed anything up. Recorded on one machine first, timed on this one by a button."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import sentences
from app.app_pages import parts
from app.lessons import here, progress
from app.lessons import zeros_charts as charts
from app.lessons.lesson import Lesson, Question, Step
from app.lessons.recorded import conditions, recorded

KEY = "zeros"
ASKED_AT = "0.9"
MACS = 384 * 2304 * 169  # of AlexNet's conv3 for one image: its table of weights times the positions
PATTERNS = ("Scattered", "Whole columns")
ABOUT = "Times the same three ways on this machine, in pairs with dense, at the share of zeros that is set: about ten seconds."


def _share(step: int) -> float:
    shares = [float(s) for s in recorded(KEY)["product"]]
    return st.select_slider(
        "Zeros in the layer", shares, value=0.9, key=f"zeros-{step}-share", bind="query-params", format_func=lambda s: sentences.percent(s),
    )  # fmt: skip


def _table() -> None:
    left, right = st.columns([4, 3], vertical_alignment="bottom")
    with left:
        share = _share(1)
    with right:
        pattern = st.segmented_control(
            "The zeros lie", PATTERNS, default=PATTERNS[0], key="zeros-1-pattern", bind="query-params", required=True
        )
    shown = progress.given(KEY, 1) is not None
    spec = charts.table_of_weights(share, pattern == PATTERNS[1], MACS, shown)
    table = pd.DataFrame(
        {"zeros": [share], "MACs, dense": [MACS], "MACs left": [(1 - share) * MACS]}
        | ({"promised": [1 / (1 - share)]} if shown else {})
    )
    parts.chart(
        "A piece of the layer's table of weights", spec, table, key="zeros-1", height=230,
        note="The layer: AlexNet's third convolution, 384 × 2304 weights, each used at 169 places of an image.",
    )  # fmt: skip


def _speeds(step: int, question: str, ways: list[str], hidden: str, title: str, what: str) -> None:
    unknown = None if progress.given(KEY, step) else hidden
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        share = _share(step)
    with right:
        if unknown is None:
            here.run_here(question, key=f"zeros-{step}-time", label="Time it here", about=ABOUT, sparsity=share)
    document = recorded(KEY)["product" if question == "zeros-product" else "layer"]
    done = here.answer_here(question, sparsity=share)
    spec = charts.speeds(document[f"{share:g}"], done["rows"] if done else {}, ways, unknown, share, what)
    shown = [way for way in ways if way != unknown]
    parts.chart(
        title, spec, lambda: _frame(document[f"{share:g}"], done, shown), key=f"zeros-{step}", height=84 + 74 * len(ways),
        note=_conditions(document[f"{share:g}"], done),
    )  # fmt: skip


def _frame(rows: charts.Rows, done: dict[str, Any] | None, ways: list[str]) -> pd.DataFrame:
    both = {"recorded": rows} | ({"this machine": done["rows"]} if done else {})
    table = [
        {"way": charts.WAYS[way], "measured on": where, **from_[way]} for where, from_ in both.items() for way in ways
    ]
    return pd.DataFrame(table).round(3)


def _conditions(rows: charts.Rows, done: dict[str, Any] | None) -> str:
    one = rows["csr"]
    words = f"{conditions(KEY)}, while {recorded(KEY)['load']:.0f} processes ran on {recorded(KEY)['cores']} cores: {sentences.plural(one['threads'], 'thread')}, one image, medians and quartiles of {one['n']} interleaved pairs."
    if done:
        mine = done["rows"]["csr"]
        words += (
            f" Dots, this machine: {mine['cpu']}, {sentences.plural(mine['threads'], 'thread')}, {mine['n']} pairs."
        )
    return words


def _said(way: str, document: str = "product") -> str:
    row = recorded(KEY)[document][ASKED_AT][way]
    return f"{row['measured']:.2f} × (quartiles {row['low']:.2f}–{row['high']:.2f}, n = {row['n']})"


def _reveal_promise() -> None:
    share = float(st.session_state.get("zeros-1-share", 0.9))
    _reveal("zeros-1-promise", charts.promise(share))


def _reveal_lines(step: int, ways: list[str], document: str, question: str) -> None:
    _reveal(f"zeros-{step}-lines", charts.over_sparsity(recorded(KEY)[document], ways, here.answers_here(question)))


def _reveal(key: str, spec: charts.Spec) -> None:
    parts.picking(spec, key=key, height=132)
    st.caption(spec["alt"])


def _csr_from() -> str:
    start = charts.first_faster(recorded(KEY)["product"], "csr")
    return (
        CSR_FROM[3] if start is None else CSR_FROM[0] if start <= 0.5 else CSR_FROM[1] if start <= 0.8 else CSR_FROM[2]
    )


def _removed_over_csr() -> str:
    rows = recorded(KEY)["product"][ASKED_AT]
    ratio = rows["removed"]["measured"] / rows["csr"]["measured"]
    return REMOVED[0] if ratio < 0.8 else REMOVED[1] if ratio < 1.25 else REMOVED[2] if ratio < 3 else REMOVED[3]


def _kept() -> str:
    row = recorded(KEY)["layer"][ASKED_AT]["removed"]
    times = row["measured"]
    return KEPT[0] if times > 8 else KEPT[1] if times > 3 else KEPT[2] if times > 1.2 else KEPT[3]


CSR_FROM = ("From 50 % on", "From somewhere between 60 and 80 % on", "Only from above 80 % on", "Never")
REMOVED = (
    "CSR is faster",
    "Both alike: the zeros are as many",
    "Columns removed, up to 3 times as fast as CSR",
    "Columns removed, more than 3 times as fast as CSR",
)
KEPT = (
    "Nearly all: more than 8 ×",
    "About half: 3 to 8 ×",
    "Little: 1.2 to 3 ×",
    "Nothing: it is no faster than dense",
)
PROMISED = ("1.1 ×", "1.9 ×", "9 ×", "10 ×")
AS_FAST = ("About 10 times as fast", "About twice as fast", "As fast as before")

LESSON = Lesson(
    key=KEY,
    title="Why zeros alone do not speed anything up",
    about="One layer with nine zeros in ten: guess what the clock says, then time it on this machine.",
    minutes=3,
    terms=("MAC", "sparsity", "CSR", "structured sparsity", "promised speed", "measured speed", "quartile"),
    steps=(
        Step(
            "What the arithmetic promises",
            "A layer is a table of weights; to run it, every weight is multiplied with values of the image and the products are added up; each such pair counts as one MAC. "
            "A weight that is zero adds nothing, so its MACs could be left out.",
            _table,
            Question(
                "Nine of ten weights are zero. How many times as fast is the layer, if time follows the MACs?",
                PROMISED, PROMISED[3], "A tenth of the MACs is left, and 1 / 0.1 = 10. That is a promise of the arithmetic; next we ask the clock.",
            ),
            _reveal_promise,
        ),
        Step(
            "Zeros left in place",
            "The layer runs as one large matrix product. It is timed twice with the same code: without zeros, and with zeros scattered over it.",
            lambda: _speeds(2, "zeros-product", ["dense"], "dense", "The same product with zeros in it", "the product"),
            Question(
                "With 90 % zeros among its weights, how fast is the same product?",
                AS_FAST, AS_FAST[2],
                lambda: f"It runs {_said('dense')} as fast: a dense product multiplies by zero as carefully as by any other number.",
            ),
        ),
        Step(
            "Store only what is not zero",
            "CSR, compressed sparse rows, keeps a list of the weights that are not zero, each with its place in the table. "
            "It skips every zero, but must look up a place for every weight that is left.",
            lambda: _speeds(3, "zeros-product", ["dense", "csr"], "csr", "Scattered zeros, skipped", "the product"),
            Question(
                "From which share of zeros on is CSR faster than the dense product here?",
                CSR_FROM, _csr_from,
                lambda: f"At 90 % zeros it runs {_said('csr')} as fast, where the MACs promise 10 ×: looking up places costs most of what skipping saves.",
            ),
            lambda: _reveal_lines(3, ["csr"], "product", "zeros-product"),
        ),
        Step(
            "Take whole columns out",
            "The same number of zeros can lie in whole columns of the table. Then the columns leave, and what remains is a smaller dense product.",
            lambda: _speeds(4, "zeros-product", ["dense", "csr", "removed"], "removed", "Whole columns, removed", "the product"),
            Question(
                "90 % zeros, scattered and as CSR, or in whole columns and removed: which product is faster?",
                REMOVED, _removed_over_csr,
                lambda: f"Removed columns run {_said('removed')} as fast, CSR {_said('csr')}. So structure is learned: groups of weights that are zero together.",
            ),
            lambda: _reveal_lines(4, ["csr", "removed"], "product", "zeros-product"),
        ),
        Step(
            "What a whole layer keeps",
            "So far the product ran alone. A whole layer must also gather what its columns read from the image, and write its answer; "
            "here whole layers are timed, same image in, same answer out.",
            lambda: _speeds(5, "zeros-layer", ["dense", "csr", "removed"], "removed", "The whole layer", "the whole layer"),
            Question(
                "With 90 % of the columns removed, how much of the promised 10 × does the whole layer keep?",
                KEPT, _kept,
                lambda: f"The whole layer runs {_said('removed', 'layer')} as fast: gathering its input takes time that no zero saves. Whole filters and blocks, which this program removes, need no gathering.",
            ),
            lambda: _reveal_lines(5, ["csr", "removed"], "layer", "zeros-layer"),
        ),
    ),
)  # fmt: skip
