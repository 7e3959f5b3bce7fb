"""The one selection {run, epoch, site, unit, level}: the same on every page, and in the URL."""

from __future__ import annotations

from typing import Any

import streamlit as st

KEYS = ("run", "epoch", "site", "unit", "level")


def selection() -> dict[str, str]:
    """What is selected now. The URL wins where it says something; a page change, which clears it, loses nothing."""
    kept: dict[str, str] = st.session_state.setdefault("selection", {})
    kept |= {key: st.query_params[key] for key in KEYS if key in st.query_params}
    _say_in_address(kept)
    return kept


def select(**changes: Any) -> None:
    """Change the selection; None forgets a key. One step in the browser's history, none where nothing changes."""
    kept = selection()
    for key, value in changes.items():
        if key not in KEYS:
            raise ValueError(f"a selection has {', '.join(KEYS)}; got {key!r}")
        if value is None:
            kept.pop(key, None)
            if key in st.query_params:
                del st.query_params[key]
        else:
            kept[key] = str(value)
    _say_in_address(kept)


def _say_in_address(kept: dict[str, str]) -> None:
    """What the address does not say yet, all at once: every word to it is a step that Back has to take."""
    new = {key: value for key, value in kept.items() if st.query_params.get(key) != value}
    if new:
        st.query_params.update(new)


def selected_number(key: str) -> int | None:
    """A numeric part of the selection; None where the URL holds something else."""
    text = selection().get(key, "")
    return int(text) if text.isdigit() else None
