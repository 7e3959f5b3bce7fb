"""The commands for nested networks: what the levels are, and taking one away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from core.cli_shared import Data, Json, Runs, emit, folder_of, open_store
from core.runs import home

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run of the method nested.")]


def levels(run: RunName, json_: Json = False, runs: Runs = None, data: Data = None) -> None:
    """Show the levels of a nested run, core first: cost, accuracy, speed, proof."""
    from core.runs.jobs import levels_of_run

    store = open_store(runs, data)
    document = levels_of_run(folder_of(store, run), home.data_dir(data))
    table = Table("level", "MACs", "parameters", "test accuracy", "times as fast", "removal")
    for row in document["levels"]:
        speed = f"{row['speed']['measured']:.2f}" if row["speed"] else "1"
        macs, params = f"{row['macs']:,}", f"{row['params']:,} ({row['density']:.0%})"
        table.add_row(
            str(row["level"]), macs, params, f"{row['accuracy']['test']:.2%}", speed, row["certificate"]["verdict"]
        )
    emit(document, json_, table)


def extract(
    run: RunName,
    level: Annotated[int, typer.Option("--level", help="0 is the core.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .safetensors, .onnx, or .py.")],
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Write one level of a nested run as an ordinary network, with its certificate."""
    from core.runs.jobs import extract_of

    store = open_store(runs, data)
    folder = folder_of(store, run)
    document = extract_of(folder, level, output.resolve(), home.data_dir(data))
    words = f"{output}: level {level}, removal {document['certificate']['verdict']}, {document['macs']['compact']:,} of {document['macs']['dense']:,} MACs"
    emit(document, json_, words)
    if document["certificate"]["verdict"] == "failed":
        raise typer.Exit(1)


def budget(
    run: RunName,
    ms: Annotated[float | None, typer.Option("--ms", help="Milliseconds a batch, measured here and now.")] = None,
    macs: Annotated[float | None, typer.Option("--macs", help="Multiply-accumulates an image.")] = None,
    bytes_: Annotated[float | None, typer.Option("--bytes", help="Bytes of parameters and buffers.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, max=4096, help="Images at once.")] = 1,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Find the largest level of a nested run that fits a budget, measured on this machine."""
    from core.runs.jobs import budget_of

    store = open_store(runs, data)
    given = {"ms": ms, "macs": macs, "bytes": bytes_}
    limit = {name: value for name, value in given.items() if value is not None}
    document = budget_of(folder_of(store, run), limit, batch, home.data_dir(data))
    table = Table("level", "MACs", "bytes", f"ms a batch of {batch} (quartiles, n = {document['n']})")
    for row in document["levels"]:
        chosen = " *" if row["level"] == document["level"] else ""
        times = f"{row['ms']:.2f} ({row['ms_low']:.2f}-{row['ms_high']:.2f})"
        table.add_row(f"{row['level']}{chosen}", f"{row['macs']:,}", f"{row['bytes']:,}", times)
    emit(document, json_, table)
