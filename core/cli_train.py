"""Training in the foreground: settings from the command line, a slot, a progress bar."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from core import presets as known
from core.cli_shared import say
from core.config import RunConfig, with_settings
from core.errors import BadInput
from core.events import Event
from core.machine import slots
from core.runs import home
from core.runs.control import check_data
from core.runs.store import Run, Store


def configured(name: str, settings: list[str] | None) -> RunConfig:
    """A preset's settings with `--set key=value` changes; BadInput where a key, a value or a data set is wrong."""
    pairs: dict[str, Any] = {}
    for text in settings or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--set must be key=value; got {text!r}; for example --set epochs=6")
        pairs[key.strip()] = value.strip()
    config = with_settings(known.preset(name).config, pairs)
    check_data(config)
    return config


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
