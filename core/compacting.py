"""Training the compact network while a shape is frozen: what the knife leaves learns, and goes back into the whole network.

Fine-tuning, and a shape trained from fresh weights, keep dead structures zero. The whole network then computes zeros at full price; the
compact one (`core.structure`) computes the same with what is left. Each of its weights knows where it comes from, so that after
an epoch the whole network has them again, and everything else (figures, checkpoints, cut and proof) goes on with that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.methods.base import groups_of_parameters
from core.networks.measure import example_of
from core.networks.roles import roles
from core.phases import Phase
from core.structure import RemovalPlan, cost, plan_zeros
from core.structure.build import Origin
from core.structure.surgery import built, flow_of
from core.structure.trace import trace

WORTH = 0.9  # share of the MACs that the compact network may have at most


@dataclass(frozen=True)
class Place:
    """Where a tensor of the compact network belongs: `index`, flat and in its order, into `whole`; `real`: which of its numbers do.

    `carried`: what it holds beside the whole one's numbers, as a bias holds the constants of filters that are gone; None: nothing.
    """

    part: Tensor
    whole: Tensor
    index: Tensor
    real: Tensor
    carried: Tensor | None

    @torch.no_grad()
    def put_back_(self) -> None:
        """Into the whole network's tensor, in place."""
        flat = self.whole.clone(memory_format=torch.contiguous_format).view(-1)
        own = self.part.detach() if self.carried is None else self.part.detach() - self.carried
        flat[self.index[self.real]] = own.reshape(-1)[self.real]
        self.whole.copy_(flat.view(self.whole.shape))


class Compacted:
    """The compact network of `network` at its present zeros, ready to train. `frozen`: by parameter, what must stay zero."""

    def __init__(self, network: nn.Module, frozen: Mapping[str, Tensor], plan: RemovalPlan) -> None:
        self.plan, self.share = plan, 1.0  # of the whole network's MACs
        compact, origins = built(plan, flow_of(plan, trace(network, example_of(network))), trains=True)
        self.network: nn.Module = compact.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.places = _places(compact, network, origins)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        self.frozen = [
            (place.part, masked)
            for place in self.places
            if (mask := frozen.get(names.get(id(place.whole), ""))) is not None
            and (masked := (mask.reshape(-1)[place.index.clamp_min(0)] & place.real).view(place.part.shape)).any()
        ]

    def parameter_groups(self, weight_decay: float) -> list[dict[str, object]]:
        """Groups for SGD, as the whole network has them."""
        return groups_of_parameters([p for p in self.network.parameters() if p.requires_grad], weight_decay)

    @torch.no_grad()
    def hold_(self) -> None:
        """What is frozen and stays as zeros is zero, whatever the optimizer did."""
        for part, mask in self.frozen:
            part.masked_fill_(mask, 0.0)

    def put_back_(self) -> None:
        """Weights and statistics into the whole network, in place."""
        for place in self.places:
            place.put_back_()

    def state_tensors(self) -> dict[str, Tensor]:
        """What a checkpoint of the whole network does not hold to the last bit: tensors with constants in them, and these."""
        found: dict[str, Tensor] = {}
        for number, place in enumerate(self.places):
            if place.carried is not None:
                found |= {f"part/{number}": place.part.detach(), f"carried/{number}": place.carried}
        return found

    @torch.no_grad()
    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore `state_tensors`, in place."""
        for name, tensor in self.state_tensors().items():
            tensor.copy_(tensors[name])


def compacted(network: nn.Module, phase: Phase, frozen: Mapping[str, Tensor]) -> Compacted | None:
    """The compact network to train in place of `network` in this phase; None where it would not be the same, or hardly cheaper."""
    if phase.method != "dense" or not (phase.freeze == "structures" or phase.starts_from in ("shape", "shuffled")):
        return None
    example = example_of(network)
    try:
        plan = plan_zeros(network, example)
        if not is_plain(plan, network):
            return None
        found = Compacted(network, frozen, plan)
        left, dense = (
            sum(layer.macs for layer in cost(made, example).layers) for made in (found.network.eval(), network.eval())
        )
    except BadInput:  # it cannot be followed, or not be put back
        return None
    found.share = left / dense
    return found if found.share <= WORTH else None


def is_plain(plan: RemovalPlan, network: nn.Module) -> bool:
    """Whether something leaves, but no class score, and nothing leaves a plane behind: these would have to be trained with."""
    scores = [f"{path}/neuron" for path, role in roles(network).items() if role.scores]
    lost = any(plan.verdicts[site]["alive"] < plan.total[site] for site in scores if site in plan.verdicts)
    planes = any(counts.get("field") for counts in plan.verdicts.values())
    return not (plan.nothing_removed or lost or planes)


def _places(compact: nn.Module, whole: nn.Module, origins: Mapping[str, Origin]) -> list[Place]:
    """Of every parameter that learns, and of the statistics of every norm. BadInput where one is made of several, or of none."""
    found = []
    for name, parameter in compact.named_parameters():
        if parameter.requires_grad:
            origin = origins.get(name)
            if origin is None:
                raise BadInput(f"{name} must come from one parameter of the network; it comes from none")
            found.append(_place(name, parameter, whole.get_parameter(origin.source), origin))
    for path, module in compact.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            origin = origins.get(f"{path}.weight")
            if origin is None:
                raise BadInput(f"{path} must have scales to know its channels by; it has none")
            norm = whole.get_submodule(origin.source.rpartition(".")[0])
            for buffer in ("running_mean", "running_var"):
                if getattr(module, buffer) is not None:
                    found.append(_place(f"{path}.{buffer}", getattr(module, buffer), getattr(norm, buffer), origin))
    _check_apart(found)
    return found


def _check_apart(places: list[Place]) -> None:
    """BadInput where two tensors go back to the same numbers, as of a layer that was called twice and is now two."""
    taken: dict[int, list[Tensor]] = {}
    for place in places:
        taken.setdefault(id(place.whole), []).append(place.index[place.real])
    if any(len(torch.cat(indices).unique()) < sum(map(len, indices)) for indices in taken.values()):
        raise BadInput("each number of the network must be in one place of the compact one; some are in two")


def _place(name: str, part: Tensor, whole: Tensor, origin: Origin) -> Place:
    """Numbers 1, 2, ... are cut as the weight was: what comes out says where each of its numbers was; 0: a filler."""
    numbers = torch.arange(1, whole.numel() + 1, dtype=torch.float64, device=whole.device).view(whole.shape)
    index = origin.cut(numbers).reshape(-1).long() - 1
    real = index >= 0
    if len(index) != part.numel() or len(index[real].unique()) < int(real.sum()):
        raise BadInput(f"{name} must have a place of its own for each number; it repeats some")
    carried = part.detach() - torch.where(real, whole.detach().reshape(-1)[index.clamp_min(0)], 0.0).view(part.shape)
    return Place(part, whole, index, real, carried if carried.any() else None)
