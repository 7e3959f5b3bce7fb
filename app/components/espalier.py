"""The espalier: the network as a trained tree, drawn and scrubbed in the browser.

The data says what exists and what lived when; the picture is espalier.js with its parts. One series per site, index 0 before training:

    {"network", "input", "classes", "epoch_now", "total_epochs",
     "stages": [{"name", "path", "note", "blocks": [{"path", "label", "skip", "block_site",
                 "convs": [{"path", "site", "label", "total", "macs", "params"}]}]}],
     "alive": {site: counts}, "factor": {block site: values}, "died": {site: epoch or None},
     "markers": [{"epoch", "label"}], "selected": {"site", "epoch"}, "say", "follow", "playing",
     "run": optional, a new one starts the view afresh, "macs_share": optional, fractions 0-1 per epoch}

``skip`` is ``identity``, ``pad``, ``projection`` or ``none``. A convolution without a site keeps its width.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent
PARTS = ("espalier_state.js", "espalier_tree.js", "espalier.js")
SCRIPT = "\n".join((HERE / name).read_text(encoding="utf-8") for name in PARTS)
STYLE = (HERE / "espalier.css").read_text(encoding="utf-8")
MAX_FACTORS = 2000

_mount = st.components.v2.component("espalier", css=STYLE, js=SCRIPT)


def espalier(data: dict[str, Any], *, key: str, on_picked: Callable[[], None] = lambda: None) -> Any:
    """Shows the tree. ``result.epoch`` is the epoch scrubbed to, or None at the newest; ``result.picked`` is one click:
    ``{site, path, epoch}``. Inside a fragment that repeats, read the click in ``on_picked``: it is gone a tick later."""
    return _mount(
        key=key, data=packed(data), default={"epoch": None}, on_epoch_change=lambda: None, on_picked_change=on_picked
    )


def standalone_html(data: dict[str, Any], title: str) -> str:
    """The same view as one file that needs no network and no server."""
    inside = json.dumps(packed(data), ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 0 auto; max-width: 1320px; padding: 24px 28px; font-family: system-ui, sans-serif; background: #fbfaf7; color: #22302a }}
h1 {{ font-size: 22px; margin: 0 0 6px }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14191a; color: #e6ece8 }} }}
{STYLE}
</style></head>
<body><h1>{html.escape(title)}</h1><main></main>
<script type="application/json" id="espalier-data">{inside}</script>
<script type="module">
{SCRIPT}
espalier({{ data: JSON.parse(document.getElementById("espalier-data").textContent), parentElement: document.querySelector("main") }});
</script></body></html>
"""


def packed(data: dict[str, Any]) -> dict[str, Any]:
    """The data with counts as runs of equal values and factors at three digits: a fifth of the size, the same picture.

    More than MAX_FACTORS factors are sampled in time; the newest of each is always there."""
    alive = {site: _runs(counts) for site, counts in data.get("alive", {}).items()}
    factors = data.get("factor", {})
    every = math.ceil(sum(len(values) for values in factors.values()) / MAX_FACTORS)
    return {**data, "alive": alive, "factor": {site: _sampled(values, every) for site, values in factors.items()}}


def _sampled(values: list[float], every: int) -> dict[str, Any] | list[float | None]:
    digits = [_three_digits(value) for value in values]
    if every <= 1:
        return digits
    return {"every": every, "count": len(digits), "values": [*digits[:-1:every], digits[-1]]}


def _runs(counts: Iterable[int]) -> dict[str, list[int]]:
    return {"runs": [number for count, same in groupby(int(c) for c in counts) for number in (count, len(list(same)))]}


def _three_digits(value: float) -> float | None:
    """Rounded, and never to zero: an exact zero means dead. None for what is not finite."""
    return float(f"{float(value):.3g}") if math.isfinite(value) else None
