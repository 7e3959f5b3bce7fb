"""The collapse report in words: its sentence, its table, and what a death cost."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from app import sentences
from app.runs import strength_words
from core.runs.collapses import Collapse, Report, Thinned, standard_error


def report_sentence(report: Report) -> str:
    """Who went first, what it took along, who followed, what they were worth; or that nothing collapsed."""
    if not report.collapses:
        return _nothing(report)
    first = report.collapses[0]
    together = [row for row in report.collapses if row.epoch == first.epoch]
    later = report.collapses[len(together) :]
    if len(together) > 1:
        words = f"{_capital(sentences.listing([row.name for row in together]))} went first, all at epoch {first.epoch}."
    else:
        words = f"{_capital(first.name)} went first, at epoch {first.epoch}{_along(first)}{_fate(first)}."
    if later:
        epochs = sorted({row.epoch for row in later})
        when = f"at epoch {epochs[0]}" if len(epochs) == 1 else f"by epoch {epochs[-1]}"
        words += f" {_capital(sentences.listing([row.name for row in later]))} followed {when}."
    gone = [row for row in report.collapses if row.since is not None]
    if gone:
        share = sentences.percent(report.gone)
        words += f" What is gone held {share} of the dense MACs."
    return words


def accuracy_sentence(report: Report) -> str:
    """Validation accuracy before the first death and at the end, what so many images can tell, and which deaths cost more than usual."""
    first = report.collapses[0]
    if first.before is None or first.end is None:
        return "Validation accuracy is not recorded, so what it cost is not known."
    words = f"Validation accuracy: {sentences.percent(first.before, 1)} the epoch before the first collapse, {sentences.percent(first.end, 1)} after epoch {report.epoch}"
    if report.val_images:
        error = 100 * standard_error(first.end, report.val_images)
        words += f" ({report.val_images:,} images, one seed: {2 * error:.1f} pp may be chance)"
    dear = [
        row
        for row in report.collapses
        if (known := at_once(row)) is not None and row.swing is not None and -known > 2 * row.swing
    ]
    if dear:
        most = min(dear, key=lambda row: at_once(row) or 0.0)
        words += f". {_capital(most.name)} cost most at once, {sentences.points(at_once(most) or 0.0)} where {100 * (most.swing or 0.0):.1f} pp is usual"
    elif all(row.swing is not None for row in report.collapses):
        words += ". None cost more at once than accuracy usually changes in an epoch"
    return f"{words}."


def at_once(row: Collapse) -> float | None:
    """Change of validation accuracy in the epoch of the first death (0-1)."""
    return None if row.before is None or row.at is None else row.at - row.before


def returns(row: Collapse) -> str:
    """Whether and when it came back: `5 times: 36, 40, 42, 44, …`."""
    if not row.back:
        return "never"
    shown = ", ".join(map(str, row.back[:4])) + (", …" if len(row.back) > 4 else "")
    return f"at {shown}" if len(row.back) == 1 else f"{len(row.back)} times: {shown}"


def collapse_table(rows: Sequence[Collapse]) -> pd.DataFrame:
    """One row a collapse, in order; differences of accuracy in percentage points."""

    def points(change: float | None) -> float | None:
        return None if change is None else round(100 * change, 2)

    return pd.DataFrame([
        {
            "#": row.order, "what": row.name, "kind": row.kind, "epoch": row.epoch, "took along": ", ".join(map(_layer, _others(row))) or "nothing else",
            "came back": returns(row), "gone since": "lives at the end" if row.since is None else f"epoch {row.since}",
            "at once": points(at_once(row)), "usual": points(row.swing),
            "by the end": points(None if row.before is None or row.end is None else row.end - row.before),
            "MACs when dense": row.macs, "MACs just before": row.macs_before,
            "strength then": (strength_words(row.strengths) if row.strengths else "none") + (", steered before" if row.steered else ""),
        }
        for row in rows
    ])  # fmt: skip


def thinned_table(rows: Sequence[Thinned]) -> pd.DataFrame:
    """One row a site that thinned, most first."""
    return pd.DataFrame([
        {
            "what": row.name, "alive": row.alive / row.total, "units": f"{row.alive} of {row.total}", "first loss": row.first,
            "half gone since": "more than half live" if row.half is None else f"epoch {row.half}",
        }
        for row in rows
    ])  # fmt: skip


def _nothing(report: Report) -> str:
    if not report.sites:
        return "This network has no site whose units could die."
    if not report.thinned:
        return f"Nothing collapsed and nothing thinned: all {sentences.plural(report.sites, 'site')} have every unit after epoch {report.epoch}."
    most = report.thinned[0]
    since = "" if most.half is None else f", half of it gone since epoch {most.half}"
    return f"Nothing collapsed by epoch {report.epoch}. {_capital(most.name)} thinned most: {most.alive} of {most.total} alive{since}."


def _along(row: Collapse) -> str:
    others = [_layer(path) for path in _others(row)]
    return f", and took {sentences.listing(others, 4)} along" if others else ""


def _others(row: Collapse) -> list[str]:
    own = row.site.rpartition("/")[0]
    return [path for path in row.takes if path != own]


def _layer(path: str) -> str:
    return path.rpartition(".")[2]


def _fate(row: Collapse) -> str:
    if not row.back:
        return "" if row.since is None else "; it never came back"
    times = f"at epoch {row.back[0]}" if len(row.back) == 1 else f"{len(row.back)} times"
    end = "lives at the end" if row.since is None else f"is gone since epoch {row.since}"
    return f"; it came back {times} and {end}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
