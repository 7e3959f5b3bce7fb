"""Files to save: a small one as its bytes, whose address stays through every drawing; a large one made when asked for.

Streamlit gives a callable a new address with each drawing: a click in the moment of one would save nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

AT_ONCE = 8 * 2**20  # bytes


def offer(label: str, file: Path, *, read: Callable[[Path], bytes] = Path.read_bytes, **how: Any) -> None:
    """A download button for what `read` makes of a file; `how` is given to Streamlit's own."""
    small = file.stat().st_size <= AT_ONCE
    st.download_button(label, read(file) if small else partial(read, file), width="stretch", **how)
