"""The figures of the Live page: cards laid out two by two, only those that have something to say; what is only words stands beside a figure
that would be left alone, or in a row of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from app import chart_words, charts, sentences, speed_charts, stream_charts, theme
from app.app_pages import parts
from app.runs import RunView
from core.phases import KIND_WORDS

SWINGS = "Swings are normal while the learning rate is high: batch norm's running statistics lag behind the weights."
SURVIVAL = "Survival: share of filters alive, layer by epoch"
SURVIVAL_OF_ALL = "Survival: share of each layer's structures alive, by epoch"
SHRINK = "Factors start at 1; every step pulls them down by rate times strength. At exactly zero a filter is dead. Click a block above for another layer."


def figures(view: RunView) -> None:
    """Accuracy and loss, survival, factors, speed, the log."""
    learning = view.learns_structure()
    blocks = [s["site"] for s in view.sites if s["kind"] == "block" and view.learns(s["site"])]
    cards: list[Callable[[RunView], None]] = [_accuracy, _survival if learning else _no_survival]
    cards += [_streams] if parts.selected_site(view) else []
    cards += [_blocks] if blocks else []
    cards += [_speed] if _timed(view) else []
    words: list[Callable[[RunView], None]] = [_log] if _timed(view) else [_no_speed, _log]
    rows = [[[card] for card in cards[i : i + 2]] for i in range(0, len(cards), 2)]
    if len(rows[-1]) == 1:
        rows[-1].append(words)
    else:
        rows.append([[card] for card in words])
    for row in rows:
        for column, stack in zip(st.columns(2), row, strict=False):
            with column:
                for card in stack:
                    card(view)


def _accuracy(view: RunView) -> None:
    table = view.table()
    note = "" if view.layout["network"] == "lenet" else SWINGS
    spec = view.kept("accuracy figure", lambda: charts.accuracy_and_loss(table, view.markers()))
    parts.chart("Accuracy and loss", spec, table, key="accuracy", height=330, note=note)


def _survival(view: RunView) -> None:
    share = view.survival()

    def drawn() -> dict[str, Any]:
        names = {site: parts.short(site) for site in share.index}
        return charts.survival_heatmap(share, parts.stage_rows(view), view.markers(), names)

    spec = view.kept("survival figure", drawn)
    filters = {s["kind"] for s in view.sites if s["site"] in share.index} <= {"filter", "neuron"}
    parts.chart(SURVIVAL if filters else SURVIVAL_OF_ALL, spec, lambda: share.round(3), key="survival", height=330)


def _no_survival(view: RunView) -> None:
    with theme.card("Survival", "This run learns no structure: nothing drives a filter to zero.", key="no-survival"):
        st.caption("Compare it with a run that learns structure: the dense control is what that one has to match.")


def _streams(view: RunView) -> None:
    site = parts.selected_site(view)
    assert site is not None
    noun = view.noun(site)
    spec = view.kept(
        f"{site} figure",
        lambda: stream_charts.factor_streams(view.streams(site), parts.short(site), view.markers(), noun=noun),
    )
    note = (
        SHRINK if noun == "factor" else "The length of every filter's weights; click a block above for another layer."
    )
    title = f"{noun.capitalize()}s of {parts.short(site)}"
    parts.chart(title, spec, lambda: view.streams(site).round(4), key="streams", height=320, note=note)


def _blocks(view: RunView) -> None:
    def frame() -> pd.DataFrame:
        learned = {site: values for site, values in view.block_factors().items() if view.learns(site)}
        return pd.DataFrame(learned).rename(columns=parts.short)

    spec = view.kept("blocks figure", lambda: stream_charts.factor_streams(frame(), "blocks", view.markers()))
    parts.chart("Factors of the residual blocks", spec, lambda: frame().round(4), key="blocks", height=320)


def _speed(view: RunView) -> None:
    frame = pd.DataFrame(_timed(view))[["epoch", "measured", "low", "high", "promised", "n"]]
    last = _timed(view)[-1]
    where = f"{sentences.plural(last['threads'], 'thread')}, {last['cpu']}, batch {last['batch']}"
    note = f"n = {last['n']} interleaved pairs, {where}. The Speed page says why time and MACs part."
    spec = speed_charts.speed_curve(frame, view.markers())
    parts.chart("Speed if it were cut now", spec, frame.round(3), key="speed", height=280, note=note)


def _timed(view: RunView) -> list[dict[str, Any]]:
    """The speeds of networks that computed something; a time of nothing tells nothing."""
    left = {epoch["epoch"]: epoch["macs"] for epoch in view.epochs}
    return [speed for speed in view.speeds if left.get(speed["epoch"], 1) > 0]


def _no_speed(view: RunView) -> None:
    """Nothing measured while it trained: what may be done, or what was measured at the end."""
    if view.epochs and view.epochs[-1]["macs"] == 0:
        sentence, note = "Nothing is left to compute.", "A time of nothing would tell nothing."
    elif view.result is None:
        sentence = "Not measured yet: Measure speed does it at once, without waiting for the end."
        note = "Training pauses for about a second meanwhile, so that neither spoils the other."
    else:
        core = (view.result.get("levels") or [{"speed": None}])[0]["speed"]  # none of single weights: they save no time
        measured = core or view.measured()
        sentence = chart_words.speed(measured)
        of = "the core against the full level" if core else "the finished network"
        note = f"Of {of}; while it trained nobody asked." if measured else "The Speed page measures it."
    with theme.card(
        "Speed if it were cut now" if view.result is None else "Speed after the cut", sentence, key="no-speed"
    ):
        st.caption(note)


def _log(view: RunView) -> None:
    """What happened, newest first."""
    if view.log:
        told = f"{sentences.plural(len(view.log), 'event')} so far, newest first."
    elif view.result is None:
        told = "Nothing yet: a layer or block that dies as a whole or comes back, a moved strength and a pause are told here."
    else:
        told = "No layer or block died as a whole or came back, and nobody moved a strength or paused it."
    with theme.card("Event log", told, key="log"):
        if view.log:
            rows = [{"epoch": e["epoch"], "step": e["step"], "what": _words(e)} for e in reversed(view.log[-200:])]
            st.dataframe(
                pd.DataFrame(rows), hide_index=True, height=min(36 * (len(rows) + 1) + 2, 232), key="log-table"
            )


def _words(event: dict[str, Any]) -> str:
    kind = event["type"]
    if kind == "collapsed":
        takes = f", and with it {', '.join(parts.short(s) for s in event['takes'])}" if event["takes"] else ""
        return f"✕ {parts.short(event['site'])} died{takes}"
    if kind == "revived":
        return f"↺ {parts.short(event['site'])} came back"
    if kind == "steered":
        return f"strength on {KIND_WORDS.get(event['kind'], event['kind'])} {event['before']:g} → {event['value']:g}"
    return str(event.get("text") or kind)
