"""`python -m core data`: the data sets, where they are, and how to get one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table

from core.cli_shared import Data, Json, emit, fail, say
from core.data.fetching import NotFetched, fetch, listed
from core.runs import home


def data(
    name: Annotated[str | None, typer.Argument(help="The data set to fetch; without it, list them.")] = None,
    json_: Json = False,
    data: Data = None,
) -> None:
    """List the data sets, or fetch one into the folder of data sets and check it, byte for byte."""
    base = home.data_dir(data)
    if name is None:
        rows = listed(base)
        listing = {"folder": None if base is None else str(base), "datasets": rows}
        return emit(listing, json_, _table(base, rows))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=say)
    tasks: dict[str, TaskID] = {}

    def watch(file: str, done: int, size: int) -> None:
        bar.start()
        if file not in tasks:
            tasks[file] = bar.add_task(file, total=size)
        bar.update(tasks[file], completed=done)

    document, sentence = {}, ""
    try:
        document = fetch(name, base, watch)
    except NotFetched as error:
        sentence = str(error)
    finally:
        if tasks:
            bar.stop()
    if sentence:
        fail(sentence, 1)
    came = document["downloaded_bytes"]
    how = f"fetched ({decimal(came)})" if came else "there"
    words = f"{name} is {how}, every file with the SHA-256 it should have: {document['folder']}"
    emit(document, json_, words)


def _table(base: Path | None, rows: list[dict[str, Any]]) -> Table:
    lies = (
        "no folder is named: set ESPALIER_DATA, or add --data FOLDER"
        if base is None
        else f"folder of data sets: {base}"
    )
    table = Table(
        Column("data set", no_wrap=True), "state", "bytes", Column("where", no_wrap=True), "what", caption=lies
    )
    for row in rows:
        where = Path(row["where"]).name if row["where"] else ""
        table.add_row(row["name"], row["state"], decimal(row["bytes"]) if row["bytes"] else "", where, row["title"])
    table.add_row(
        "folder:PATH", "yours", "", "PATH/train/CLASS", "pictures of your own; folder:PATH@64 makes them 64x64"
    )
    return table
