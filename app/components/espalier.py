"""The espalier: the network as a trained tree, drawn and scrubbed in the browser.

The data says what exists and what lived when; the picture is espalier.js with its parts. One series per site, index 0 before training:

    {"network", "input", "classes", "epoch_now", "total_epochs",
     "stages": [{"name", "path", "note", "blocks": [{"path", "label", "skip", "block_site",
                 "convs": [{"path", "site", "label", "total", "macs", "params"}]}]}],
     "alive": {site: counts}, "factor": {block site: values}, "died": {site: epoch or None},
     "markers": [{"epoch", "label"}], "selected": {"site", "epoch"}, "say", "follow", "playing",
     "says": optional, the sentence of every epoch,
     "run": optional, a new one starts the view afresh, "macs_share": optional, fractions 0-1 per epoch}

``skip`` is ``identity``, ``pad``, ``projection``, ``concat``, ``gate`` or ``none``. A convolution without a site keeps its width.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

HERE = Path(__file__).parent
PARTS = ("espalier_state.js", "espalier_tree.js", "espalier.js")
SCRIPT = "\n".join((HERE / name).read_text(encoding="utf-8") for name in PARTS)
STYLE = (HERE / "espalier.css").read_text(encoding="utf-8")
MAX_FACTORS = 2000

_mount = st.components.v2.component("espalier", css=STYLE, js=SCRIPT)


def espalier(
    data: dict[str, Any],
    *,
    key: str,
    on_picked: Callable[[], None] = lambda: None,
    on_epoch: Callable[[], None] = lambda: None,
) -> Any:
    """Shows the tree. ``result.epoch`` is the epoch scrubbed to, or None at the newest; ``result.picked`` is one click:
    ``{site, path, epoch}``. Inside a fragment that repeats, read the click in ``on_picked``: it is gone a tick later."""
    return _mount(
        key=key, data=packed(data), default={"epoch": None}, on_epoch_change=on_epoch, on_picked_change=on_picked
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

    More than MAX_FACTORS factors are sampled in time; the newest of each is always there. Packed data stays as it is."""
    factors = data.get("factor", {})
    length = max((len(v) for v in factors.values() if not isinstance(v, dict)), default=0)
    every = math.ceil(length * len(factors) / MAX_FACTORS)
    alive = {
        site: counts if isinstance(counts, dict) else _runs(counts) for site, counts in data.get("alive", {}).items()
    }
    thin = {site: values if isinstance(values, dict) else _sampled(values, every) for site, values in factors.items()}
    return {**data, "alive": alive, "factor": thin}


def _sampled(values: Sequence[float], every: int) -> dict[str, Any] | list[float | None]:
    if every <= 1:
        return [_three_digits(value) for value in values]
    kept = [_three_digits(value) for value in values[:-1:every]] + [_three_digits(value) for value in values[-1:]]
    return {"every": every, "count": len(values), "values": kept}


def _runs(counts: Sequence[int]) -> dict[str, list[int]]:
    numbers = np.asarray(counts, dtype=int)
    ends = np.append(np.flatnonzero(np.diff(numbers)) + 1, len(numbers)) if len(numbers) else np.zeros(0, int)
    starts = np.concatenate([[0], ends[:-1]]).astype(int) if len(ends) else ends
    return {"runs": [int(n) for start, end in zip(starts, ends, strict=True) for n in (numbers[start], end - start)]}


def _three_digits(value: float) -> float | None:
    """Rounded, and never to zero: an exact zero means dead. None for what is not finite."""
    return float(f"{float(value):.3g}") if math.isfinite(value) else None
