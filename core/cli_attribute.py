"""`python -m core attribute`: which filters carried the answer before any died, and whether those were kept."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from core.cli_shared import Data, Json, RunName, Runs, emit, folder_of, open_store, say
from core.runs import home


def attribute(
    run: RunName,
    epoch: Annotated[
        int | None, typer.Option("--epoch", min=0, help="Of the checkpoint; the last before the first unit died.")
    ] = None,
    images: Annotated[int, typer.Option("--images", min=2, max=5000, help="Validation images.")] = 64,
    control: Annotated[
        str | None, typer.Option("--control", help="Measure in this run instead: one that began with the same weights.")
    ] = None,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Measure how much each filter carries, before any died, and compare it with how long each lived."""
    from core.runs.attributing import attribute as attributed

    store = open_store(runs, data)
    folder = folder_of(store, run)
    other = folder_of(store, control) if control else None
    document = attributed(
        folder, images, home.data_dir(data), epoch=epoch, control=other, say=lambda words: say.print(words)
    )
    table = Table("what", "measure", "rank correlation within layers (95 %)", "across", "kept above lost")
    for kind in document["kinds"]:
        for name in ("conductance", "taylor", "norm"):
            shown = [_number(kind[name][of]) for of in ("within", "across", "auc")]
            table.add_row(f"{kind['units']} {kind['kind']}s, {kind['lost']} lost", name, *shown)
    emit(document, json_, table)


def _number(found: dict[str, Any]) -> str:
    if found["value"] is None or found["low"] is None:
        return "not defined"
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
