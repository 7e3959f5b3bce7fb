"""Making levels inside a network, and taking one out.

A level of channels and blocks is what the knife makes of the full network without the units it lacks; a level of single weights
is the full network behind a mask.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.nested.levels import Level, Nested, OwnHead, home_of
from core.nested.masks import fallen_of, masked_weights
from core.nested.scheduling import Schedule, absent, elements
from core.nested.ties import Masked, Piece, Tie, piece_of
from core.networks.describe import without_levels
from core.structure.build import Origin
from core.structure.need import mark_needs
from core.structure.outlining import closed_sites, described
from core.structure.plan import RemovalPlan
from core.structure.provenance import provenance
from core.structure.surgery import built, flow_of
from core.structure.trace import Example, Traced, trace
from core.structure.values import Flow
from core.structure.zeros import plan_traced

NORMS = nn.modules.batchnorm._BatchNorm
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Making:
    """What levels have of their own. `norms`: everything; nothing (shared); or statistics alone (recalibrated).

    `classes`: of each inner level, how many its own last layer tells apart; None: it has that of the full network. `extra`: levels
    with other classes than the run's have a second last layer for these many.
    """

    norms: Literal["own", "shared", "recalibrated"] = "own"
    classes: Sequence[int | None] = field(default_factory=tuple)
    extra: int | None = None


def nest(full: nn.Module, example: Example, schedules: Sequence[Schedule], making: Making | None = None) -> Nested:
    """The levels of `schedules`, core first, in `full`, which is the last level and is not listed. TraceError, BadInput.

    Levels are found by following a copy without zeros: what is zero by chance in `full` does not shape them.
    """
    making = making or Making()
    model = without_zeros(full)
    outline = described(model, example).outline
    inner = []
    for number, schedule in enumerate(schedules):
        traced = trace(model, example)
        flow = flow_of_nothing(traced)
        plan = plan_traced(traced, masked=absent(flow, outline, schedule))
        network, origins = built(plan, flow_of(plan, traced), trains=True)
        fresh_norms(network)
        classes = making.classes[number] if making.classes else None
        head = None if classes is None else head_of(flow)
        columns = None if head is None else columns_of(model, head, origins)
        inner.append(level_of(model, network, plan, pieces_of(model, network, origins), making, classes, head, columns))
    return Nested(full, inner)


def nest_masks(full: nn.Module, example: Example, num_levels: int, making: Making | None = None) -> Nested:
    """Levels of single weights, core first, by what fell in which search (`core.nested.masks`)."""
    making = making or Making()
    found, inner = fallen_of(full), []
    plan = plan_traced(trace(without_zeros(full), example), masked={})
    for level in range(num_levels - 1):
        network = without_levels(copy.deepcopy(full))
        fresh_norms(network)
        masked = set(masked_weights(network))
        everything = {name: piece_of(name, p, elements(p).long()) for name, p in network.named_parameters()}
        ties: dict[str, Tie] = {
            name: Masked(name, found, level, num_levels) if name in masked else piece
            for name, piece in everything.items()
        }
        classes = making.classes[level] if making.classes else None
        head = None if classes is None else head_of(flow_of_nothing(trace(without_zeros(full), example)))
        columns = None if head is None else torch.arange(network.get_submodule(head).in_features)
        inner.append(level_of(full, network, plan, ties, making, classes, head, columns))
    return Nested(full, inner)


def level_of(
    full: nn.Module,
    network: nn.Module,
    plan: RemovalPlan,
    ties: dict[str, Tie],
    making: Making,
    classes: int | None,
    head: str | None,
    columns: Tensor | None,
) -> Level:
    """A level of a network whose every parameter has a tie: less those that are to be its own."""
    norms = {path for path, module in network.named_modules() if isinstance(module, NORMS)}
    channels = {}
    for path in norms:
        tie = cast(Piece, ties.get(f"{path}.weight"))
        if tie is None:
            raise BadInput(
                f"a batch norm of a nested network must have scale and shift; {path} has none; take affine=True"
            )
        channels[path] = tie.elements
        home = tie.source.rpartition(".")[0]
        if making.norms == "own":
            del ties[f"{path}.weight"], ties[f"{path}.bias"]
        elif making.norms == "shared":
            if not tie.leading:
                raise BadInput(
                    "level_norms must be own or recalibrated where the order of channels is learned; got shared: its statistics "
                    "would be kept in pieces; take own"
                )
            ties |= {f"{path}.{name}": Piece(f"{home}.{name}", tie.elements, leading=True) for name in STATISTICS}
    own = extra = None
    if head is not None and columns is not None and classes is not None:
        like = full.get_submodule(head)
        place, last = home_of(network, head)
        setattr(place, last, linear(len(columns), classes, like, seed=classes))
        for name in ("weight", "bias"):
            ties.pop(f"{head}.{name}", None)
        own = OwnHead(head, columns)
        if making.extra is not None and making.extra != classes:
            extra = linear(len(columns), making.extra, like, seed=making.extra)
    return Level(network, plan, ties, channels, own, extra)


def extract(nested: Nested, level: int) -> nn.Module:
    """A level as a network of its own, which shares no memory with the nested one: plain torch modules, weights cut out."""
    nested.at(level)  # says what levels there are
    if level == nested.num_levels - 1:
        return without_levels(copy.deepcopy(nested.full))
    inner, shared = nested.inner[level], nested.shared()
    network = copy.deepcopy(inner.network)
    with torch.no_grad():
        for name, tie in inner.ties.items():
            module, last = home_of(network, name)
            module.__dict__.pop(last, None)
            own = tie.of(shared[tie.source]).clone()
            if isinstance(shared[tie.source], nn.Parameter):
                module.register_parameter(last, nn.Parameter(own))
            else:
                module.register_buffer(last, own)
    return network


def pieces_of(model: nn.Module, network: nn.Module, origins: Mapping[str, Origin]) -> dict[str, Tie]:
    """By parameter of a cut network: the piece of the full network's that it is."""
    full = dict(model.named_parameters())
    out: dict[str, Tie] = {}
    for name, parameter in network.named_parameters():
        origin = origins[name]
        numbers = origin.cut(elements(full[origin.source])).reshape(parameter.shape).long()
        out[name] = piece_of(origin.source, full[origin.source], numbers)
    return out


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


def linear(inputs: int, outputs: int, like: nn.Module, seed: int) -> nn.Linear:
    """A last layer with first weights of its own: variance 1 / fan-in, zero biases."""
    weight = cast(nn.Linear, like).weight
    made = nn.Linear(inputs, outputs, bias=like.bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        made.weight.normal_(0, inputs**-0.5, generator=torch.Generator().manual_seed(seed))
        if made.bias is not None:
            made.bias.zero_()
    return made


def fresh_norms(network: nn.Module) -> None:
    """A level's norms begin as any do: they have seen nothing."""
    for module in network.modules():
        if isinstance(module, NORMS):
            module.reset_parameters()


@torch.no_grad()
def without_zeros(full: nn.Module) -> nn.Module:
    """A copy in which nothing is zero or one by chance: what a level lacks follows from its schedule alone."""
    model = without_levels(copy.deepcopy(full)).cpu().eval()
    draw = torch.Generator().manual_seed(0)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=draw)
    return model


def flow_of_nothing(traced: Traced) -> Flow:
    """The network as it is, nothing masked."""
    flow = provenance(traced, {}, {})
    mark_needs(flow)
    return flow
