"""The commands that take a finished run away as files, bring one in, or time it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.cli_shared import Data, Json, RunName, Runs, emit, folder_of, open_store
from core.cli_speed import sweep_table
from core.runs import home
from core.runs.recorded import is_recorded


def compact(
    run: RunName,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="File to write: .safetensors, .onnx, or .py with its weights beside it."),
    ],
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Write the compact network of a run's newest checkpoint, with its certificate."""
    from core.runs.jobs import compact_of

    store = open_store(runs, data)
    document = compact_of(folder_of(store, run), output.resolve(), home.data_dir())
    macs = document["macs"]
    emit(
        document,
        json_,
        f"{output}: removal {document['certificate']['verdict']}, {macs['compact']:,} of {macs['dense']:,} MACs",
    )
    if document["certificate"]["verdict"] == "failed":
        raise typer.Exit(1)


def measure(
    run: RunName,
    sweep: Annotated[str | None, typer.Option("--sweep", help="Over batch, threads or engines (ONNX Runtime).")] = None,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Time the compact network of a run's newest checkpoint against the dense one."""
    from core.runs.jobs import measure_of, sweep_of

    store = open_store(runs, data)
    folder, keep = folder_of(store, run), not is_recorded(run)
    name = folder.path.name
    if sweep:
        told = sweep_of(folder, sweep, home.data_dir(), keep=keep)
        return emit({"run": name, "sweep": told}, json_, sweep_table(told))
    speed = measure_of(folder, home.data_dir(), keep=keep)
    words = f"{speed['measured']:.2f} x measured ({speed['low']:.2f}-{speed['high']:.2f}, n = {speed['n']} pairs, batch {speed['batch']}, {speed['threads']} threads, {speed['cpu']}), {speed['promised']:.2f} x promised by MACs"
    emit({"run": name, "speed": speed}, json_, words)


def export(
    run: RunName,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder, or file.zip, to write; must not exist.")],
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Copy a run's records, newest weights and compact network to a folder or one file that any Espalier can show."""
    from core.runs import bundle
    from core.runs.export import export as copy

    store = open_store(runs)
    folder = folder_of(store, run)
    as_file, name = output.suffix == bundle.SUFFIX, folder.path.name
    (bundle.pack if as_file else copy)(folder, output)
    emit({"run": name, "file" if as_file else "folder": str(output)}, json_, f"{name} is in {output}")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="What `export RUN -o FILE.zip` wrote.")],
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Take in a run that was exported to one file; it is checked first, and nothing in it is run."""
    from core.runs.bundle import unpack

    name = unpack(open_store(runs), file, str(file))
    emit({"run": name}, json_, f"{file} is run {name}")
