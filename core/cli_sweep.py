"""The commands for families of runs: a sweep over strengths, or towards a target."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from core.cli_shared import Data, Json, Runs, emit, open_store, say
from core.cli_train import Network, configured, train
from core.errors import BadInput
from core.runs.control import new_run
from core.runs.store import Run

Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value; repeatable.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Seeds, with commas: 0,1,2.")]
Controls = Annotated[
    bool, typer.Option("--controls", help="Also the dense network equally long, and the cut shape from scratch.")
]


def numbers(text: str, option: str) -> list[float]:
    """Numbers between commas; BadInput in one sentence."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found or not all(0 < value < 1e6 for value in found):
        raise BadInput(f"{option} must be positive numbers with commas; got {text!r}; for example 0.5,1,2")
    return found


def whole_numbers(text: str | None) -> list[int]:
    """Seeds between commas."""
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdigit() for part in parts):
        raise BadInput(f"--seeds must be whole numbers with commas; got {text!r}; for example 0,1,2")
    return [int(part) for part in parts]


def sweep(
    preset: str,
    factors: Annotated[str, typer.Option("--factors", help="Factors on the preset's strengths.")] = "0.25,0.5,1,2,4",
    target: Annotated[str | None, typer.Option("--target", help="macs=0.5: search for the strength instead.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=50, help="Runs that a search may train.")] = 6,
    seeds: Seeds = None,
    controls: Controls = False,
    warm: Annotated[
        bool, typer.Option("--warm", help="Each run starts from the one before it, weakest first.")
    ] = False,
    set_: Settings = None,
    network: Network = None,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Queue a family of runs over strengths; or, with a target, train here until one leaves that much."""
    from core.runs import families

    store = open_store(runs, data)
    config = configured(preset, set_, store, network)
    if target is None:
        names = families.sweep(
            store, config, numbers(factors, "--factors"), seeds=whole_numbers(seeds), controls=controls, warm=warm
        )
        name = store.get(names[0]).family
        return emit({"family": name, "runs": names}, json_, f"queued {len(names)} runs of the family {name}")
    key, _, text = target.partition("=")
    wanted = numbers(text, "--target macs")[0] if key == "macs" else 0.0
    if not 0 < wanted < 1:
        raise BadInput(f"--target must be macs=FRACTION between 0 and 1; got {target!r}; for example macs=0.5")
    family: list[str] = []

    def start(factor: float) -> Run:
        kin = {"family": family[0]} if family else {}
        family.append(new_run(store, families.scaled(config, factor), foreground=True, **kin))
        return train(store, family[-1])

    tried: list[dict[str, Any]] = []
    for factor, row in families.search(start, families.macs_left, wanted, most=most):
        accuracy = (row.result or {})["accuracy"]
        tried.append(
            {
                "run": row.id,
                "factor": factor,
                "macs": families.macs_left(row),
                "accuracy": accuracy,
                "verdict": (row.result or {})["certificate"]["verdict"],
            }
        )
        say.print(
            f"strengths x {factor:.3g}: {tried[-1]['macs']:.1%} of the MACs left, validation {accuracy['val']:.2%}"
        )
    fit = [
        t for t in tried if t["macs"] <= wanted and t["verdict"] == "exact"
    ]  # a network that says nothing fits nothing
    best = max(fit, key=lambda t: t["accuracy"]["val"], default=None)
    document: dict[str, Any] = {
        "family": family[0],
        "runs": family,
        "tried": tried,
        "target": {"macs": wanted},
        "chosen": best,
    }
    words = (
        f"{best['run']} leaves {best['macs']:.1%}"
        if best
        else f"none leaves at most {wanted:.0%} and still tells images apart"
    )
    emit(document, json_, f"{words}; {len(tried)} strengths tried")
