"""Recorded runs that come with the program: the demo, and a gallery of others; real runs, exported. Nothing is written to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.runs.home import PROJECT

DEMO = "demo"
ASSETS = PROJECT / "assets"


@dataclass(frozen=True)
class Recorded:
    """A recorded run: its name in the address, its folder, what it is called, and what to watch in it."""

    name: str
    folder: Path
    title: str
    say: str


@lru_cache(1)
def recorded() -> dict[str, Recorded]:
    """All recorded runs by name, the demo first; `assets/gallery/gallery.json` says what the others are called."""
    demo = Recorded(DEMO, ASSETS / "demo", "Recorded demo", "A ResNet-20 on handwritten digits thins out.")
    index = ASSETS / "gallery" / "gallery.json"
    others = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    return {DEMO: demo} | {one["name"]: Recorded(folder=index.parent / one["name"], **one) for one in others}


def is_recorded(run: str | None) -> bool:
    """Whether a run is one of the recorded ones, which no store has a row of."""
    return run in recorded()
