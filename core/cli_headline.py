"""`python -m core headline`: the published sparsities of SSL's table 4, timed on this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from core import table4
from core.cli_shared import Json, emit, say
from core.errors import one_of

PROTOCOLS = [name for name in table4.BATCHES if name != "sweep"]


def headline(
    layer: Annotated[list[str] | None, typer.Option("--layer", help="conv1 to conv5; repeat for more; all.")] = None,
    rows: Annotated[str, typer.Option("--rows", help="Rows of table 4, with commas.")] = "1,2,4,5",
    protocol: Annotated[
        list[str] | None,
        typer.Option("--protocol", help=f"{', '.join(PROTOCOLS)}; repeat for more; product."),
    ] = None,
    sweep: Annotated[
        list[str] | None, typer.Option("--sweep", help="Also this layer at equal sparsities; repeat for more.")
    ] = None,
    json_: Json = False,
) -> None:
    """Time CaffeNet's convolutions at the sparsities of SSL's table 4: as CSR, and with rows and columns removed."""
    for given, known, where in (
        (layer or [], table4.LAYERS, "--layer"),
        (sweep or [], table4.LAYERS, "--sweep"),
        (protocol or [], PROTOCOLS, "--protocol"),
        (rows.split(","), [str(number) for number in table4.ROWS], "--rows"),
    ):
        for word in given:
            if word not in known:
                raise one_of(where, word, known)
    from core.headline import about, cases, measured

    table = Table(table4.NAME, "layer", "times as fast as dense (quartiles)", "promised", "n", "threads", "batch")
    document: dict[str, Any] = about() | {"rows": {}}
    todo = cases(protocol or ("product",), layer or table4.LAYERS, [int(number) for number in rows.split(",")])
    todo += cases(("sweep",), sweep or (), ())
    for done, case in enumerate(todo):
        say.print(f"{done + 1} of {len(todo)}: {case.key}")
        row = document["rows"][case.key] = measured(case)
        spread = f"{row['measured']:.2f} ({row['low']:.2f}-{row['high']:.2f})"
        table.add_row(
            case.key.rpartition("/")[0], case.layer, spread, f"{row['promised']:.2f}", str(row["n"]), str(row["threads"]), str(row["batch"])
        )  # fmt: skip
    emit(document, json_, table)
