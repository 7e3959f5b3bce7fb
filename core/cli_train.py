"""Training in the foreground: settings from the command line, a slot, a progress bar."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from core import presets as known
from core.cli_shared import say
from core.config import RunConfig, with_settings
from core.errors import BadInput
from core.events import Event
from core.machine import slots
from core.networks.names import FACTORY
from core.runs import home
from core.runs.control import check_data
from core.runs.store import Store
from core.runs.tables import Run

Network = Annotated[
    str | None,
    typer.Option(
        help="Another network: a name, or your own, module:function, from the current folder. Its code is run."
    ),
]


def configured(name: str, settings: list[str] | None, store: Store, network: str | None = None) -> RunConfig:
    """A preset's settings with `--set key=value` changes; BadInput where a key, a value or a data set is wrong.

    `network`, or `network=` among the settings, may be a person's own, `module:function`: made once here, then trusted.
    """
    pairs: dict[str, Any] = {} if network is None else {"network": network}
    for text in settings or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--set must be key=value; got {text!r}; for example --set epochs=6")
        pairs[key.strip()] = value.strip()
    own = FACTORY.fullmatch(str(pairs.get("network", "")))
    if own:
        pairs["network"] = f"{own[0]}@{Path.cwd()}"
    config = with_settings(known.preset(name).config, pairs)
    check_data(config)
    if own:
        _check_and_trust(config, store)
    return config


def _check_and_trust(config: RunConfig, store: Store) -> None:
    """Make a person's own network once, here, so that what is wrong is said at once; then let the workers make it too."""
    from core.data import load
    from core.own import network_for, trust

    network_for(config.network, load(config.dataset, home.data_dir()), config.seed, None)
    trust(store.root, config.network)


def _take_slot(store: Store, name: str) -> None:
    waiting = False
    while not store.claim(name, *home.identity()):
        store.mark_lost()
        if not waiting:
            say.print(f"{name} waits for a slot: {slots()} at a time on this machine")
            waiting = True
        time.sleep(0.3)


def train(store: Store, name: str) -> Run:
    """Take a slot, train in this process with a progress bar, return the run's row."""
    store.wait_for_slot(name, *home.identity())
    try:
        _take_slot(store, name)
    except KeyboardInterrupt:
        store.set_state(name, "stopped")
        raise
    from core.runs.worker import drive

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=say) as bar:
        task = bar.add_task(name, total=1.0, rate="")

        def watch(event: Event) -> None:
            if event.type == "progress":
                words = f"epoch {event.epoch}/{event.epochs} · {event.images_per_s:,.0f} images/s"  # type: ignore[attr-defined]
                bar.update(task, completed=event.fraction, rate=words)  # type: ignore[attr-defined]
            elif event.type in ("collapsed", "revived"):
                say.print(f"epoch {event.epoch}: {event.site} {event.type}")  # type: ignore[attr-defined]

        drive(store, name, home.data_dir(), watch)
    return store.get(name)
