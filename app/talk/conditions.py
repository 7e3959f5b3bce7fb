"""Under what conditions the numbers of a figure were taken, and who is cited: a footer to read, and notes that say all."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from app import sentences
from app.runs import RunView, methods_of
from core.networks.names import shown
from core.papers import CITATIONS, caveats, points_beside
from core.runs.recorded import recorded

SHORT = {
    "SSL": "Wen et al., NIPS 2016, arXiv 1608.03665",
    "SSS": "Huang & Wang, ECCV 2018, arXiv 1707.01213",
    "NestedNet": "Kim et al., CVPR 2018, arXiv 1712.03781",
}
METHOD_PAPERS = {"sss": "SSS", "ssl": "SSL", "nested": "NestedNet", "masks": "NestedNet"}


def papers_of(methods: Collection[str]) -> list[str]:
    """The papers of these methods, cited."""
    return list(dict.fromkeys(CITATIONS[paper] for method, paper in METHOD_PAPERS.items() if method in methods))


def run_line(view: RunView) -> str:
    """``demo: ResNet-20 on digits, SSS, 120 epochs, seed 0, n = 1.``"""
    config = view.started["config"]
    known = recorded().get(view.name)
    name = known.title if known else view.name
    return f"{name}: {shown(config['network'])} on {config['dataset']}, {methods_of(config)}, {view.total_epochs} epochs, seed {config['seed']}, n = 1."


def machine_line(view: RunView) -> str:
    """``AMD EPYC, 1 thread, float32, torch 2.13.0+cpu, 2026-11-22.``; what was not recorded is left out."""
    found = (view.result or {}).get("conditions") or view.started.get("conditions") or {}
    device = found.get("device", "cpu")
    words = [
        str(found.get("cpu", "")) if device == "cpu" else device,
        sentences.plural(found["threads"], "thread") if found.get("threads") else "",
        str(found.get("precision", "")),
        f"torch {found['torch']}" if found.get("torch") else "",
        day(view.folder.about().get("created")),
    ]
    return f"{', '.join(word for word in words if word)}." if any(words) else ""


def speed_line(speed: Mapping[str, Any] | None) -> str:
    """``Medians of 30 interleaved pairs, AMD EPYC, 1 thread, batch 128, float32.``"""
    if not speed:
        return ""
    return (
        f"Medians of n = {speed['n']} interleaved pairs, {speed['cpu'] if speed['device'] == 'cpu' else speed['device']}, "
        f"{sentences.plural(speed['threads'], 'thread')}, batch {speed['batch']}, {speed['precision']}."
    )


def of_run(view: RunView) -> str:
    """The footer of a figure of one run."""
    return f"{run_line(view)}\n{machine_line(view)}".strip() if view.started else ""


def of_points(table: pd.DataFrame, cost: str, place: tuple[Any, ...] | None) -> str:
    """The footer of a trade-off: whose points these are, how many seeds and what the bars are, where times were taken, whose papers."""
    own = table[table["source"] != "paper"]
    counts = sorted({int(n) for n in own["n"].dropna()}) if len(own) else []
    several = any(n > 1 for n in counts)
    told = (
        f"Test accuracy. n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "") + " a point"
        if counts
        else "Test accuracy"
    )
    spreads = (
        {str(s) for s, n in zip(own.get("spread", []), own["n"], strict=False) if n and n > 1} if len(own) else set()
    )
    told += f", bars: {sentences.listing(sorted(spreads))}" if several else ""
    epochs = sorted({int(e) for e in own["epochs"].dropna()}) if len(own) else []
    told += f"; {epochs[0]}" + (f" to {epochs[-1]}" if len(epochs) > 1 else "") + " epochs a run." if epochs else "."
    if cost == "ms" and place:
        cpu, device, threads, batch, precision = place
        told += f" Medians, {cpu if device == 'cpu' else device}, {sentences.plural(threads, 'thread')}, batch {batch}, {precision}."
    if cost == "times":
        told += " Each against its own dense network, in interleaved pairs."
    if f"{cost}_low" in own and cost in ("ms", "times") and own.loc[own["n"] == 1, f"{cost}_low"].notna().any():
        told += " Bars of one run's time: quartiles of its pairs."
    machines = {str(name) for name in own["machine"].dropna() if name} if "machine" in own else set()
    if machines and (own["source"] == "recorded").all():
        told += f" {sentences.listing(sorted(machines))}."
    cited = cited_papers(table)
    return told + (f"\nHollow diamonds: {'; '.join(SHORT[name] for name in cited)}." if cited else "")


def notes_of_points(table: pd.DataFrame) -> str:
    """What a footer has no room for: every point in words, citations in full, and what is not known about the papers' points."""
    lines = []
    for row in table.to_dict("records"):
        n = f", n = {int(row['n'])}" if row.get("n") == row.get("n") and row.get("n") else ""
        lines.append(
            f"{row['label']}: {sentences.percent(row['accuracy'], 2)}{n}"
            + (f" ({row['citation']})" if row["source"] == "paper" else f" ({row['source']})")
        )
    lines += papers_of(set(table["method"]))
    if cited_papers(table):
        first = table.iloc[0]
        points = points_beside(first["network"], first["dataset"])
        lines += [*(CITATIONS[point.paper] for point in points), *caveats(points)]
    return "\n".join(dict.fromkeys(lines))


def cited_papers(table: pd.DataFrame) -> list[str]:
    """The papers whose points are among these."""
    if table.empty or "paper" not in set(table["source"]):
        return []
    first = table.iloc[0]
    return list(dict.fromkeys(point.paper for point in points_beside(first["network"], first["dataset"])))


def day(created: float | None) -> str:
    """``2026-11-22`` of seconds since 1970; empty where that was not recorded."""
    return datetime.datetime.fromtimestamp(created, datetime.UTC).date().isoformat() if created else ""
