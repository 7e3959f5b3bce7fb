"""Speed: what the cut buys on this machine, measured against what the MACs promise."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import chart_words, jobs, proof_words, sentences, speed_charts, theme
from app.app_pages import parts
from app.app_pages.headline import headline
from app.app_pages.speed_sweeps import sweeps
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row
from app.guard import guarded
from app.level_words import level_name
from app.runs import RunView, is_living, store
from core.errors import WrongMoment
from core.losses import RULES
from core.runs.control import steer
from core.runs.tables import Run


def page() -> None:
    """The selected run's speed."""
    plotly_loader()
    found = parts.run_or_invitation("its measured speed")
    if found is not None:
        row, view = found
        parts.header(row, view)
        waiting = is_living(row) or jobs.begun(f"measure {view.name}")
        st.fragment(_measured, run_every=1.0 if waiting else None)(view.name)
        sweeps(view.name)
    headline()
    glossary_row("MAC", "measured speed", "promised speed", "quartile", "batch", "memory kept", "compact", "CSR")


@guarded
def _measured(run: str) -> None:
    found = parts.run_or_invitation("its measured speed")
    if found is None:
        return
    row, view = found
    parts.said()
    if proof_words.is_empty(view.result):
        parts.warn_if_empty(view)
        return
    result = view.measured()
    _levels(view)
    with theme.card("Whole network", chart_words.speed(result), key="speed-whole"):
        _button(row, view)
        if result:
            theme.kpi_row([
                ("measured", f"{result['measured']:.2f} ×", f"quartiles {result['low']:.2f}–{result['high']:.2f}, n = {result['n']} pairs"),
                ("promised by MACs", f"{result['promised']:.2f} ×", "if time followed arithmetic"),
                ("dense", sentences.milliseconds(result["dense_ms"]), f"median for a batch of {result['batch']}"),
                ("compact", sentences.milliseconds(result["compact_ms"]), f"median for a batch of {result['batch']}"),
                ("conditions", sentences.plural(result["threads"], "thread"), f"{result['cpu']} · {result['device']} · {result['precision']} · subnormals flushed{' · memory kept' if result.get('memory_kept') else ''}"),
            ])  # fmt: skip
            st.caption(_why(result))
    if result and result.get("layers"):
        frame = layer_frame(result["layers"])
        parts.chart(
            "Layer by layer",
            speed_charts.speed_layers(frame),
            frame.round(4),
            key="speed-layers",
            height=max(300, 22 * min(24, len(frame)) + 90),
            note=rules(frame),
        )
    if len(view.speeds) > 1:
        frame = pd.DataFrame(view.speeds)[["epoch", "measured", "low", "high", "promised", "n"]]
        parts.chart(
            "Speed while it trained",
            speed_charts.speed_curve(frame, view.markers()),
            frame.round(3),
            key="speed-curve",
            height=280,
        )


def _levels(view: RunView) -> None:
    """Of a nested run: how much faster each level is than the full one, as measured at the end."""
    levels = (view.result or {}).get("levels") or []
    if not levels:
        return
    tiles = [
        (
            f"level {level_name(level['level'], len(levels))}", f"{told['measured']:.2f} ×",
            f"quartiles {told['low']:.2f}–{told['high']:.2f}, n = {told['n']} pairs; promised {told['promised']:.2f} ×",
        )
        for level in levels if (told := level["speed"])
    ]  # fmt: skip
    untimed = (
        "Levels of single weights save no time: each computes as much as the full one."
        if levels[0]["macs"] == levels[-1]["macs"]
        else "The levels were not timed."
    )
    said = "Each level taken away, against the full one." if tiles else untimed
    with theme.card("Level by level", said, key="speed-levels"):
        if tiles:
            theme.kpi_row(tiles)
        st.page_link(
            st.session_state["pages"]["levels"], label="Its levels: accuracy, cost, proof", icon=":material/layers:"
        )


def layer_frame(layers: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a layer, those that lose most of the promised time first; `reason` of those that lose any, and of what left."""
    frame = pd.DataFrame(layers)
    frame["path"] = [parts.short(path) for path in frame["path"]]
    frame["lost_ms"] = chart_words.lost_ms(frame)
    if "reason" in frame:
        told = (frame["lost_ms"] > 0) | (frame["compact_ms"] == 0)
        frame["reason"], frame["numbers"] = frame["reason"].where(told, ""), frame["numbers"].where(told, "")
    return frame.sort_values("lost_ms", ascending=False, na_position="last")


def rules(frame: pd.DataFrame) -> str:
    """What the reasons in the figure mean; where none were recorded, what brings them."""
    if "reason" not in frame or not frame["reason"].any():
        return (
            ""
            if "reason" in frame
            else "Measured before reasons were kept; measure again to see why a layer parts from its MACs."
        )
    known = [name for name in RULES if name in set(frame["reason"])]
    return "Rules of thumb from shapes and counts: a likely cause, not its size. " + " ".join(
        f"{name.capitalize()}: {RULES[name]}." for name in known
    )


def _why(result: dict[str, Any]) -> str:
    """Why measured and promised part, in plain words."""
    if result["promised"] == 1:
        return (
            "Nothing was removed: both are the same network, and what differs is how two timings of one thing scatter."
        )
    gap = result["promised"] / result["measured"] if result["measured"] else 1
    if gap < 1.15:
        return "Time follows arithmetic here."
    if result["dense_ms"] < 20:
        return "A small network spends much of its time starting operations, not computing: fewer channels save little there. Removed blocks save whole operations."
    return "Thin layers wait for memory and use vector units badly: their time falls less than their MACs."


def _button(row: Run | None, view: RunView) -> None:
    if row is None:
        st.caption(
            "This is a recording: its times were taken on the machine named here. Train a run of your own to measure this one."
        )
        return
    ready = row.state not in ("queued", "starting")
    if jobs.button(f"measure {row.id}", "Measure speed now", widget="measure", ready=ready, primary=True):
        _measure(row.id, is_living(row))
        st.rerun()  # the whole page: it now looks every second


def _measure(run: str, living: bool) -> None:
    """A living run measures itself; of any other, a process of its own does."""
    if living:
        try:
            steer(store(), run, "measure")
        except WrongMoment as error:
            st.session_state["said"] = str(error)
        return
    jobs.start(f"measure {run}", "measure", run, "--runs", str(store().root))
