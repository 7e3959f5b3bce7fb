"""`python -m core lesson`: what a lesson computes, from the command line, and the recording of it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from core.cli_shared import Json, Settings, emit, say
from core.errors import BadInput


def lesson(
    name: Annotated[str | None, typer.Argument(help="A question of a lesson, as corner-minima; with --record, a lesson.")] = None,
    set_: Settings = None,
    record: Annotated[bool, typer.Option("--record", help="Write what lessons show first to assets/lessons.")] = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Answer a question of a lesson; without a name, list them."""
    from core.lessons import QUESTIONS, RECORDED, answered, recording

    if record:
        files = []
        for file in recording.record([name] if name else RECORDED):
            say.print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
            files.append(str(file))
        return emit({"files": files}, json_, "")
    if name is None:
        words = "\n".join(f"{key}: {(made.__doc__ or '').splitlines()[0]}" for key, made in QUESTIONS.items())
        return emit({"questions": list(QUESTIONS), "lessons": list(RECORDED)}, json_, words)
    emit(answered(name, _details(set_ or [])), json_)


def _details(given: list[str]) -> dict[str, Any]:
    """`key=value` as a dictionary; values are JSON where they can be read as such."""
    details: dict[str, Any] = {}
    for word in given:
        key, found, value = word.partition("=")
        if not found:
            raise BadInput(f"--set must be key=value; got {word!r}; write {word}=VALUE")
        try:
            details[key] = json.loads(value)
        except json.JSONDecodeError:
            details[key] = value
    return details
