"""Making levels inside a network, and taking one out.

A level of channels and blocks is what the knife makes of the full network without the units it lacks; a level of single weights
is the full network behind a mask.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, cast

import torch
from torch import nn

from core.errors import BadInput
from core.nested.levels import Level, Nested, OwnHead, home_of
from core.nested.masks import fallen_of, masked_weights
from core.nested.pieces import NORMS, check_constants, columns_of, head_of, pieces_of
from core.nested.scheduling import Schedule, absent, elements
from core.nested.ties import Masked, Piece, Tie, piece_of
from core.networks.describe import Outline, without_levels
from core.structure.build import Origin
from core.structure.need import mark_needs
from core.structure.outlining import described
from core.structure.plan import RemovalPlan
from core.structure.provenance import provenance
from core.structure.surgery import built, flow_of
from core.structure.trace import Example, Traced, trace
from core.structure.values import Flow
from core.structure.zeros import plan_traced

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Making:
    """What levels have of their own. `norms`: everything; nothing (shared); or statistics alone (recalibrated).

    `classes`: of each inner level, how many its own last layer tells apart; None: it has that of the full network. `extra`: how
    many a second last layer of its own does; None: it has none.
    """

    norms: Literal["own", "shared", "recalibrated"] = "own"
    classes: Sequence[int | None] = field(default_factory=tuple)
    extra: Sequence[int | None] = field(default_factory=tuple)

    def heads(self, level: int) -> tuple[int | None, int | None]:
        """Classes of an inner level's own last layer and of its second one."""
        return self.classes[level] if self.classes else None, self.extra[level] if self.extra else None


def nest(full: nn.Module, example: Example, schedules: Sequence[Schedule], making: Making | None = None) -> Nested:
    """The levels of `schedules`, core first, in `full`, which is the last level and is not listed. TraceError, BadInput.

    Levels are found by following a copy without zeros: what is zero by chance in `full` does not shape them.
    """
    making = making or Making()
    check_nestable(full)
    model = without_zeros(full)
    outline = described(model, example).outline
    inner = []
    for number, schedule in enumerate(schedules):
        made = without(model, example, outline, schedule)
        network = made.network
        check_constants(network, partial(cut_out, without_zeros(full, 1), example, outline, schedule))
        ties = pieces_of(model, network, made.origins)
        fresh_norms(network)
        heads = making.heads(number)
        head = None if heads[0] is None else head_of(made.flow)
        own = None if head is None else OwnHead(head, columns_of(model, head, made.origins))
        inner.append(level_of(model, network, made.plan, ties, making.norms, own, heads))
    return Nested(full, inner)


@dataclass(frozen=True)
class Made:
    """What the knife makes of a network without the units that a level lacks; `flow`: of the whole."""

    flow: Flow
    plan: RemovalPlan
    network: nn.Module
    origins: Mapping[str, Origin]


def without(model: nn.Module, example: Example, outline: Outline, schedule: Schedule) -> Made:
    """The network of one level."""
    traced = trace(model, example)
    flow = flow_of_nothing(traced)
    plan = plan_traced(traced, masked=absent(flow, outline, schedule))
    return Made(flow, plan, *built(plan, flow_of(plan, traced), trains=True))


def cut_out(model: nn.Module, example: Example, outline: Outline, schedule: Schedule) -> nn.Module:
    """The network of one level, and nothing else."""
    return without(model, example, outline, schedule).network


def nest_masks(full: nn.Module, example: Example, num_levels: int, making: Making | None = None) -> Nested:
    """Levels of single weights, core first, by what fell in which search (`core.nested.masks`)."""
    making = making or Making()
    check_nestable(full)
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
        heads = making.heads(level)
        head = None if heads[0] is None else head_of(flow_of_nothing(trace(without_zeros(full), example)))
        own = None if head is None else OwnHead(head, torch.arange(network.get_submodule(head).in_features))
        inner.append(level_of(full, network, plan, ties, making.norms, own, heads))
    return Nested(full, inner)


def check_nestable(full: nn.Module) -> None:
    """BadInput where a batch norm has nothing that a level could have of its own, or one parameter has several names."""
    for path, module in full.named_modules():
        if isinstance(module, NORMS) and (not module.affine or not module.track_running_stats):
            missing = (
                "scale and shift; take affine=True"
                if not module.affine
                else "statistics; take track_running_stats=True"
            )
            raise BadInput(
                f"{path}: a batch norm of a nested network must have what levels have of their own; it has no {missing}"
            )
    names: dict[nn.Parameter, str] = {}
    for name, parameter in full.named_parameters(remove_duplicate=False):
        if names.setdefault(parameter, name) != name:
            raise BadInput(
                f"a parameter of a nested network must have one name; {names[parameter]} and {name} are the same; call one module twice"
            )


def level_of(
    full: nn.Module,
    network: nn.Module,
    plan: RemovalPlan,
    ties: dict[str, Tie],
    norms: str,
    head: OwnHead | None,
    classes: tuple[int | None, int | None],
) -> Level:
    """A level of a network whose every parameter has a tie: less those that are to be its own. `classes`: `Making.heads`."""
    paths = {path for path, module in network.named_modules() if isinstance(module, NORMS)}
    channels = {}
    for path in paths:
        tie = cast(Piece, ties[f"{path}.weight"])
        channels[path] = tie.elements
        home = tie.source.rpartition(".")[0]
        if norms == "own":
            del ties[f"{path}.weight"], ties[f"{path}.bias"]
        elif norms == "shared":
            if not tie.leading:
                raise BadInput(
                    "level_norms must be own or recalibrated where the order of channels is learned; got shared: its statistics "
                    "would be kept in pieces; take own"
                )
            ties |= {f"{path}.{name}": Piece(f"{home}.{name}", tie.elements, leading=True) for name in STATISTICS}
    made = []
    if head is not None:
        like = full.get_submodule(head.path)
        made = [linear(len(head.columns), count, like, seed=count) for count in classes if count is not None]
        place, last = home_of(network, head.path)
        setattr(place, last, made[0])
        for name in ("weight", "bias"):
            ties.pop(f"{head.path}.{name}", None)
    return Level(network, plan, ties, channels, head, *made[1:])


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
def without_zeros(full: nn.Module, seed: int = 0) -> nn.Module:
    """A copy in which nothing is zero or one by chance: what a level lacks follows from its schedule alone."""
    model = without_levels(copy.deepcopy(full)).cpu().eval()
    draw = torch.Generator().manual_seed(seed)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=draw)
    return model


def flow_of_nothing(traced: Traced) -> Flow:
    """The network as it is, nothing masked."""
    flow = provenance(traced, {}, {})
    mark_needs(flow)
    return flow
