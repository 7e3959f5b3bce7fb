"""Python text: values as literals, and calls broken over lines as ruff's formatter does (120 columns)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from core.errors import BadInput

WIDTH = 120


@dataclass(frozen=True)
class Call:
    """`opening`, items separated by commas, `closing`: the part of a statement that may be broken over lines."""

    opening: str
    items: tuple[str | Call, ...]
    closing: str = ")"

    def __str__(self) -> str:
        return self.opening + ", ".join(map(str, self.items)) + self.closing


def statement(indent: int, before: str, value: str | Call, after: str = "") -> list[str]:
    """The lines of `before value after`."""
    space = " " * indent
    whole = f"{space}{before}{value}{after}"
    if len(whole) <= WIDTH or not isinstance(value, Call) or not value.items:
        return [whole]
    items = f"{space}    {', '.join(map(str, value.items))}"
    body = [items] if len(items) <= WIDTH else []
    for item in value.items if not body else ():
        body += statement(indent + 4, "", item, ",")
    return [f"{space}{before}{value.opening}", *body, f"{space}{value.closing}{after}"]


def literal(value: Any, inner: Callable[[Any], str | Call] | None = None) -> str | Call:
    """The text of an argument; `inner` says what its parts are called (default: literals themselves).

    Text is written by the built-in types' own representations, so nothing that a value says can become code.
    """
    part = inner or literal
    if isinstance(value, list):
        return Call("[", tuple(part(v) for v in value), "]")
    if isinstance(value, tuple):
        return Call("(", tuple(part(v) for v in value), ",)" if len(value) == 1 else ")")
    if isinstance(value, dict):
        return Call("{", tuple(f"{quoted(str(k))}: {part(v)}" for k, v in value.items()), "}")
    if isinstance(value, slice):
        return Call("slice(", tuple(part(v) for v in (value.start, value.stop, value.step)))
    if value is None or value is Ellipsis or isinstance(value, bool):
        return "..." if value is Ellipsis else str(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        shown = float.__repr__(value).replace("e+", "e")
        return shown if math.isfinite(value) else f'float("{shown}")'
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, torch.dtype | torch.memory_format):
        return str(value)
    raise BadInput(f"an argument of type {type(value).__name__} has no text in Python; use numbers, tuples and strings")


def quoted(text: str) -> str:
    """A string literal, in double quotes where that needs no escape."""
    shown = str.__repr__(text)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown


def comment(text: str) -> list[str]:
    """Lines that begin with `# `, whatever the text holds."""
    lines = [" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in text.splitlines()]
    return [f"# {line}" for line in lines if line]
