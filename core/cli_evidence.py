"""`evidence`: the tables that the project stands by, listed, completed, printed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from core.cli_shared import Data, Json, Runs, emit, open_store, say
from core.cli_train import train

Only = Annotated[str, typer.Option("--only", help="Only rows whose names hold this, for example .0 for seed 0.")]
Markdown = Annotated[
    bool, typer.Option("--markdown", help="Print the table as it stands, without a name the README's; run nothing.")
]


def evidence(
    table: Annotated[str | None, typer.Argument(help="The table to complete; without it, list them.")] = None,
    only: Only = "",
    markdown: Markdown = False,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Run what a table of evidence still lacks, row by row; without a name, list the tables."""
    from core.evidence import doing, rendering

    if markdown:
        typer.echo(rendering.markdown(doing.known(table).name) if table else rendering.readme_section())
        return
    rows = [doing.complete(table, open_store(runs, data), train, say.print, only)] if table else doing.listed()
    words = Table("table", "rows", "missing", "what")
    for row in rows:
        lacks = row["missing"]
        words.add_row(
            row["name"], str(row["rows"]), f"{len(lacks)}, next {lacks[0]}" if lacks else "none", row["title"]
        )
    emit({"tables": rows}, json_, words)
