"""What the learned zeros leave of every layer, counted from the layout alone. No torch.

An estimate for the running display: it multiplies a layer's MACs by the living fractions of its inputs and outputs.
The exact count of the network that is really cut comes from `core.structure.cost`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any


def remaining(layout: dict[str, Any], alive: dict[str, int]) -> dict[str, tuple[float, float]]:
    """{path: (MACs, parameters)} left, from a layout (`Layout.as_json()`) and the living units of each site."""
    left: dict[str, tuple[float, float]] = {}
    by_path = {conv["path"]: conv for convs, _, _ in _blocks(layout, alive) for conv in convs}
    inputs = 1.0  # living fraction of what a plain chain hands on
    for convs, residual, dead in _blocks(layout, alive):
        chain = 1.0 if residual else inputs
        for conv, after in zip_longest(convs, convs[1:]):
            if conv["label"] == "shortcut":
                left[conv["path"]] = (conv["macs"], conv["params"])
                continue
            outputs = 0.0 if dead else _outputs(conv, alive)
            if after is not None and _in_groups(after):
                outputs *= _outputs(after, alive)  # a dead conv group reads nothing
            if isinstance(conv.get("reads"), dict):  # a person's own network: what it reads was followed
                chain = 1.0 - sum(
                    share * (1.0 - _outputs(by_path[path], alive)) for path, share in conv["reads"].items()
                )
            read = 1.0 if _in_groups(conv) else chain  # a conv group has inputs of its own
            share = 0.0 if dead else min(read, _inputs(conv, alive)) * outputs
            left[conv["path"]] = (conv["macs"] * share, conv["params"] * share)
            chain = outputs
        inputs = 1.0 if residual else chain
    return left


def _outputs(conv: dict[str, Any], alive: dict[str, int]) -> float:
    """Living fraction of a layer's conv groups, filters or neurons, by whichever site of it is watched."""
    path = conv["path"]
    sites = [conv["site"]] if _in_groups(conv) else [conv["site"], f"{path}/filter", f"{path}/neuron"]
    return next((alive[site] for site in sites if site in alive), conv["total"]) / conv["total"]


def _inputs(conv: dict[str, Any], alive: dict[str, int]) -> float:
    """Living fraction of what a layer reads: of its channels, or of its filter shapes."""
    channels = alive.get(f"{conv['path']}/channel", conv["inputs"]) / conv["inputs"]
    taps = conv["inputs"] * conv["kernel"] ** 2
    return min(channels, alive.get(f"{conv['path']}/shape", taps) / taps)


def macs_left(layout: dict[str, Any], alive: dict[str, int]) -> float:
    """Multiply-accumulates per image that the learned zeros leave (an estimate, see the module)."""
    return sum(macs for macs, _ in remaining(layout, alive).values())


def _in_groups(conv: dict[str, Any]) -> bool:
    return str(conv["site"]).endswith("/group")


def _blocks(layout: dict[str, Any], alive: dict[str, int]) -> Iterator[tuple[list[dict[str, Any]], bool, bool]]:
    """(convolutions, whether a skip runs beside them, whether the block is dead), stem and head included."""
    yield layout["stem"], False, False
    for stage in layout["stages"]:
        for block in stage["blocks"]:
            residual = block["skip"] != "none"
            yield block["convs"], residual, residual and alive.get(block["block_site"], 1) == 0
    yield layout["head"], False, False
