"""n networks in one: levels share the weights of the full network, each in an ordinary network of its own shape.

A level's weights are tied: parts of the full network's, taken anew at every pass, so that gradients of all levels meet in one
place. Its batch norms are its own (statistics and affine parameters), unless shared; its last layer may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.nested.beside import Levels
from core.nested.ties import Tie
from core.networks.describe import LEVELS, MASKS, ORDERS
from core.structure.plan import RemovalPlan


@dataclass(frozen=True)
class OwnHead:
    """A level's own last linear layer: its path, and which inputs of the full one's it reads (Long)."""

    path: str
    columns: Tensor


class Level(nn.Module):
    """A level below the full one: a network whose tied parameters (and buffers) come from outside.

    `plan`: the units of the full network that it lacks. `channels`: of each of its own norms, which of the full norm's it has.
    `head`: its own last layer; `extra`: a second one for the run's classes, which learns from features that it does not change.
    """

    def __init__(
        self,
        network: nn.Module,
        plan: RemovalPlan,
        ties: Mapping[str, Tie],
        channels: Mapping[str, Tensor],
        head: OwnHead | None = None,
        extra: nn.Linear | None = None,
    ) -> None:
        super().__init__()
        self.network, self.plan, self.ties, self.channels, self.head = network, plan, dict(ties), dict(channels), head
        self.extra = extra
        self.places: list[tuple[nn.Module, str, Tie]] = []
        for name, tie in ties.items():  # no longer parameters of its own
            module, last = home_of(network, name)
            delattr(module, last)
            module.__dict__[last] = None
            self.places.append((module, last, tie))

    def forward(self, x: Tensor, shared: Mapping[str, Tensor]) -> Tensor:
        return self.with_tensors(x, [tie.of(shared[tie.source]) for _, _, tie in self.places])

    def with_tensors(self, x: Tensor, tensors: Iterable[Tensor]) -> Tensor:
        """A pass with these tensors in the tied places."""
        try:
            for (module, last, _), tensor in zip(self.places, tensors, strict=True):
                module.__dict__[last] = tensor
            return cast(Tensor, self.network(x))
        finally:
            for module, last, _ in self.places:
                module.__dict__[last] = None

    def both(self, x: Tensor, shared: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The level's answers, and those of its extra head, which sees what the own one sees."""
        if self.head is None or self.extra is None:
            raise BadInput("a level must have an extra head to answer twice; this one has none")
        seen: list[Tensor] = []
        hook = self.network.get_submodule(self.head.path).register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0])
        )
        try:
            answers = self(x, shared)
        finally:
            hook.remove()
        return answers, self.extra(seen[0].detach())


class Nested:
    """`full` and the levels inside it, core first; level n - 1 is `full` itself.

    Inner levels are kept in `full.nested_levels` (LEVELS), so that copies, checkpoints and modes of `full` take them along; its own
    forward does not know of them.
    """

    def __init__(self, full: nn.Module, inner: Sequence[Level] = ()) -> None:
        self.full = full
        if inner:
            full.add_module(LEVELS, Levels(inner))
        self._homes = {name: home_of(full, name) for name in own_tensors(full)}

    @property
    def inner(self) -> list[Level]:
        return list(getattr(self.full, LEVELS))

    @property
    def num_levels(self) -> int:
        return len(self.inner) + 1

    def shared(self) -> dict[str, Tensor]:
        """The full network's own parameters and buffers by name."""
        return {name: getattr(module, last) for name, (module, last) in self._homes.items()}

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
        """By parameter of the full network that some inner level is tied to: which of its elements a level has (bool, flat)."""
        parameters = dict(self.full.named_parameters())
        tied = {tie.source for other in self.inner for tie in other.ties.values() if tie.source in parameters}
        if level == self.num_levels - 1:
            return {name: torch.ones(parameters[name].numel(), dtype=torch.bool) for name in tied}
        out = {name: torch.zeros(parameters[name].numel(), dtype=torch.bool) for name in tied}
        for tie in self.inner[level].ties.values():
            if tie.source in out:
                out[tie.source] |= tie.held(parameters[tie.source])
        return out


class InPlace(nn.Module):
    """A level of a nested network, called like any network; modes are set on the level's own modules.

    Without gradients its tensors are taken from the full network once, and again when that has changed.
    """

    def __init__(self, nested: Nested, level: int) -> None:
        super().__init__()
        self.own, self.nested = nested.inner[level], nested
        self.training = self.own.training
        self.kept: tuple[list[tuple[object, ...]], list[Tensor]] = ([], [])

    def forward(self, x: Tensor) -> Tensor:
        shared = self.nested.shared()
        if torch.is_grad_enabled():
            return self.own(x, shared)
        ties = [tie for _, _, tie in self.own.places]
        state = [tie.state(shared[tie.source]) for tie in ties]
        if state != self.kept[0]:
            self.kept = (state, [tie.of(shared[tie.source]) for tie in ties])
        return self.own.with_tensors(x, self.kept[1])


def home_of(network: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The module that has the parameter or buffer `name`, and what it calls it."""
    path, _, last = name.rpartition(".")
    return network.get_submodule(path), last


def own_tensors(full: nn.Module) -> list[str]:
    """Names of the full network's own parameters and buffers."""
    names = [name for name, _ in (*full.named_parameters(), *full.named_buffers())]
    return [name for name in names if not name.startswith((f"{LEVELS}.", f"{MASKS}.", f"{ORDERS}."))]
