"""NestedNet's joint training (Kim et al., CVPR 2018, arXiv 1712.03781, equation 5): the mean of every level's loss, or
for each weight of those of the levels that have it (`level_mean`).

The levels share weights; each has its own batch norms. Gradients of shared weights add up level by level, so that only one
level's activations are in memory; then one step of SGD. The regulariser acts on the full level's weights, which are all there are,
and on last layers that levels have for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data.dataset import Dataset
from core.methods.base import LossOf, MethodRun
from core.nested import Making, Nested, Schedule, nest, nest_masks
from core.nested.alone import inherit_, keep_only_, settle_
from core.nested.holders import Factors, holders
from core.nested.knowledge import View
from core.nested.levels import Level
from core.nested.masks import fall_at_once, fallen_of, masked_weights
from core.nested.once import computed_once
from core.nested.ordering import learned_orders
from core.nested.ties import Piece
from core.networks.describe import ORDERS, outline_of
from core.networks.measure import example_of
from core.phases import Phase

Batches = Iterator[tuple[Tensor, Tensor]]


class NestedNet(MethodRun):
    """The levels of the phase inside the network, which is the full one. `views`: what each level knows.

    `kept`: of a checkpoint that will be put back, the network's tensors by name: an order that was learned is not learned again.
    `seed` decides random masks and what the sandwich rule draws.
    """

    def __init__(
        self,
        phase: Phase,
        network: nn.Module,
        momentum: float,
        weight_decay: float,
        views: Sequence[View] = (),
        kept: Mapping[str, Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(phase, network, momentum, weight_decay)
        self.views = list(views)
        self.nested = nested_for(phase, network, self.views, kept or {}, seed)
        like = next(network.parameters())
        for level in self.nested.inner:
            level.to(like.device)
        self.calls = [self.nested.at(level) for level in range(self.nested.num_levels)]
        self.draw = torch.Generator().manual_seed(seed)
        self.streams: dict[int, Batches] = {}
        self.paces: dict[tuple[int, ...], Factors] = {}
        if phase.starts_from in ("previous", "source"):
            inherit_(self.nested)
        if phase.alone is not None:
            keep_only_(self.nested, phase.alone)

    def levels(self) -> list[nn.Module]:
        """All levels that are trained, core first, each called like a network."""
        return self.calls if self.phase.alone is None else [self.calls[self.phase.alone]]

    def level_views(self) -> list[View]:
        """What each of these levels knows."""
        return self.views if self.phase.alone is None else [self.views[self.phase.alone]]

    def begin_epoch(self, feed: Callable[[Dataset, int], Batches]) -> None:
        """Levels with images of their own get them anew: `feed(dataset, number)` gives augmented batches without end."""
        self.streams = {i: feed(view.dataset, i) for i, view in enumerate(self.views) if view.own}

    def chosen(self) -> list[int]:
        """The levels of this step, the full one first: all, one alone, or by the sandwich rule the ends and one between."""
        if self.phase.alone is not None:
            return [self.phase.alone]
        last = self.nested.num_levels - 1
        if self.phase.sandwich and last > 2:
            between = int(torch.randint(1, last, (), generator=self.draw))
            return [last, 0, between]
        return [last, *range(last)]

    def backward_(self, loss_of: LossOf, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the weighted mean of the losses of all levels, or for each weight of those that have it; (scores, loss) of the largest."""
        chosen = self.chosen()
        same = [level for level in chosen if not self.views[level].own]
        with computed_once(self.first_layers(same)):
            shown = self.each_(chosen, loss_of, images, labels)
        for parameter, factor in self.factors(chosen):
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        return shown

    def factors(self, chosen: list[int]) -> Factors:
        """Where each weight takes the mean of those levels that have it: by what to multiply gradients of the mean of all of `chosen`."""
        if self.phase.level_mean == "all" or self.phase.alone is not None:
            return []
        key = tuple(sorted(chosen))
        if key not in self.paces:
            self.paces[key] = holders(self.nested, {level: self.phase.levels[level].weight for level in key})
        return self.paces[key]

    def first_layers(self, levels: list[int]) -> list[nn.Module]:
        """Of those of these levels that have all of it, the first layer; nothing where it is not set so."""
        if not self.phase.first_whole:
            return []
        path, inner = first_layer(self.network), self.nested.inner
        found = [level for level in levels if level == len(inner) or is_whole(inner[level], path, self.network)]
        return [(inner[k].network if k < len(inner) else self.network).get_submodule(path) for k in found]

    def each_(self, chosen: list[int], loss_of: LossOf, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A pass of each level in turn: one level's activations in memory at a time."""
        total = sum(self.phase.levels[level].weight for level in chosen)
        shown: tuple[Tensor, Tensor] | None = None
        for level in chosen:
            view, weight = self.views[level], self.phase.levels[level].weight / total
            x, y = next(self.streams[level]) if view.own else (images, labels if view.of is None else view.of[labels])
            extra = level < len(self.nested.inner) and self.nested.inner[level].extra is not None
            if extra:
                logits, loss = self.with_extra(loss_of, level, x, y, labels)
            else:
                logits, loss = loss_of(self.calls[level], x, y)
            if shown is None:
                shown = logits.detach(), loss.detach()
            elif self.phase.distill and view.shares_classes:
                loss = F.kl_div(logits.log_softmax(1), shown[0].log_softmax(1), log_target=True, reduction="batchmean")
            (loss * weight).backward()
        assert shown is not None
        return shown

    def with_extra(
        self, loss_of: LossOf, level: int, images: Tensor, labels: Tensor, fine: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A level with an extra head: its loss, and that of the extra head, which changes the head alone."""
        told: list[Tensor] = []

        def call(x: Tensor) -> Tensor:
            answers, extra = self.nested.inner[level].both(x, self.nested.shared())
            told.append(extra)
            return answers

        logits, loss = loss_of(call, images, labels)
        return logits, loss + F.cross_entropy(told[0].float(), fine)

    @torch.no_grad()
    def recalibrate_(self, draw: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> None:
        """Where statistics are taken anew: means and variances (unbiased, of each batch) of all inner levels over what `draw` gives."""
        if self.phase.level_norms != "recalibrated":
            return
        for level in self.nested.inner:
            norms = [m for m in level.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            before = [norm.momentum for norm in norms]
            level.eval()
            for norm in norms:
                norm.reset_running_stats()
                norm.train()
            seen = 0
            for images, _ in draw():
                seen += len(images)
                for norm in norms:
                    norm.momentum = len(images) / seen  # the mean over batches, each by its images
                level(images, self.nested.shared())
            for norm, momentum in zip(norms, before, strict=True):
                norm.momentum = momentum
            level.train(self.network.training)

    def finish_(self) -> None:
        """A level trained alone becomes the network itself."""
        if self.phase.alone is not None:
            settle_(self.nested, self.phase.alone)

    def state_tensors(self) -> dict[str, Tensor]:
        """What levels were drawn; masks are in the network."""
        return super().state_tensors() | {"draw": self.draw.get_state()}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore `state_tensors`."""
        self.draw.set_state(tensors["draw"])
        super().load_state_tensors({k: v for k, v in tensors.items() if k.startswith("frozen/")})


def nested_for(
    phase: Phase, network: nn.Module, views: Sequence[View], kept: Mapping[str, Tensor], seed: int = 0
) -> Nested:
    """The levels of a phase inside a network; `kept`: the network's tensors in a checkpoint, where there is one; `seed` of random masks."""
    example = example_of(network)
    full = views[-1].dataset.num_classes if views else None
    classes = [view.dataset.num_classes if phase.own_heads or not view.shares_classes else None for view in views[:-1]]
    extra = [None if view.of is None else full for view in views[:-1]]
    making = Making(phase.level_norms, classes, extra)
    if any(level.is_masked for level in phase.levels):
        prepare_masks_(phase, network, seed)
        return nest_masks(network, example, len(phase.levels), making)
    outline = outline_of(network)
    whole = (first_layer(network),) if phase.first_whole else ()
    order, blocks = {}, {}
    if phase.order == "learned":
        learned = learned_orders(network, example, outline)
        if of_old := {n.removeprefix(f"{ORDERS}."): t for n, t in kept.items() if n.startswith(f"{ORDERS}.")}:
            learned.load_state_dict(of_old)
        network.add_module(ORDERS, learned)
        order, blocks = learned.units(), learned.blocks()
    schedules = [Schedule(level.width, level.depth, whole, order, blocks) for level in phase.levels[:-1]]
    return nest(network, example, schedules, making)


def is_whole(level: Level, path: str, network: nn.Module) -> bool:
    """Whether a level has a layer of the full network as it is."""
    tie = level.ties.get(f"{path}.weight")
    return (
        isinstance(tie, Piece)
        and tie.leading
        and tie.elements.numel() == network.get_parameter(f"{path}.weight").numel()
    )


def first_layer(network: nn.Module) -> str:
    """The path of the first convolution or linear layer."""
    outline = outline_of(network)
    return (outline.stem or outline.stages[0][1][0].convs)[0]


@torch.no_grad()
def prepare_masks_(phase: Phase, network: nn.Module, seed: int) -> None:
    """What fell in which search, and the network's weights with their values also where they fell; random masks are drawn from `seed`."""
    weights = masked_weights(network)
    if phase.masks == "found":
        found = fallen_of(network)
        for name, weight in weights.items():
            weight.copy_(found.latent(name))
        return
    sizes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    kept = [
        round(len(sizes) / level.compression) if level.tau is None else int((sizes > level.tau).sum())
        for level in reversed(phase.levels[:-1])
    ]
    draw = torch.Generator().manual_seed(seed) if phase.masks == "random" else None
    fall_at_once(network, kept, draw)
