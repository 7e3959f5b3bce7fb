"""Submitting runs and steering them: what the command line and the dashboard call. No torch."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout

from core.config import Kind, RunConfig, checked
from core.controls import CONTROLS
from core.data import listing, missing
from core.data.names import DATASETS, folder_named
from core.errors import BadInput, one_of
from core.runs.folder import Recorder, RunFolder
from core.runs.home import DISPATCHER_LOCK, data_dir, reap, spawn
from core.runs.store import Store
from core.runs.tables import OVER, Run

LEARNING = ("sss", "ssl", "slimming", "l1")  # methods with a strength
SETTLING_S = 10.0  # a folder younger than this may still be getting its row


def new_run(
    store: Store,
    config: RunConfig,
    *,
    role: str = "method",
    family: str | None = None,
    parent: str | None = None,
    foreground: bool = False,
) -> str:
    """Queue a run and write its folder's description; returns its name. Nothing is started yet."""
    name = f"{config.preset}-{secrets.token_hex(3)}"
    settings = config.model_dump(mode="json")
    kin: dict[str, Any] = {"family": family or name, "parent": parent, "role": role, "seed": config.seed}
    created = time.time()
    Recorder(RunFolder(store.root / name)).describe(
        run=name, preset=config.preset, config=settings, created=created, **kin
    )
    data = data_dir()
    store.add(
        Run(
            id=name, created=created, preset=config.preset, config=settings, state="queued", foreground=foreground,
            data=str(data) if data else None, **kin,
        )
    )  # fmt: skip
    return name


def check_data(config: RunConfig) -> None:
    """BadInput when the files of the run's data set are not there: says which, and where to get them.

    DamagedFile for a folder of pictures that is not as it should be, as far as a quick look tells.
    """
    if (pictures := folder_named(config.dataset)) is not None:
        listing.check(pictures)
    folder = data_dir()
    gone = missing(config.dataset, folder)
    if gone:
        where = f"the folder of data sets ({folder})" if folder else "a folder of data sets"
        raise BadInput(
            f"dataset {config.dataset} must have {gone[0]} in {where}; got {'no such file' if folder else 'no folder'}; "
            f"download it from {DATASETS[config.dataset].source} and set ESPALIER_DATA or --data, or take digits or shapes, which are built in"
        )


def adopt(store: Store) -> list[str]:
    """Take in runs whose folders lie in the runs folder without a row (an export, a copy from elsewhere)."""
    known, taken = store.names(), []
    for entry in store.root.iterdir():
        file = entry / "run.json"
        if entry.name in known or not file.is_file() or time.time() - file.stat().st_mtime < SETTLING_S:
            continue
        try:
            row = row_from(RunFolder(entry).about(), entry.name)
        except (ValueError, TypeError, KeyError):  # not a run's folder after all
            continue
        if store.add(row):
            taken.append(entry.name)
    return taken


def row_from(about: dict[str, Any], name: str) -> Run:
    """The row of a folder that came from elsewhere; ValueError, TypeError or KeyError where it is no run's."""
    config = checked(about["config"])
    result = about.get("result")
    complete = isinstance(result, dict) and {"accuracy", "macs_per_image", "params", "certificate", "survival"} <= set(
        result
    )
    state = (
        about.get("state")
        if about.get("state") in OVER and (complete or about.get("state") != "finished")
        else "stopped"
    )
    return Run(
        id=name, created=float(about.get("created") or time.time()), preset=config.preset, config=about["config"],
        family=str(about.get("family") or name), parent=about.get("parent"), role=str(about.get("role") or "method"), seed=config.seed,
        state=state, attempt=int(about.get("attempt") or 1), result=result if complete else None,
    )  # fmt: skip


def submit(store: Store, config: RunConfig, **kin: Any) -> str:
    """Queue a run for the background and make sure that a dispatcher lives; returns its name at once."""
    name = new_run(store, config, **kin)
    ensure_dispatcher(store.root)
    return name


def resume_in_background(store: Store, run: str) -> None:
    """Let a lost, stopped or failed run go on from its last checkpoint, in the background."""
    store.requeue(run)
    ensure_dispatcher(store.root)


def ensure_dispatcher(root: Path) -> None:
    """Start a dispatcher for `root`; where one lives already, the new one sees its lock and leaves."""
    spawn("core.runs.dispatcher", str(root), log=root / "dispatcher.log")


def wake_dispatcher(store: Store) -> None:
    """Start a dispatcher where a run waits and none lives (after a restart of the machine, say)."""
    reap()
    if store.next_queued() is None:
        return
    try:
        with FileLock(store.root / DISPATCHER_LOCK, timeout=0):
            pass
    except Timeout:
        return
    ensure_dispatcher(store.root)


def steer(store: Store, run: str, control: str, argument: str | None = None) -> int:
    """Ask something of a living run; returns the request's number. `strength` takes `KIND=VALUE`.

    Raises BadInput naming control, rule and value; WrongMoment when the run is over.
    """
    if control not in CONTROLS:
        raise one_of("control", control, CONTROLS)
    if control != "strength":
        return store.ask(run, control)
    kind, _, text = (argument or "").partition("=")
    if kind not in get_args(Kind):
        raise one_of("strength KIND=VALUE: kind", kind, get_args(Kind))
    learned = kinds_learned(store.get(run).config)
    if kind not in learned:
        raise BadInput(f"strength must be of a kind that {run} learns ({', '.join(learned) or 'none'}); got {kind!r}")
    try:
        value = float(text)
    except ValueError:
        raise BadInput(f"strength {kind} must be a number between 0 and 10; got {text!r}") from None
    if not 0 <= value <= 10:
        raise BadInput(
            f"strength {kind} must be between 0 and 10; got {text}; the nearest valid value is {0 if not value > 0 else 10}"
        )
    return store.ask(run, "strength", kind, value)


def kinds_learned(config: dict[str, Any]) -> list[str]:
    """The kinds of structures that the phases of these settings penalise, and so have a strength for."""
    return list(
        dict.fromkeys(kind for phase in config["phases"] if phase["method"] in LEARNING for kind in phase["kinds"])
    )


def wait_applied(store: Store, run: str, seq: int, timeout_s: float = 30.0) -> int | None:
    """The step at which request `seq` took effect; None when it has not within `timeout_s` or the run is over."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        over = store.get(run).state in OVER  # asked first: a step applied before the end is then seen
        step = store.applied_step(seq)
        if step is not None or over:
            return step
        time.sleep(0.1)
    return None
