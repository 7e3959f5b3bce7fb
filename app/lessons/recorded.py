"""What a lesson shows before anybody asks: answers recorded by `python -m core lesson --record`, read without torch."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from core.runs.home import PROJECT

FOLDER = PROJECT / "assets" / "lessons"


@cache
def recorded(name: str) -> dict[str, Any]:
    """The recorded document of a lesson."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def conditions(name: str) -> str:
    """On what it was recorded: `Recorded 2026-11-22 on an AMD EPYC, torch 2.13`."""
    told = recorded(name)
    return f"Recorded {told['date'][:10]}, {told['cpu']}, torch {told['versions']['torch'].partition('+')[0]}"
