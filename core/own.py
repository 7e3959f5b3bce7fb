"""Networks of runs: one that is built in, or a person's own, `module:function@FOLDER`, described by following it.

A person's own code runs only where its person named it on the command line: `trust` writes that into the runs folder, and a
run that came from elsewhere with such a network is refused in a sentence.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import torch
from torch import nn

from core.atomic import replacing
from core.data.dataset import Dataset
from core.errors import BadInput
from core.networks import build, factory
from core.networks.describe import OWN, Layout, OwnDescription, input_shape_of, own_description
from core.networks.measure import layout as measured
from core.networks.names import OwnName, own_named, shown
from core.structure.outlining import described

FILE = "own_networks.json"
PLACES = re.compile(
    r"nested_levels\.\d+\.network\.index\d+"
)  # of channels in a level: how it is built, nothing learned


def trusted(root: Path) -> list[str]:
    """The own networks that may run in a runs folder; none where the list cannot be read."""
    try:
        listed = json.loads((root / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [text for text in listed if isinstance(text, str)] if isinstance(listed, list) else []


def trust(root: Path, network: str) -> None:
    """Let runs of that folder run the code of `network`."""
    known = trusted(root)
    if network not in known:
        root.mkdir(parents=True, exist_ok=True)
        with replacing(root / FILE) as beside:
            Path(beside).write_text(json.dumps([*known, network], indent=1), encoding="utf-8")


def network_for(name: str, dataset: Dataset, seed: int, root: Path | None) -> nn.Module:
    """The network `name` for a data set, first weights from `seed`; `root`: the runs folder that must trust it (None: no run).

    Raises BadInput where it is not trusted or does not give class scores, TraceError where it cannot be followed.
    """
    own = own_named(name)
    if own is None:
        generator = torch.Generator().manual_seed(seed)
        return build(name, **_sizes(dataset), generator=generator)
    if root is not None and name not in trusted(root):
        raise BadInput(
            f"network {own} must be one that was named on this machine: it is a person's own code, in {own.folder}; this run "
            f"came from elsewhere; run `python -m core run PRESET --network {own}` in that folder first, if you trust it"
        )
    network = _made(own, dataset, seed)
    found = described(network, torch.zeros(1, *dataset.shape))
    facts = OwnDescription(
        tuple(found.structures),
        found.outline,
        found.left,
        found.reads,
        dataset.shape,
        lambda again: _made(own, dataset, again),
    )
    vars(network)[OWN] = facts
    return network


def draw_anew(network: nn.Module, seed: int) -> None:
    """First weights again, from `seed`, in place; norms forget what they have seen."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_parameters()
    own = own_description(network)
    if own is not None:
        network.load_state_dict(own.remake(seed).state_dict())
        return
    with torch.no_grad():
        network.initialise(torch.Generator().manual_seed(seed))  # type: ignore[operator]


def put_weights(network: nn.Module, weights: dict[str, torch.Tensor], where: str) -> None:
    """Load the weights of a run, in place. BadInput where they are of other shapes: a person's code may have changed since."""
    learned = {name: tensor for name, tensor in weights.items() if not PLACES.fullmatch(name)}
    try:
        missing, unknown = network.load_state_dict(learned, strict=False)
        fits = not unknown and all(PLACES.fullmatch(name) for name in missing)
    except RuntimeError:
        fits = False
    if not fits:
        raise BadInput(
            f"{where} must hold the weights of the network as it is made now; they differ: its code has changed since; "
            "put the old code back, or train anew"
        )


def layout_of(name: str, network: nn.Module) -> Layout:
    """What the screen draws of a network made by `network_for`."""
    channels, side, _ = input_shape_of(network)
    return measured(shown(name), copy.deepcopy(network), channels, side)


def _sizes(dataset: Dataset) -> dict[str, int]:
    return {
        "num_classes": dataset.num_classes, "in_channels": dataset.shape[0], "image_size": dataset.shape[1],
    }  # fmt: skip


def _made(own: OwnName, dataset: Dataset, seed: int) -> nn.Module:
    example = torch.zeros(2, *dataset.shape)
    network = factory.make(own.factory, example, own.folder, seed, **_sizes(dataset))
    with torch.inference_mode():
        scores = network(example)
    got = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if got != (2, dataset.num_classes):
        raise BadInput(
            f"the network of {own} must give {dataset.num_classes} class scores an image; got {got} for 2 images; "
            "take num_classes as a parameter of the function"
        )
    return network
