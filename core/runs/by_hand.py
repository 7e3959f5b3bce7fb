"""Fine-tuning from where a hand has crossed units out: a run of the same family. No torch."""

from __future__ import annotations

from core.config import checked
from core.crossed import KINDS, Crossed
from core.errors import BadInput, WrongMoment
from core.presets import hand_tuned, hand_tuning
from core.runs.control import submit
from core.runs.folder import RunFolder
from core.runs.store import Store
from core.runs.tables import OVER

ROLE = "fine-tuned by hand"


def totals_of(folder: RunFolder) -> dict[str, int]:
    """Units of every site of a run that can be crossed out; WrongMoment before it has recorded any."""
    found = {site["site"]: site["total"] for site in folder.sites() if site["kind"] in KINDS}
    if not found:
        raise folder.lacks("a record of its sites")
    return found


def fine_tune(store: Store, run: str, crossed: Crossed, epochs: int | None = None, lr: float | None = None) -> str:
    """Queue the run that goes on from `run` without the crossed units; returns its name. Epochs and rate: by default `hand_tuning`'s."""
    row = store.get(run)
    if row.state not in OVER:
        raise WrongMoment(
            f"run {row.id} must be over to be fine-tuned from; it is {row.state}; wait for its end, or stop it"
        )
    if not crossed:
        raise BadInput(f"at least one unit of {row.id} must be crossed out; got none; cross one out, or resume the run")
    config = checked(row.config)
    usual = hand_tuning(config)
    tuned = hand_tuned(config, row.id, crossed, usual[0] if epochs is None else epochs, usual[1] if lr is None else lr)
    return submit(store, tuned, family=row.family, parent=row.id, role=ROLE)
