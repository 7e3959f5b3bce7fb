"""Units as squares to cross out with a click, a finger or the keyboard: opacity is importance, a cross is crossed out, dashed is dead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.figure_parts import DARK, DYING, GHOST, LEAF, PICKED

HERE = Path(__file__).parent

COLOURS = {"alive": LEAF, "dying": DYING, "dead": GHOST, "picked": PICKED}

_mount = st.components.v2.component(
    "unit_board",
    css=(HERE / "unit_board.css").read_text(encoding="utf-8"),
    js=(HERE / "unit_board.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Cell:
    """One square. `label`: what it says when pointed at, or read aloud; `name`: written on it; `share`: its opacity, 0-1."""

    label: str
    crossed: bool
    dead: bool = False
    share: float = 1.0
    name: str = ""
    picked: bool = False


def unit_board(
    cells: Sequence[Cell], *, of: str, label: str, dark: bool, turn: int, key: str, on_crossed: Callable[[], None]
) -> Any:
    """Shows the squares `of` a site. ``result.crossed`` is one click: ``{of, crossed: indices, cell, turn}``; read it in `on_crossed`.

    `turn`: the click that these cells know of, so that an older picture does not undo a newer click.
    """
    colours = {name: DARK[colour] if dark else colour for name, colour in COLOURS.items()}
    data = {"cells": [asdict(cell) for cell in cells], "of": of, "label": label, "colours": colours, "turn": turn}
    return _mount(key=key, data=data, on_crossed_change=on_crossed)
