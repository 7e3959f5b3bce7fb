"""What training a nested network costs beside training each of its levels as a network of its own."""

from __future__ import annotations

from collections.abc import Mapping

from core.evidence.counting import Row, spread
from core.evidence.wanted import ALONE, DENSE, METHOD, Table

TIME = "processor_seconds"  # of all threads of a run, on the processor: what else runs on the machine adds little to it


def times_as_long(table: Table, rows: Mapping[str, Row]) -> list[float]:
    """Seed by seed: processor time of a nested training over that of all its levels alone, where each of these was taken."""
    found = []
    for wanted in table.wanted:
        levels = wanted.config.phases[-1].levels
        if wanted.role == METHOD and levels and rows.get(wanted.name, {}).get(TIME):
            alone = [
                rows[w.name][TIME] for w in table.wanted
                if w.role in (ALONE, DENSE) and rows.get(w.name, {}).get(TIME)
                and (w.point, w.config.seed) == (wanted.point, wanted.config.seed)
            ]  # fmt: skip
            if len(alone) == len(levels):
                found.append(rows[wanted.name][TIME] / sum(alone))
    return found


def cost_of_training(table: Table, rows: Mapping[str, Row]) -> str | None:
    """`Training all 4 levels together took 0.70 ± 0.02 times the processor time of …`; none where a level has no network of its own."""
    times = times_as_long(table, rows)
    if not times:
        return None
    mean, deviation = spread(times)
    more = "" if deviation is None else f" ± {deviation:.2f}"
    levels = len(table.wanted[0].config.phases[-1].levels)
    together, apart = ("both levels", "two networks") if levels == 2 else (f"all {levels} levels", f"{levels} networks")
    return (
        f"Training {together} together took {mean:.2f}{more} times the processor time of training {apart} one after the "
        f"other (n = {len(times)})."
    )
