"""The command that crosses units out by hand: what it would leave, proved and measured on the whole test set; fine-tuning from there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from core.cli_shared import Data, Json, RunName, Runs, emit, folder_of, open_store
from core.crossed import parsed
from core.errors import BadInput
from core.runs import home


def whatif(
    run: RunName,
    cross: Annotated[
        list[str] | None,
        typer.Option("--cross", help="SITE=0,3-5, or SITE for all of it, as stage2.1/block; repeat for more."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Units go whose importance, over their layer's mean, is at most this."),
    ] = None,
    importance: Annotated[
        str | None, typer.Option("--importance", help="How units are ranked: l1 (if not said), l2, scale or effect.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the compact network: .safetensors, .onnx or .py.")
    ] = None,
    fine_tune: Annotated[
        int | None, typer.Option("--fine-tune", min=1, help="Queue a run that goes on from there for so many epochs.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="Learning rate of that run; else a tenth of this run's last.")
    ] = None,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Show what a run's network would be without units that you cross out; fine-tune from there."""
    from core.runs.by_hand import fine_tune as go_on
    from core.runs.by_hand import totals_of
    from core.runs.jobs import whatif_of

    if not cross and threshold is None:
        raise BadInput(
            "whatif must be told what to cross out; got neither --cross nor --threshold; for example --threshold 0.3"
        )
    if importance is not None and threshold is None:
        raise BadInput(f"--importance must come with --threshold; got {importance!r} alone; add --threshold")
    if lr is not None and fine_tune is None:
        raise BadInput(f"--lr must come with --fine-tune; got {lr} alone; add --fine-tune EPOCHS")
    store = open_store(runs, data)
    folder = folder_of(store, run)
    if fine_tune is not None:
        store.get(run)  # a recorded run is no run of this store to go on from
    crossed = parsed(";".join(cross or []), totals_of(folder))
    place = None if output is None else output.resolve()
    document = whatif_of(folder, crossed, threshold, importance or "l1", place, home.data_dir())
    if fine_tune is not None:
        document["fine_tuned"] = go_on(store, store.get(run).id, document["crossed"], fine_tune, lr)
    emit(document, json_, Text(_words(document)))
    if document["certificate"]["verdict"] == "failed":
        raise typer.Exit(1)


def _words(document: dict[str, Any]) -> str:
    macs, params, test = document["macs_per_image"], document["params"], document["test"]
    units = sum(len(units) for units in document["crossed"].values())
    before, after, apart = test["dense"], test["compact"], test["difference"]
    words = [
        f"{document['run']} after epoch {document['epoch']} without {units} crossed unit{'s' * (units != 1)}: {macs['compact']:,} of "
        f"{macs['dense']:,} MACs per image, {params['compact']:,} of {params['dense']:,} parameters",
        f"on {test['images']:,} test images {before['accuracy']:.2%} before ({before['low']:.2%} to {before['high']:.2%}), {after['accuracy']:.2%} "
        f"after ({after['low']:.2%} to {after['high']:.2%}); difference {apart['value']:+.2%} ({apart['low']:+.2%} to {apart['high']:+.2%}), 95 % intervals",
        f"removal {document['certificate']['verdict']}, against the network "
        + ("with the crossed units masked" if document["certificate"]["reference"] == "masked" else "as it is"),
    ]
    if "file" in document:
        words.append(f"written to {document['file']}")
    if "fine_tuned" in document:
        words.append(f"queued {document['fine_tuned']}, which fine-tunes from there")
    return "\n".join(words)
