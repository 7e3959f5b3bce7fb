"""Scripts of components that change often: sent to a page once, not with every change of their data.

Streamlit sends a component's script and style along with each message of its data. Of a component made here only a stub travels.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
_SENT: dict[str, dict[str, str]] = {}
_send = st.components.v2.component("scripts", js=(HERE / "scripts.js").read_text(encoding="utf-8"))


def component(name: str, *, js: str, css: str = "", isolate_styles: bool = True) -> Callable[..., Any]:
    """A component that draws with `js` as soon as `scripts` has sent it; changed scripts have another name on the page."""
    part = part_name(name, js, css)
    _SENT[part] = {"js": js, "css": css}
    stub = (HERE / "stub.js").read_text(encoding="utf-8").replace("NAME", part)
    return st.components.v2.component(name, js=stub, isolate_styles=isolate_styles)


def part_name(name: str, js: str, css: str = "") -> str:
    """What a component's script is called on the page."""
    return f"{name}-{sha256((js + css).encode()).hexdigest()[:12]}"


def scripts() -> None:
    """Sends every script: call it once per full run, outside repeating fragments."""
    with st.container(key="scripts"):
        _send(key="scripts-of-components", data=_SENT)
