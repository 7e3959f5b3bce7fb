"""The search for a strength: runs of one family, one after another, until one leaves at most so many of the MACs.

What is sought, and which factors on the strengths were tried, stands in `search.json` of the family's first run; the
runs themselves are ordinary runs. `python -m core.runs.searching ROOT FAMILY` leads a search in the background: it queues
a run, waits for it, decides on the next. Where a run or the leader itself ends early nothing is lost: `resume` goes on.
No torch.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core.config import RunConfig
from core.errors import BadInput, WrongMoment
from core.runs import home
from core.runs.control import resume_in_background, submit, wake_dispatcher
from core.runs.families import Queue, controls_of, macs_left, scaled, search
from core.runs.folder import write_atomically
from core.runs.store import Store
from core.runs.tables import LIVING, OVER, Run

POLL_S = 0.5


def fraction(value: float) -> float:
    """A target between 0 and 1 (excluded); BadInput for any other."""
    if not 0 < value < 1:
        raise BadInput(f"the target must be a fraction of the MACs between 0 and 1; got {value}; for example 0.5")
    return value


def begin(
    store: Store, config: RunConfig, macs: float, *, most: int = 6, controls: bool = False, queue: Queue = submit
) -> str:
    """Make the first run, at the settings' own strengths, and write down what is sought; returns the family's name.

    `macs`: the fraction to be left at most. `most`: runs that may be trained. `controls`: both, of the run that is chosen.
    """
    about = {"target": {"macs": fraction(macs)}, "most": most, "controls": controls, "over": False}
    family = queue(store, scaled(config, 1.0))
    _write(store, family, about | {"config": config.model_dump(mode="json"), "tried": [{"run": family, "factor": 1.0}]})
    return family


def in_background(store: Store, family: str) -> None:
    """Let a process of its own lead the search, or go on with it; a second one leaves at once."""
    _write(store, family, _read(store, family) | {"stopped": False, "error": None, "asked": time.time()})
    home.spawn("core.runs.searching", str(store.root), family, log=store.root / family / "search.log")


def stop(store: Store, family: str) -> None:
    """End the search and the run that it waits for; both can go on later."""
    record = _read(store, family)
    home.end(*record.get("leader", (None, None)))
    _write(store, family, record | {"stopped": True})
    for row in store.family(family):
        if row.state == "queued" or row.state in LIVING:
            store.ask(row.id, "stop")


def lead(store: Store, family: str, train: Callable[[str], Run], *, queue: Queue = submit) -> None:
    """Search to the end: `train` sees to it that a run comes to its end. BadInput where one does not finish."""
    record = _read(store, family) | {"leader": home.identity(), "stopped": False, "error": None}
    config = RunConfig.model_validate(record["config"])
    turn = 0

    def start(factor: float) -> Run:
        nonlocal turn
        there = {row.id for row in store.family(family)}
        tried = record["tried"][turn : turn + 1]
        if not tried or tried[0]["run"] not in there:  # a new one, or the same again where it was deleted
            name = queue(store, scaled(config, factor), family=family)
            record["tried"] = [*record["tried"][:turn], {"run": name, "factor": factor}]
        _write(store, family, record)
        turn += 1
        return train(record["tried"][turn - 1]["run"])

    for _ in search(start, macs_left, record["target"]["macs"], most=record["most"]):
        pass
    _write(store, family, record | {"over": True})
    chosen = told(store, family)["chosen"]
    if record["controls"] and chosen:
        own = RunConfig.model_validate(store.get(chosen["run"]).config)
        for name in controls_of(store, own, chosen["run"], family, queue):
            train(name)


def told(store: Store, family: str) -> dict[str, Any]:
    """The search as data: what is sought, what each finished run left, which is chosen, and whether it goes on.

    `state`: searching, over, stopped (by a person) or "ended early" (then `error` says why). `chosen`: of the runs that
    leave at most the target and whose cut is exact, the one with the best validation accuracy (of equals the smallest); None while there is none.
    """
    record, rows = _read(store, family), {row.id: row for row in store.family(family)}
    tried = [_outcome(rows[t["run"]], t["factor"]) for t in record["tried"] if _is_finished(rows.get(t["run"]))]
    wanted = record["target"]["macs"]
    fit = [t for t in tried if t["macs"] <= wanted and t["verdict"] == "exact"]  # one that says nothing fits nothing
    led = home.is_alive(*record.get("leader", (None, None))) or time.time() - record.get("asked", 0.0) < 10
    states = {"over": record["over"], "stopped": record.get("stopped"), "ended early": record.get("error") or not led}
    state = next((name for name, holds in states.items() if holds), "searching")
    error = record.get("error")
    if state == "ended early" and not error:
        error = "the process that led it ended without a word"
    return {
        "family": family, "runs": [t["run"] for t in record["tried"]], "tried": tried, "target": record["target"],
        "most": record["most"], "chosen": max(fit, key=lambda t: (t["accuracy"]["val"], -t["macs"]), default=None),
        "state": state, "error": error if state == "ended early" else None,
    }  # fmt: skip


def words(search: dict[str, Any]) -> str:
    """A search in two sentences, from what `told` says: what is sought and how far it is; what was found."""
    wanted, done, best = search["target"]["macs"], len(search["tried"]), search["chosen"]
    aim = f"a strength that leaves at most {100 * wanted:.0f} % of the MACs"
    how = {
        "searching": f"Looking for {aim}: {done} of at most {search['most']} runs done.",
        "over": f"Looked for {aim}: {done} of at most {search['most']} runs were needed.",
        "stopped": f"The search for {aim} was stopped after {done} of at most {search['most']} runs.",
        "ended early": f"The search for {aim} ended early, after {done} of at most {search['most']} runs: {search['error']}.",
    }[search["state"]]
    if best:
        accuracy = best["accuracy"]
        kept = accuracy.get("finetuned") or accuracy["test"]
        found = f"{best['run']} (strengths × {best['factor']:.3g}) leaves {100 * best['macs']:.1f} %; accuracy {100 * accuracy['val']:.1f} % in validation, by which it is chosen, {100 * kept:.1f} % in the test; one seed."
        return f"{how} {'Chosen' if search['state'] == 'over' else 'Best so far'}: {found}"
    none = (
        "None leaves so little and still tells images apart; allow more runs, or train longer."
        if search["state"] == "over"
        else "None fits yet."
    )
    return f"{how} {none}" if done else how


def is_search(store: Store, family: str) -> bool:
    """Whether the runs of this family are those of a search."""
    return _file(store, family).exists()


def _is_finished(row: Run | None) -> bool:
    return row is not None and row.state == "finished" and row.result is not None


def _outcome(row: Run, factor: float) -> dict[str, Any]:
    result = row.result or {}
    verdict = result["certificate"]["verdict"]
    return {"run": row.id, "factor": factor, "macs": macs_left(row), "accuracy": result["accuracy"], "verdict": verdict}


def _file(store: Store, family: str) -> Path:
    return store.root / family / "search.json"


def _read(store: Store, family: str) -> dict[str, Any]:
    try:
        return json.loads(_file(store, family).read_text())
    except (OSError, json.JSONDecodeError):
        raise BadInput(
            f"family must be that of a search; got {family!r}; `python -m core sweep PRESET --target macs=0.5` begins one"
        ) from None


def _write(store: Store, family: str, record: dict[str, Any]) -> None:
    write_atomically(_file(store, family), json.dumps(record))


def _wait(store: Store, run: str) -> Run:
    """Until the run is over; one that had ended early goes on from its last checkpoint."""
    if store.get(run).state in ("stopped", "failed", "lost"):
        resume_in_background(store, run)
    while (row := store.get(run)).state not in OVER:
        time.sleep(POLL_S)
        store.mark_lost()
        wake_dispatcher(store)
    return row


def main(root: Path, family: str) -> None:
    """Lead the search of a family in this process; a sentence in its record where that cannot go on."""
    store = Store(root)
    try:
        with FileLock(root / family / "search.lock", timeout=0):
            try:
                lead(store, family, lambda run: _wait(store, run))
            except (BadInput, WrongMoment) as error:
                _write(store, family, _read(store, family) | {"error": str(error)})
            except Exception as error:
                traceback.print_exc()
                words = (
                    f"it stopped unexpectedly ({type(error).__name__}); the reason is in {root / family / 'search.log'}"
                )
                _write(store, family, _read(store, family) | {"error": words})
    except Timeout:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
