"""What a structure-learning method is to the training loop.

The loop owns data, schedules and clocks; a method owns what it puts into the network, its optimizer groups, and what
it does to weights after a step. Everything hard (cutting, proving, counting) is below it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from core.data.dataset import Dataset
from core.methods.freezing import frozen_masks
from core.methods.survival import Survival, survival
from core.nested.knowledge import View
from core.networks.describe import Structure, structures_of
from core.networks.factors import fold
from core.phases import Phase

LossOf = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], tuple[Tensor, Tensor]]


class MethodRun:
    """One method at work in one network, for one phase."""

    def __init__(self, phase: Phase, network: nn.Module, momentum: float, weight_decay: float) -> None:
        self.phase = phase
        self.network = network
        self.momentum = momentum
        self.weight_decay = weight_decay if phase.weight_decay is None else phase.weight_decay
        self.strengths: dict[str, float] = {}
        self.frozen = frozen_masks(network, phase.freeze)
        self.sites: list[Structure] = structures_of(network)

    def parameter_groups(self) -> list[dict[str, object]]:
        """Groups for SGD: weights with decay; norms, biases and everything one-dimensional without."""
        own = {id(p) for p in self.own_parameters()}
        return groups_of_parameters([p for p in self.network.parameters() if id(p) not in own], self.weight_decay)

    def own_parameters(self) -> list[Tensor]:
        """Parameters that the method updates itself; SGD leaves them alone."""
        return []

    def levels(self) -> list[nn.Module]:
        """The networks that are trained together, core first; the last is the whole one, and mostly the only one."""
        return [self.network]

    def level_views(self) -> list[View]:
        """What each of these networks knows, where it is not the run's data set."""
        return []

    def begin_epoch(self, feed: Callable[[Dataset, int], Iterator[tuple[Tensor, Tensor]]]) -> None:
        """Told before each epoch, with a way to batches of other data sets."""

    def backward_(self, loss_of: LossOf, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One backward pass: `loss_of(network, images, labels)` gives (scores, loss), which this returns."""
        logits, loss = loss_of(self.network, images, labels)
        loss.backward()
        return logits, loss

    def recalibrate_(self, draw: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> None:
        """When the phase is over: take statistics anew where a method wants that; `draw` gives training images."""

    def at_(self, progress: float) -> None:
        """Told before each step how much of the phase is done, 0-1."""

    def gradient_elsewhere_(self, backward: Callable[[], None]) -> None:
        """Before a step's own pass: a method that needs a gradient at another point takes it here, by `backward`."""

    def before_step_(self, lr: float, strength: float) -> None:
        """Act on gradients before SGD's step, in place; `strength` is the schedule's fraction of the full strengths."""

    @torch.no_grad()
    def after_step_(self, lr: float, strength: float) -> None:
        """Act on weights after SGD's step, in place. Frozen zeros stay zero."""
        for name, mask in self.frozen.items():
            self.network.get_parameter(name).masked_fill_(mask, 0.0)

    def finish_(self) -> None:
        """What the method does once, in place, when its phase is over."""

    def factors_by_site(self) -> dict[str, Tensor]:
        """The factor (or scale) of every site that this method learns through one; of others, norms are shown."""
        return {}

    def survival(self) -> Survival:
        """What lives now, in the order of `sites`: every structure of the network, learned in this phase or not."""
        return survival(self.network, self.sites, self.factors_by_site())

    def counts(self, survival: Survival) -> dict[str, int]:
        """Living units of every site."""
        counts, start = {}, 0
        for site in self.sites:
            counts[site.site] = int(survival.alive[start : start + site.total].sum())
            start += site.total
        return counts

    def folded(self) -> nn.Module:
        """A new network of plain torch modules that computes the same: what the knife cuts."""
        return fold(self.network)

    def state_tensors(self) -> dict[str, Tensor]:
        """The method's own state for a checkpoint."""
        return {f"frozen/{name}": mask.to(torch.uint8) for name, mask in self.frozen.items()}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_tensors`, in place."""
        frozen = {k.removeprefix("frozen/"): v for k, v in tensors.items() if k.startswith("frozen/")}
        self.frozen = {name: mask.bool().to(self.network.get_parameter(name).device) for name, mask in frozen.items()}
        if len(frozen) < len(tensors):
            raise ValueError(
                f"{self.phase.method} keeps no state; got {sorted(tensors)}; the checkpoint is of another method"
            )


def groups_of_parameters(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, object]]:
    """Groups for SGD: weights with decay; norms, biases and everything one-dimensional without."""
    weights, vectors = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
