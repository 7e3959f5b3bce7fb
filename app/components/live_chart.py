"""Live Plotly charts: the library once per page, then figures that update in place.

``st.plotly_chart`` builds a new chart whenever its data changes; this component calls ``Plotly.react`` on the same node, and is
sent only what changed since the last look (`components.changes`).
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import streamlit as st
from plotly.offline import get_plotlyjs

from app.components.changes import SAME, change
from app.components.figure_parts import DARK
from app.components.scripts import component

HERE = Path(__file__).parent
SHOWN = "figures-shown"
"""Session state: of each figure, what the page was told last, and all of it: (message, data)."""

SENT = "plotly-sent"

_numbers = count(1)
_load = st.components.v2.component("plotly_loader", js=(HERE / "plotly_loader.js").read_text(encoding="utf-8"))
_mount = component("live_chart", js=(HERE / "live_chart.js").read_text(encoding="utf-8"), isolate_styles=False)


@cache
def _library() -> bytes:
    return gzip.compress(get_plotlyjs().encode(), compresslevel=6, mtime=0)


def plotly_loader(key: str = "plotly-loader") -> None:
    """Sends plotly.js to the page, once a session, and again where the page says that it has none: call it once per full run,
    outside repeating fragments."""
    sent = st.session_state.get(SENT, False)
    st.session_state[SENT] = True
    _load(
        key=key, data=b"" if sent else _library(), height=1, on_missing_change=lambda: st.session_state.pop(SENT, None)
    )


def live_chart(
    spec: dict[str, Any],
    *,
    key: str,
    height: int = 300,
    on_picked: Callable[[], None] = lambda: None,
    on_selected: Callable[[], None] = lambda: None,
    chosen: Sequence[str] | None = None,
    title: str = "",
    note: str = "",
) -> Any:
    """Shows a spec of ``app.charts``. ``result.picked`` is one click: ``{curve, x, y, customdata}``; inside a fragment
    that repeats, read it in ``on_picked``.

    With a ``title`` it and the spec's sentence stand above, and the ``note`` below: one element of the page instead of four.

    With ``chosen`` the figure can be brushed by box and lasso: ``result.selected`` are the first entries of the points'
    customdata, none where the brush is lifted; ``chosen`` says which of them stand out now (empty: all).
    """
    data = {"spec": spec, "height": height, "dark": DARK, "revision": key}
    if title:
        data |= {"title": title, "note": note}
    if chosen is not None:
        data["chosen"] = list(chosen)
    return _mount(
        key=key, data=_told(key, data), height="content", on_picked_change=on_picked, on_selected_change=on_selected,
        on_missing_change=lambda: st.session_state[SHOWN].pop(key, None),
    )  # fmt: skip


def _told(key: str, data: dict[str, Any]) -> dict[str, Any]:
    """What is sent of a figure: all of it at first, then the change since the last look; all again where the page misses that."""
    shown: dict[str, tuple[dict[str, Any], dict[str, Any]]] = st.session_state.setdefault(SHOWN, {})
    told: dict[str, Any] = {"figure": key, "number": next(_numbers), "whole": data}
    if key in shown:
        before, was = shown[key]
        if (changed := change(was, data)) == SAME:
            return before
        told = {"figure": key, "number": told["number"], "since": before["number"], "change": changed}
    shown[key] = (told, data)
    return told
