"""How a sweep of speed is printed."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def sweep_table(told: dict[str, Any]) -> Table:
    """A row for every batch, thread count or engine, with quartiles; the conditions under it."""
    same = ", ".join(f"{key} {told[key]}" for key in ("batch", "threads", "n") if key in told)
    table = Table(
        caption=f"{told['cpu']}, {same}, {told['precision']}; quartiles in brackets; MACs promise {told['promised']:.2f} x"
    )
    if told["kind"] == "engines":
        for head in ("engine", "network", "ms a batch"):
            table.add_column(head)
        for row in told["rows"]:
            table.add_row(row["engine"], row["network"], f"{row['ms']:.2f} ({row['low']:.2f}-{row['high']:.2f})")
        return table
    for head in (told["kind"], "times as fast as dense", "dense ms", "compact ms", "n"):
        table.add_column(head)
    for row in told["rows"]:
        spread = f"{row['measured']:.2f} ({row['low']:.2f}-{row['high']:.2f})"
        table.add_row(
            str(row[told["kind"]]), spread, f"{row['dense_ms']:.2f}", f"{row['compact_ms']:.2f}", str(row["n"])
        )
    return table
