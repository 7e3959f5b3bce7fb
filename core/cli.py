"""The command line. `--json` prints exactly one document on standard output; words and progress go to standard error.

Exit status: 0 done, 1 failed, 2 bad input (one sentence says what, why, and what would do).
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from core import (
    cli_attribute,
    cli_collapses,
    cli_data,
    cli_evidence,
    cli_files,
    cli_headline,
    cli_knife,
    cli_lesson,
    cli_levels,
    cli_sweep,
    cli_whatif,
    papers,
)
from core import presets as known
from core.atomic import no_room
from core.cli_shared import Controls, Data, Json, RunName, Runs, Seeds, Settings, emit, fail, open_store, row_of, say
from core.cli_train import Network, configured, train
from core.config import RunConfig
from core.errors import BadInput, WrongMoment
from core.overlaps import notes_of
from core.runs.control import adopt, new_run, steer, wait_applied, wake_dispatcher
from core.runs.families import experiment, whole_numbers
from core.runs.store import Store
from core.runs.tables import LIVING, OVER, Run

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Espalier: learn structured sparsity, cut it out exactly, prove it, time it.",
)


def main() -> None:
    """Run a command; every foreseen error is one sentence on standard error."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (BadInput, WrongMoment) as error:
        fail(str(error), 2)
    except OSError as error:
        if (sentence := no_room(error)) is not None:
            fail(sentence, 1)
        fail(f"{error.filename or 'a file'} must be there and writable; got {error.strerror}; choose another path", 2)
    except DBAPIError as error:
        fail(f"the store of runs must be a sound SQLite file; got {error.orig}; set --runs to another folder", 1)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        fail("stopped", 1)
    except typer.TyperException as error:
        fail(getattr(error, "format_message", error.__str__)(), 2)


def document_of(row: Run) -> dict[str, Any]:
    """A run as `run`, `resume` and `show` print it; null where it has not come to that yet."""
    result = row.result or {}
    keys = (
        "macs",
        "macs_per_image",
        "conv_macs",
        "params",
        "survival",
        "removed",
        "refilled",
        "certificate",
        "speed",
        "weights_sha256",
        "conditions",
    )
    rows = papers.published(row.preset, row.config["network"], row.config["dataset"])
    accuracy = result.get("accuracy", {"val": None, "test": None, "compact": None, "finetuned": None})
    return {
        "run": row.id, "name": row.name, "state": row.state, "attempt": row.attempt, "preset": row.preset, "role": row.role,
        "family": row.family, "parent": row.parent, "seed": row.seed, "config": row.config, "accuracy": accuracy,
        **{key: result.get(key) for key in keys}, "error": row.error, "progress": row.progress,
        "notes": notes_of(row.config), "published": [asdict(point) for point in rows], "published_notes": papers.caveats(rows),
    }  # fmt: skip


def taught(config: RunConfig) -> str:
    """The method that settings are for: the first that is not training the dense network or searching for masks; else the last."""
    methods = [phase.method for phase in config.phases]
    return next((method for method in methods if method not in ("dense", "masks")), methods[-1])


@app.command()
def presets(json_: Json = False) -> None:
    """List the presets; the first is the default."""
    rows = [
        {
            "name": p.name,
            "title": p.title,
            "method": taught(p.config),
            "network": p.config.network,
            "dataset": p.config.dataset,
            "minutes": p.minutes,
        }
        for p in known.PRESETS
    ]
    table = Table("preset", "what it does", "network", "data", "minutes")
    for p in known.PRESETS:
        table.add_row(p.name, p.title, p.config.network, p.config.dataset, f"{p.minutes:g}")
    emit({"presets": rows}, json_, table)


@app.command()
def run(
    preset: str,
    set_: Settings = None,
    network: Network = None,
    seeds: Seeds = None,
    controls: Controls = False,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Train in this very process, in the foreground, to the end: one run, or one for each seed with its controls."""
    store = open_store(runs, data)
    config = configured(preset, set_, store, network)
    several = whole_numbers(seeds, "--seeds")
    queue = partial(new_run, foreground=True)
    if not (several or controls):
        return _train(store, queue(store, config), json_)
    rows = []
    for name in experiment(store, config, several or [config.seed], controls, queue=queue):
        rows.append(train(store, name))
        if rows[-1].state != "finished":
            break
        if not json_:
            _report(rows[-1], False)
    words = f"family {rows[0].family}: {', '.join(row.id for row in rows)}"
    emit({"family": rows[0].family, "runs": [document_of(row) for row in rows]}, json_, words)
    _end_where_unfinished(rows[-1])


@app.command(name="submit")
def submit_(
    preset: str,
    set_: Settings = None,
    network: Network = None,
    seeds: Seeds = None,
    controls: Controls = False,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Queue a run (or one for each seed, with its controls) for the background and return at once."""
    store = open_store(runs, data)
    config = configured(preset, set_, store, network)
    names = list(experiment(store, config, whole_numbers(seeds, "--seeds") or [config.seed], controls))
    row = store.get(names[0])
    words = f"queued {', '.join(names)}; watch it with `python -m core show {names[0]}`"
    emit({"run": row.id, "state": row.state, "family": row.family, "runs": names}, json_, words)


@app.command()
def resume(run: RunName, json_: Json = False, runs: Runs = None, data: Data = None) -> None:
    """Continue a lost, stopped, failed or paused run in the foreground; of a finished one, print the result."""
    store = open_store(runs, data)
    store.mark_lost()
    row = store.get(run)
    if row.state == "finished":
        return _report(row, json_)
    if row.state == "paused":
        store.ask(row.id, "stop")
        while store.get(row.id).state not in OVER:
            time.sleep(0.1)
            store.mark_lost()
    elif row.state in LIVING:
        raise WrongMoment(
            f"run {row.id} must be lost, stopped, failed or paused to be resumed; it is {row.state}; wait for it, or stop it"
        )
    store.requeue(row.id, foreground=True)
    _train(store, row.id, json_)


def _train(store: Store, name: str, as_json: bool) -> None:
    row = train(store, name)
    _report(row, as_json)
    _end_where_unfinished(row)


def _end_where_unfinished(row: Run) -> None:
    if row.state != "finished":
        fail(
            row.error or f"{row.id} is {row.state}; `python -m core resume {row.id}` goes on from its last checkpoint",
            1,
        )


def _verdict(proof: dict[str, Any]) -> str:
    """The verdict of a certificate, and what it rests on; where it rests on nothing, why."""
    verdict, apart = proof["verdict"], proof["max_rel"]
    told = "NOTHING WAS REMOVED: no unit is exactly zero" if verdict == "nothing-removed" else f"removal {verdict}"
    if apart is None:
        why = "do not depend on the image" if proof["spread"] == 0 else "are not finite"
        return f"{told} (its answers {why}, so that they prove nothing)"
    return f"{told} (largest difference {apart:.1e} of the output's spread)"


def _levels_in_words(row: Run) -> str:
    """What a nested run ends with: every level, core first."""
    result = row.result or {}
    full = result["levels"][-1]["macs"]
    each = [
        f"level {one['level']}: {one['accuracy']['test']:.2%} at {one['macs'] / full:.1%} of the MACs, {one['density']:.1%} of the weights, "
        f"leaves {'in full shape' if one['certificate']['verdict'] == 'nothing-removed' else one['certificate']['verdict']}"
        for one in result["levels"]
    ]  # fmt: skip
    consensus = [f"{name} {value:.2%}" for name, value in result["consensus"].items() if value is not None]
    return "\n".join([f"{row.id}:", *each, *([f"all levels together: {', '.join(consensus)}"] if consensus else [])])


def _report(row: Run, as_json: bool, **more: Any) -> None:
    document = document_of(row) | more
    if row.state != "finished":
        done = row.progress or {}
        at = (
            f", epoch {done['epoch']} of {done['epochs']}, {done['seconds_left']:.0f} s left"
            if done and row.state in LIVING
            else ""
        )
        return emit(document, as_json, f"{row.id}: {row.state}{at}" + (f" ({row.error})" if row.error else ""))
    if (row.result or {}).get("levels"):
        return emit(document, as_json, _levels_in_words(row))
    accuracy, macs, speed, proof = (document[k] for k in ("accuracy", "macs_per_image", "speed", "certificate"))
    tuned = accuracy.get("finetuned")
    after = f"compact {accuracy['compact']:.2%}" + (f", fine-tuned {tuned:.2%}" if tuned is not None else "")
    timed = f"{speed['measured']:.2f} x measured ({speed['low']:.2f}-{speed['high']:.2f}, n = {speed['n']}), {speed['promised']:.2f} x promised"
    words = (
        f"{row.id}: test accuracy {accuracy['test']:.2%} ({after}), MACs {macs['compact'] / macs['dense']:.1%} of dense, "
        f"{_verdict(proof)}, {timed if macs['compact'] else 'nothing computes any more'}"
    )
    emit(document, as_json, words)


@app.command(name="runs")
def runs_(json_: Json = False, runs: Runs = None) -> None:
    """List all runs, newest first; folders copied here from elsewhere are taken in."""
    store = open_store(runs)
    adopt(store)
    wake_dispatcher(store)
    store.mark_lost()
    rows = store.all()
    table = Table("run", "state", "preset", "created")
    for row in rows:
        table.add_row(row.id, row.state, row.preset, time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created)))
    document = {
        "runs": [
            {"run": r.id, "state": r.state, "preset": r.preset, "created": r.created, "name": r.name} for r in rows
        ]
    }
    emit(document, json_, table if rows else "no runs yet; start one with `python -m core run digits-sss`")


@app.command()
def show(run: RunName, json_: Json = False, runs: Runs = None) -> None:
    """Show one run, and the search for a strength that it belongs to."""
    from core.runs import searching

    store = open_store(runs)
    store.mark_lost()
    row = row_of(store, run)
    search = searching.told(store, row.family) if searching.is_search(store, row.family) else None
    _report(row, json_, search=search)
    if search and not json_:
        say.print(searching.words(search))


@app.command()
def control(
    run: RunName,
    action: Annotated[str, typer.Argument(help="pause, continue, stop, measure or strength")],
    argument: Annotated[str | None, typer.Argument(help="for strength: KIND=VALUE, e.g. filter=0.01")] = None,
    json_: Json = False,
    runs: Runs = None,
) -> None:
    """Steer a living run; waits until it has taken effect and prints the step."""
    store = open_store(runs)
    store.mark_lost()
    name = store.get(run).id
    step = wait_applied(store, name, steer(store, name, action, argument))
    state = store.get(name).state
    words = f"{name}: {action} took effect at step {step}"
    if step is None:
        words = f"{name}: {action} " + (
            f"came too late; the run is {state}" if state in OVER else "is recorded, not applied yet"
        )
    emit({"run": name, "applied": step}, json_, words)


app.command()(cli_files.compact)
app.command()(cli_files.measure)
app.command()(cli_files.export)
app.command(name="import")(cli_files.import_)
app.command()(cli_collapses.collapses)
app.command()(cli_data.data)
app.command()(cli_evidence.evidence)
app.command()(cli_knife.inspect)
app.command()(cli_knife.cut)
app.command()(cli_levels.levels)
app.command()(cli_levels.extract)
app.command()(cli_levels.budget)
app.command()(cli_sweep.sweep)
app.command()(cli_whatif.whatif)
app.command()(cli_headline.headline)
app.command()(cli_attribute.attribute)
app.command()(cli_lesson.lesson)
