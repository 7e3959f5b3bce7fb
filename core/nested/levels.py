"""n networks in one: levels share the weights of the full network, each in an ordinary network of its own shape.

A level is what the knife makes of the full network without the units it lacks; its weights are tied: pieces of the full
network's, cut anew at every pass, so that gradients of all levels meet in one place. Batch norms are each level's own
(statistics and affine parameters), unless shared.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.errors import BadInput
from core.nested.scheduling import Schedule, absent, elements
from core.networks.describe import LEVELS, without_levels
from core.structure.build import Origin
from core.structure.need import mark_needs
from core.structure.outlining import described
from core.structure.plan import RemovalPlan
from core.structure.provenance import provenance
from core.structure.surgery import built, flow_of
from core.structure.trace import Example, Traced, trace
from core.structure.values import Flow
from core.structure.zeros import plan_traced

NORMS = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Tie:
    """A level's parameter as a piece of the full network's parameter `source`: its elements (Long, in the piece's shape)."""

    source: str
    elements: Tensor
    leading: bool = False  # the piece is the first rows, columns, ... of the full tensor

    def of(self, full: Tensor) -> Tensor:
        """The piece, differentiable; where it is leading, a view."""
        if self.leading:
            return full[tuple(slice(size) for size in self.elements.shape)]
        return full.flatten()[self.elements]


class Level(nn.Module):
    """A level below the full one: a network whose tied parameters come from outside.

    `plan`: the units of the full network that it lacks. `channels`: of each of its norms, which of the full norm's it has.
    """

    def __init__(
        self, network: nn.Module, plan: RemovalPlan, ties: Mapping[str, Tie], channels: Mapping[str, Tensor]
    ) -> None:
        super().__init__()
        self.network, self.plan, self.ties, self.channels = network, plan, dict(ties), dict(channels)
        for name in ties:  # no longer parameters of its own
            home, _, last = name.rpartition(".")
            delattr(network.get_submodule(home), last)
            setattr(network.get_submodule(home), last, None)

    def forward(self, x: Tensor, shared: Mapping[str, Tensor]) -> Tensor:
        return functional_call(
            self.network, {name: tie.of(shared[tie.source]) for name, tie in self.ties.items()}, (x,)
        )


class Nested:
    """`full` and the levels inside it, core first; level n - 1 is `full` itself.

    Inner levels are kept in `full.nested_levels` (LEVELS), so that copies, checkpoints and modes of `full` take them along; its own
    forward does not know of them.
    """

    def __init__(self, full: nn.Module, inner: Sequence[Level] = ()) -> None:
        self.full = full
        if inner:
            full.add_module(LEVELS, nn.ModuleList(inner))

    @property
    def inner(self) -> list[Level]:
        return list(getattr(self.full, LEVELS))

    @property
    def num_levels(self) -> int:
        return len(self.inner) + 1

    def shared(self) -> dict[str, Tensor]:
        """The full network's own parameters by name."""
        return {name: p for name, p in self.full.named_parameters() if not name.startswith(f"{LEVELS}.")}

    def at(self, level: int) -> nn.Module:
        """A level as a module to call, in place: it sees every later change of the weights. BadInput for no level."""
        if not 0 <= level < self.num_levels:
            raise BadInput(f"level must be 0 (core) to {self.num_levels - 1} (full); got {level}")
        return self.full if level == self.num_levels - 1 else InPlace(self, level)

    def subset_holds(self) -> dict[tuple[int, int], bool]:
        """For levels j < k: whether every shared weight of j is one of k (equation 5's condition)."""
        held = [self.held(level) for level in range(self.num_levels)]
        return {
            (j, k): all(bool((~held[j][name] | held[k][name]).all()) for name in held[j])
            for k in range(self.num_levels)
            for j in range(k)
        }

    def held(self, level: int) -> dict[str, Tensor]:
        """By shared parameter: which of its elements a level has (bool, flat)."""
        shared = {name: p for name, p in self.shared().items() if self.is_shared(name)}
        if level == self.num_levels - 1:
            return {name: torch.ones(p.numel(), dtype=torch.bool) for name, p in shared.items()}
        out = {name: torch.zeros(p.numel(), dtype=torch.bool) for name, p in shared.items()}
        for tie in self.inner[level].ties.values():
            out[tie.source][tie.elements.flatten()] = True
        return out

    def is_shared(self, name: str) -> bool:
        """Whether some inner level is tied to that parameter of the full network."""
        return any(tie.source == name for level in self.inner for tie in level.ties.values())


class InPlace(nn.Module):
    """A level of a nested network, called like any network; modes are set on the level's own modules."""

    def __init__(self, nested: Nested, level: int) -> None:
        super().__init__()
        self.own, self.nested = nested.inner[level], nested
        self.training = self.own.training

    def forward(self, x: Tensor) -> Tensor:
        return self.own(x, self.nested.shared())


def nest(full: nn.Module, example: Example, schedules: Sequence[Schedule]) -> Nested:
    """The levels of `schedules`, core first, in `full`, which is the last level and is not listed. TraceError, BadInput.

    Levels are found by following a copy without zeros: what is zero by chance in `full` does not shape them.
    """
    model = without_zeros(full)
    outline = described(model, example).outline
    inner = []
    for schedule in schedules:
        traced = trace(model, example)
        plan = plan_traced(traced, masked=absent(flow_of_nothing(traced), outline, schedule))
        network, origins = built(plan, flow_of(plan, traced), trains=True)
        fresh_norms(network)
        inner.append(Level(network, plan, *ties_of(model, network, origins)))
    return Nested(full, inner)


def extract(nested: Nested, level: int) -> nn.Module:
    """A level as a network of its own, which shares no memory with the nested one: plain torch modules, weights cut out."""
    nested.at(level)  # says what levels there are
    if level == nested.num_levels - 1:
        return without_levels(copy.deepcopy(nested.full))
    inner, shared = nested.inner[level], nested.shared()
    network = copy.deepcopy(inner.network)
    with torch.no_grad():
        for name, tie in inner.ties.items():
            home, _, last = name.rpartition(".")
            setattr(network.get_submodule(home), last, nn.Parameter(tie.of(shared[tie.source]).clone()))
    return network


def ties_of(
    model: nn.Module, network: nn.Module, origins: Mapping[str, Origin]
) -> tuple[dict[str, Tie], dict[str, Tensor]]:
    """(ties, channels of norms): where a cut network's parameters come from; those of norms are its own."""
    full = dict(model.named_parameters())
    norms = {path for path, module in network.named_modules() if isinstance(module, NORMS)}
    ties, channels = {}, {}
    for name, parameter in network.named_parameters():
        origin = origins[name]
        numbers = origin.cut(elements(full[origin.source])).reshape(parameter.shape).long()
        if (home := name.rpartition(".")[0]) in norms:
            channels[home] = numbers
        else:
            whole = elements(full[origin.source]).long()
            same = whole.ndim == numbers.ndim and torch.equal(whole[tuple(map(slice, numbers.shape))], numbers)
            ties[name] = Tie(origin.source, numbers, same)
    return ties, channels


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
