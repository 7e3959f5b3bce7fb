"""The commands for families of runs: a sweep over strengths, or towards a target."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from core.cli_shared import Controls, Data, Json, Runs, Seeds, Settings, emit, open_store, say
from core.cli_train import Network, configured, train
from core.config import RunConfig
from core.errors import BadInput
from core.runs.control import new_run
from core.runs.families import numbers, whole_numbers
from core.runs.store import Store
from core.runs.tables import Run


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
    background: Annotated[bool, typer.Option("--background", help="With a target: search in the background.")] = False,
    set_: Settings = None,
    network: Network = None,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Queue a family of runs over strengths; or, with a target, train here until one leaves that much."""
    from core.runs import families, searching

    store = open_store(runs, data)
    config = configured(preset, set_, store, network)
    if target is None:
        names = families.sweep(
            store,
            config,
            numbers(factors, "--factors"),
            seeds=whole_numbers(seeds, "--seeds"),
            controls=controls,
            warm=warm,
        )
        name = store.get(names[0]).family
        return emit({"family": name, "runs": names}, json_, f"queued {len(names)} runs of the family {name}")
    if seeds or warm:
        raise BadInput("a search must be for one seed and cold; got --seeds or --warm; set the seed with --set seed=1")
    wanted = target_of(target)
    if background:
        family = searching.begin(store, config, wanted, most=most, controls=controls)
        searching.in_background(store, family)
        words = f"the search {family} goes on in the background; watch it with `python -m core show {family}`"
        return emit({"family": family, "runs": [family], "target": {"macs": wanted}}, json_, words)
    document = _search_here(store, config, wanted, most, controls)
    best = document["chosen"]
    words = (
        f"{best['run']} leaves {best['macs']:.1%}"
        if best
        else f"none leaves at most {wanted:.0%} and still tells images apart"
    )
    emit(document, json_, f"{words}; {len(document['tried'])} strengths tried")


def target_of(text: str) -> float:
    """The fraction of `macs=FRACTION`; BadInput for anything else."""
    key, _, number = text.partition("=")
    wanted = numbers(number, "--target macs") if key == "macs" else []
    if len(wanted) != 1 or not 0 < wanted[0] < 1:
        raise BadInput(f"--target must be macs=FRACTION between 0 and 1; got {text!r}; for example macs=0.5")
    return wanted[0]


def _search_here(store: Store, config: RunConfig, wanted: float, most: int, controls: bool) -> dict[str, Any]:
    """Train in this process until the search is over; says what every run left."""
    from core.runs import searching

    queue = partial(new_run, foreground=True)
    family = searching.begin(store, config, wanted, most=most, controls=controls, queue=queue)

    def train_and_say(name: str) -> Run:
        row = train(store, name)
        for tried in (t for t in searching.told(store, family)["tried"] if t["run"] == name):
            say.print(
                f"strengths x {tried['factor']:.3g}: {tried['macs']:.1%} of the MACs left, validation {tried['accuracy']['val']:.2%}"
            )
        return row

    searching.lead(store, family, train_and_say, queue=queue)
    return searching.told(store, family)
