"""What a dead channel still says: a filter of zeros behind a norm, cut in three ways by the knife, each with its certificate."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from core import proof
from core.data import load
from core.data.dataset import Dataset
from core.errors import BadInput, one_of
from core.structure import Certificate, RemovalPlan, apply, cost, plan_chosen, remove_zeros
from core.structure.certificate import certificate_of, outputs

DEAD, FILTERS = 1, 3  # which filter of how many is zero
IMAGE = 7  # the test image that the maps are of
SHIFTS = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)  # that are recorded
CALIBRATION = 256  # training images that the norm's statistics are taken from
PADDINGS: dict[str, dict[str, Any]] = {
    "zeros": {"padding": 1},
    "reflect": {"padding": 1, "padding_mode": "reflect"},
    "none": {"padding": 0},
}


@cache
def digits() -> Dataset:
    """The digits, read once."""
    return load("digits", None)


class Small(nn.Module):
    """Convolution, norm, relu, convolution: FILTERS channels between an image and a map of answers."""

    def __init__(self, padding: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, FILTERS, 3, bias=False, **PADDINGS[padding])
        self.norm = nn.BatchNorm2d(FILTERS, momentum=None)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(FILTERS, 1, 3, **PADDINGS[padding])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.relu(self.norm(self.first(x))))
        return out


def network(shift: float, padding: str, seed: int) -> Small:
    """The small network in float64 eval mode, weights drawn from `seed`; the filter DEAD is zero, its norm's shift is not.

    A filter that has long been zero has a running mean and variance of zero, so that its norm gives the shift alone.
    """
    if padding not in PADDINGS:
        raise one_of("padding", padding, PADDINGS)
    if not -10 <= shift <= 10:
        raise BadInput(f"shift must be a number from -10 to 10; got {shift}; take one such as 0.75")
    net, draw = Small(padding).double(), torch.Generator().manual_seed(seed)
    assert net.second.bias is not None
    with torch.no_grad():
        for tensor in (net.first.weight, net.second.weight, net.second.bias):
            tensor.copy_(0.4 * torch.randn(tensor.shape, dtype=torch.float64, generator=draw))
        net.first.weight[DEAD] = 0
        net.norm(net.first(digits().normalise(digits().train.images[:CALIBRATION]).double()))
        assert net.norm.running_var is not None
        net.norm.running_var[DEAD] = 0
        net.norm.bias[DEAD] = shift
    return net.eval()


def constants(shift: float = 0.75, padding: str = "zeros", seed: int = 0) -> dict[str, Any]:
    """What the dead channel says, and what three cuts of it change.

    `steps`: by operation the maps (H, W) of a living and of the dead channel. `dense`: the answer to test image IMAGE, (H, W).
    `cuts`: by name (dropped: the channel is taken for silent; folded: what it says goes into the next bias; carried: the knife's
    own cut of exact zeros) the difference to `dense`, the certificate, MACs of one image (`macs`) and of each further one. `said`: the number
    behind the relu; `reads`: the 3 x 3 weights of the next layer that read it; `bias`: what was folded, `said` times their sum.
    """
    net = network(shift, padding, seed)
    example = torch.zeros(1, *digits().shape, dtype=torch.float64)
    image = digits().normalise(digits().test.images[IMAGE : IMAGE + 1]).double()
    steps, seen = {}, image
    with torch.no_grad():
        for name, operation in (("convolution", net.first), ("norm", net.norm), ("relu", net.relu)):
            seen = operation(seen)
            steps[name] = {"living": rounded(seen[0, 0]), "dead": rounded(seen[0, DEAD])}
        said = float(seen[0, DEAD].max())
        bias = said * float(net.second.weight[0, DEAD].sum())
        dense = net(image)[0, 0]
    plan, carried = remove_zeros(net, example)
    dropped = apply(silence(net, example), net, example)
    folded = with_bias(dropped, bias)
    cuts = {
        "dropped": (dropped, compared(net, dropped)),
        "folded": (folded, compared(net, folded)),
        "carried": (carried, proof.prove(net, plan, carried, example, digits())),
    }
    told = {}
    for name, (compact, certificate) in cuts.items():
        with torch.no_grad():
            change = compact(image)[0, 0] - dense
        price = cost(compact, example)
        told[name] = {
            "difference": exactly(change), "certificate": certificate.model_dump(mode="json"), "macs_per_image": price.macs_per_image,
            "macs": price.macs,
        }  # fmt: skip
    return {
        "shift": shift, "padding": padding, "seed": seed, "steps": steps, "dense": rounded(dense), "said": said, "bias": bias,
        "reads": rounded(net.second.weight[0, DEAD]),
        "macs_per_image": cost(net, example).macs_per_image, "cuts": told,
    }  # fmt: skip


def verdicts(seed: int = 0) -> dict[str, Any]:
    """Five cuts of the network with shift 0.75 and zero padding, each with the verdict that its certificate comes to.

    `dead`: exact zeros; `dropped`: the dead channel taken for silent; `small`: weights of 0.001 instead of zeros; `chosen`: a living
    filter crossed out; `constant`: living channels that the answer hardly reads.
    """
    net = network(0.75, "zeros", seed)
    example = torch.zeros(1, *digits().shape, dtype=torch.float64)
    small, constant = copy.deepcopy(net), copy.deepcopy(net)
    with torch.no_grad():
        small.first.weight[DEAD] = 1e-3
        small.norm.reset_running_stats()
        constant.second.weight[:, [k for k in range(FILTERS) if k != DEAD]] *= 1e-7
    living = plan_chosen(net, example, {"first/filter": [0]})
    found = {
        "dead": proof.prove(net, *remove_zeros(net, example), example, digits()),
        "dropped": compared(net, apply(silence(net, example), net, example)),
        "small": proof.prove(small, *remove_zeros(small, example), example, digits()),
        "chosen": proof.prove(net, living, apply(living, net, example), example, digits()),
        "constant": proof.prove(constant, *remove_zeros(constant, example), example, digits()),
    }
    return {name: certificate.model_dump(mode="json") for name, certificate in found.items()}


def silence(net: Small, example: Tensor) -> RemovalPlan:
    """The plan that takes the dead channel for silent, which it is not."""
    return plan_chosen(net, example, {"norm/norm": [DEAD]})


def with_bias(dropped: nn.Module, bias: float) -> nn.Module:
    """A copy whose last convolution says `bias` more at every position: what is right wherever no padding reaches."""
    made = copy.deepcopy(dropped)
    with torch.no_grad():
        made.get_submodule("second").bias.add_(bias)  # type: ignore[operator]
    return made


@torch.no_grad()
def compared(net: nn.Module, other: nn.Module) -> Certificate:
    """The certificate of a network that should answer as `net` does, on the inputs of any other proof."""
    inputs = proof.proof_inputs(net, torch.zeros(1, *digits().shape, dtype=torch.float64), digits())
    pairs = [(outputs(net, x), outputs(other, x)) for x in inputs]
    return certificate_of(pairs, inputs, False, None, "unmodified")


def rounded(values: Tensor) -> list[list[float]]:
    """Four digits behind the point."""
    return [[round(v, 4) for v in row] for row in values.tolist()]


def exactly(values: Tensor) -> list[list[float]]:
    """Three digits of each, however small."""
    return [[float(f"{v:.2e}") for v in row] for row in values.tolist()]


def recorded() -> dict[str, Any]:
    """The answers for every recorded shift and padding, seed 0, and the five verdicts."""
    rows = [constants(shift, padding) for padding in PADDINGS for shift in SHIFTS]
    config = {"dataset": "digits", "test image": IMAGE, "calibration": CALIBRATION, "precision": "float64"}
    return {"config": config, "seed": 0, "rows": rows, "verdicts": verdicts()}
