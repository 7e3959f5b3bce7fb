"""The espalier: the network as a trained tree, drawn and scrubbed in the browser.

The data says what exists and what lived when; the picture is espalier.js with its parts. One series per site, index 0 before training:

    {"network", "input", "classes", "epoch_now", "total_epochs",
     "stages": [{"name", "path", "note", "blocks": [{"path", "label", "skip", "block_site",
                 "convs": [{"path", "site", "label", "total", "macs", "params"}]}]}],
     "alive": {site: counts}, "factor": {block site: values}, "died": {site: epoch or None},
     "markers": [{"epoch", "label"}], "selected": {"site", "unit", "epoch"}, "say", "follow", "playing",
     "units": optional, {site: (epochs, units) of 0 dead, 1 dying, 2 alive},
     "norms": optional, {site: mean norm of the living units}, "noun": what these are,
     "taps": optional, {conv path: {"side": k, "total", "sites": k x k names in "alive", row by row}},
     "levels": optional, {"count", "what": "units" or "weights", "kept": {conv path: fractions, core first}, "units": {conv path: filters, core first}},
     "ghost": optional, another run of the same network, {"name", "data": packed with `packed`},
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

from app.components.espalier_bytes import MAX_FACTORS, counts_of, flips_of, norms_of, packed_bytes
from app.components.scripts import component, part_name

HERE = Path(__file__).parent
PARTS = (
    "espalier_bytes.js", "espalier_state.js", "espalier_tree.js", "espalier_draw.js", "espalier_units.js", "espalier_near.js",
    "espalier_card.js", "espalier_picture.js", "espalier.js",
)  # fmt: skip
SCRIPT = "\n".join((HERE / name).read_text(encoding="utf-8") for name in PARTS)
STYLE = (HERE / "espalier.css").read_text(encoding="utf-8")
LIVE = ("selected", "follow", "playing", "ghost", "near", "detail", "levels")
"""What travels beside the bytes: it changes while the history stays."""

PART = part_name("espalier", SCRIPT, STYLE)
"""What its script is called on a page: another component can draw a tree with it."""

_mount = component("espalier", css=STYLE, js=SCRIPT)


def espalier(
    data: dict[str, Any],
    *,
    key: str,
    on_picked: Callable[[], None] = lambda: None,
    on_epoch: Callable[[], None] = lambda: None,
) -> Any:
    """Shows the tree. ``result.epoch`` is the epoch scrubbed to, or None at the newest; ``result.picked`` is one click:
    ``{site, path, unit, epoch}``. Inside a fragment that repeats, read the click in ``on_picked``: it is gone a tick later."""
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
    """The data with its history as one text of bytes (see `espalier_bytes`). Packed data stays as it is.

    More than MAX_FACTORS factors are sampled in time; the newest of each is always there."""
    if "bytes" in data:
        return data
    alive, units, norms = data.get("alive", {}), data.get("units", {}), data.get("norms", {})
    head = {k: v for k, v in data.items() if k not in (*LIVE, "alive", "units", "norms", "factor")}
    arrays = {"counts": counts_of(alive)}
    if norms:
        head["starts"], arrays["norms"] = norms_of(norms)
    if units:
        arrays["flips"], arrays["moments"] = flips_of(units)
    head |= {
        "sites": list(alive),
        "factor": _sampled(data.get("factor", {})),
        "norm_sites": list(norms),
        "units": [[site, states.shape[1]] for site, states in units.items()],
    }
    return {"bytes": packed_bytes(head, arrays)} | {k: data[k] for k in LIVE if k in data}


def _sampled(factors: dict[str, Sequence[float]]) -> dict[str, Any]:
    length = max((len(v) for v in factors.values()), default=0)
    every = math.ceil(length * len(factors) / MAX_FACTORS)
    return {site: _thin(values, every) for site, values in factors.items()}


def _thin(values: Sequence[float], every: int) -> dict[str, Any] | list[float | None]:
    if every <= 1:
        return [_three_digits(value) for value in values]
    kept = [_three_digits(value) for value in values[:-1:every]] + [_three_digits(value) for value in values[-1:]]
    return {"every": every, "count": len(values), "values": kept}


def _three_digits(value: float) -> float | None:
    """Rounded, and never to zero: an exact zero means dead. None for what is not finite."""
    return float(f"{float(value):.3g}") if math.isfinite(value) else None
