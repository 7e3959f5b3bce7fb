"""What every command shares: the options that mean the same everywhere, and how an answer is printed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from core.runs import home
from core.runs.control import row_from
from core.runs.folder import RunFolder
from core.runs.recorded import is_recorded, recorded
from core.runs.store import Store
from core.runs.tables import Run

say = Console(stderr=True, highlight=False)
UNBROKEN = 1000  # columns of a table at most, where nobody says how wide a line may be

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or an unambiguous beginning of it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Runs = Annotated[Path | None, typer.Option("--runs", help="Folder of runs (or ESPALIER_RUNS).")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of data sets (or ESPALIER_DATA).")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="A setting, key=value; repeat for more.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Seeds, with commas: 0,1,2.")]
Controls = Annotated[
    bool, typer.Option("--controls", help="Also the dense network equally long, and the cut shape from scratch.")
]


def fail(sentence: str, status: int) -> NoReturn:
    """End the process with `sentence` on standard error."""
    print(sentence, file=sys.stderr)
    sys.exit(status)


def emit(document: dict[str, Any], as_json: bool, words: Any = None) -> None:
    """Print the answer of a command: the document, or words for people; into a file or a pipe in lines as long as they are."""
    if as_json:
        print(json.dumps(_finite(document), allow_nan=False))
    else:
        told = sys.stdout.isatty() or "COLUMNS" in os.environ
        said = words if words is not None else json.dumps(document, indent=1)
        Console(width=None if told else UNBROKEN).print(said, soft_wrap=not told and isinstance(said, str))


def _finite(value: Any) -> Any:
    """JSON has no NaN: null says that there is no number."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))) else value


def open_store(runs: Path | None, data: Path | None = None) -> Store:
    """The store of runs; the folder of data sets is told to the processes that this one starts."""
    if data is not None:
        os.environ["ESPALIER_DATA"] = str(data)
    return Store(home.runs_root(runs))


def row_of(store: Store, run: str) -> Run:
    """The row of a run, to be read: of the store, or of one that comes with the program, by its name (`demo`). BadInput where there is neither."""
    return row_from(folder_of(store, run).about(), run) if is_recorded(run) else store.get(run)


def folder_of(store: Store, run: str) -> RunFolder:
    """The records of a run, to be read: of the store, or of one that comes with the program, by its name (`demo`). BadInput where there is neither."""
    return RunFolder(recorded()[run].folder if is_recorded(run) else store.root / store.get(run).id)
