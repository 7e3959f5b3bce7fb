"""What the tensors of a cut network are of the full one's: pieces, or else it is no level."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.nested.scheduling import elements
from core.nested.ties import Tie, piece_of
from core.structure.build import Origin
from core.structure.outlining import closed_sites
from core.structure.values import Flow

NORMS = nn.modules.batchnorm._BatchNorm


def pieces_of(model: nn.Module, network: nn.Module, origins: Mapping[str, Origin]) -> dict[str, Tie]:
    """By parameter of a cut network: the piece of the full network's that it is. BadInput where something else is in it.

    That is so where a missing channel leaves a constant behind, as a sigmoid does, which the cut carries in biases and buffers.
    """
    full = dict(model.named_parameters())
    out: dict[str, Tie] = {}
    for name, parameter in network.named_parameters():
        if name not in origins:
            raise carries(name)
        source, cut = origins[name].source, origins[name].cut
        numbers = cut(elements(full[source])).reshape(parameter.shape).long()
        piece = full[source].flatten()[numbers]
        if bool(((piece != parameter) & (parameter != 0)).any()):  # zeros only pad uneven conv groups
            raise carries(name)
        out[name] = piece_of(source, full[source], numbers)
    return out


def check_constants(network: nn.Module, again: Callable[[], nn.Module]) -> None:
    """BadInput where what missing channels leave behind depends on weights; `again`: the same level with other weights."""
    constants = constants_of(network)
    if not constants:
        return
    other = constants_of(again())
    for name, value in constants.items():
        if not torch.equal(value, other.get(name, value)):
            raise carries(name)


def constants_of(network: nn.Module) -> dict[str, Tensor]:
    """Buffers of a cut network that are no norm's and no mere zeros and ones, which give sizes."""
    buffers = {name: value for name, value in network.named_buffers() if value.is_floating_point()}
    norms = tuple(f"{path}." for path, module in network.named_modules() if isinstance(module, NORMS))
    odd = {name: value for name, value in buffers.items() if bool(((value != 0) & (value != 1)).any())}
    return {name: value for name, value in odd.items() if not name.startswith(norms)}


def carries(name: str) -> BadInput:
    return BadInput(
        "a level must be the full network without some channels, and nothing in their place; "
        f"{name} would carry what an activation with f(0) other than 0 makes of them; take one such as ReLU"
    )


def head_of(flow: Flow) -> str:
    """The path of the linear layer that gives the network's output. BadInput where that is something else."""
    found = [site.rpartition("/")[0] for site in closed_sites(flow)]
    if len(found) != 1 or not isinstance(flow.traced.root.get_submodule(found[0]), nn.Linear):
        raise BadInput(
            f"a head of its own must take the place of one linear layer at the network's end; got {', '.join(sorted(found)) or 'none'}"
        )
    return found[0]


def columns_of(model: nn.Module, head: str, origins: Mapping[str, Origin]) -> Tensor:
    """Which inputs of the full network's last layer a level has."""
    weight = dict(model.named_parameters())[f"{head}.weight"]
    width = weight.shape[1]
    return origins[f"{head}.weight"].cut(elements(weight)).long()[0] % width
