"""Speed under other conditions: sweeps over batch and threads, and ONNX Runtime beside PyTorch, each measured by a button and kept."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import streamlit as st

from app import jobs, sentences, sweep_charts, theme
from app.app_pages import parts
from app.components.live_chart import live_chart
from app.guard import guarded
from app.runs import RunView, store
from core.runs.tables import Run

KINDS = {
    "batch": ("Over batches", "Measure 1 to 128 images", "Is a small batch as fast? Measured at 1, 8, 32 and 128 images."),
    "threads": ("Over threads", "Measure each thread count", "Does the gain last with more threads? Measured from one thread to all cores."),
    "engines": ("ONNX Runtime beside PyTorch", "Measure both engines", "Does another engine gain as much? Dense and compact in both, in turn."),
}  # fmt: skip


def sweeps(run: str) -> None:
    """The three cards; while one is measured they look every second."""
    waiting = any(jobs.begun(_job(run, kind)) for kind in KINDS)
    st.fragment(_cards, run_every=1.0 if waiting else None)(run)


def _job(run: str, kind: str) -> str:
    return f"measure {kind} {run}"


@guarded
def _cards(run: str) -> None:
    found = parts.run_or_invitation("its measured speed")
    if found is None:
        return
    row, view = found
    kept = view.folder.sweeps()
    for column, kind in zip(st.columns(3, gap="medium"), KINDS, strict=True):
        with column:
            _card(row, view, kind, kept.get(kind))


def _card(row: Run | None, view: RunView, kind: str, told: dict[str, Any] | None) -> None:
    title, label, asks = KINDS[kind]
    spec = None if told is None else sweep_charts.engines(told) if kind == "engines" else sweep_charts.sweep(told)
    with theme.card(title, spec["alt"] if spec else asks, key=f"sweep-{kind}"):
        if spec is not None and told is not None:
            live_chart(spec, key=f"chart-sweep-{kind}", height=290)
            st.caption(conditions(told))
            rows = pd.DataFrame(told["rows"])
            parts.table_behind(
                lambda: rows.round(4),
                key=f"table-sweep-{kind}",
                figure=(title, spec),
                conditions=lambda: conditions(told),
            )
        if row is None:
            if told is None:
                st.caption("Not measured in this recording; a run of your own can be.")
            return
        _button(row, kind, label if told is None else "Measure again")


def conditions(told: dict[str, Any]) -> str:
    """Under what a sweep was taken, in a line."""
    parts_ = [told["cpu"]]
    if "threads" in told:
        parts_.append(sentences.plural(told["threads"], "thread"))
    if "batch" in told:
        parts_.append(f"batch {told['batch']}")
    counts = [told["n"]] if "n" in told else [row["n"] for row in told["rows"]]
    several = f"{min(counts)} to {max(counts)}" if min(counts) != max(counts) else str(counts[0])
    what = "rounds" if "n" in told else "interleaved pairs"
    parts_ += [
        told["precision"],
        f"medians of n = {several} {what} with quartiles",
        ", ".join(f"{name} {version}" for name, version in told["versions"].items()),
    ]
    return f"{', '.join(parts_)}; after epoch {told['epoch']}, {time.strftime('%Y-%m-%d %H:%M', time.localtime(told['taken']))}."


def _button(row: Run, kind: str, label: str) -> None:
    job, ready = _job(row.id, kind), row.state not in ("queued", "starting")
    if jobs.button(job, label, widget=f"measure-{kind}", ready=ready):
        jobs.start(job, "measure", row.id, "--sweep", kind, "--runs", str(store().root))
        st.rerun()  # the whole page: it now looks every second
