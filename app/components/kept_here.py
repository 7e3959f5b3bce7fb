"""What this browser keeps for a person across reloads, without an account: a small dictionary in its local storage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent

_mount = st.components.v2.component("kept_here", js=(HERE / "kept_here.js").read_text(encoding="utf-8"))


def kept_here(answers: dict[str, Any], *, known: bool, key: str, on_kept: Callable[[], None]) -> None:
    """Asks the browser for what it keeps (`on_kept` then reads `st.session_state[key].kept`); once that is `known`, keeps `answers`."""
    _mount(key=key, data={"answers": answers, "known": known}, default={"kept": None}, on_kept_change=on_kept, height=1)
