"""Submitting runs and steering them: what the command line and the dashboard call. No torch."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

from core.config import RunConfig, checked
from core.controls import CONTROLS
from core.data import missing
from core.data.names import DATASETS
from core.errors import BadInput, DamagedFile, one_of
from core.runs.folder import Recorder, RunFolder
from core.runs.home import data_dir, spawn
from core.runs.store import OVER, Run, Store


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
    store.add(
        Run(
            id=name,
            created=created,
            preset=config.preset,
            config=settings,
            state="queued",
            foreground=foreground,
            **kin,
        )
    )
    return name


def check_data(config: RunConfig) -> None:
    """BadInput when the files of the run's data set are not there: says which, and where to get them."""
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
        if entry.name in known or not (entry / "run.json").is_file():
            continue
        try:
            about = RunFolder(entry).about()
            config = checked(about["config"])
        except (DamagedFile, BadInput, KeyError):
            continue
        kin = {
            k: about.get(k) or default
            for k, default in (("family", entry.name), ("role", "method"), ("seed", config.seed))
        }
        state = about.get("state") if about.get("state") in OVER else "stopped"
        store.add(
            Run(
                id=entry.name, created=float(about.get("created") or time.time()), preset=config.preset, config=about["config"],
                parent=about.get("parent"), state=state, attempt=int(about.get("attempt") or 1), result=about.get("result"), **kin,
            )
        )  # fmt: skip
        taken.append(entry.name)
    return taken


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
    data = data_dir()
    spawn("core.runs.dispatcher", str(root), *([str(data)] if data else []), log=root / "dispatcher.log")


def steer(store: Store, run: str, control: str, argument: str | None = None) -> int:
    """Ask something of a living run; returns the request's number. `strength` takes `KIND=VALUE`.

    Raises BadInput naming control, rule and value; WrongMoment when the run is over.
    """
    if control not in CONTROLS:
        raise one_of("control", control, CONTROLS)
    if control != "strength":
        return store.ask(run, control)
    kind, _, text = (argument or "").partition("=")
    if kind not in ("filter", "block"):
        raise one_of("strength KIND=VALUE: kind", kind, ("filter", "block"))
    try:
        value = float(text)
    except ValueError:
        raise BadInput(f"strength {kind} must be a number between 0 and 10; got {text!r}") from None
    if not 0 <= value <= 10:
        raise BadInput(
            f"strength {kind} must be between 0 and 10; got {text}; the nearest valid value is {0 if not value > 0 else 10}"
        )
    return store.ask(run, "strength", kind, value)


def wait_applied(store: Store, run: str, seq: int, timeout_s: float = 30.0) -> int | None:
    """The step at which request `seq` took effect; None when it has not within `timeout_s` or the run is over."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        step = store.applied_step(seq)
        if step is not None or store.get(run).state in OVER:
            return step
        time.sleep(0.1)
    return None
