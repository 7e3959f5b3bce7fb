"""Each verdict is earned: exact, approximate, nothing removed, inconclusive, failed."""

from __future__ import annotations

import copy
import json

import oracles_structure as oracles
import pytest
import torch
from torch import nn

import core.structure.certificate as certificates
from core.errors import BadInput, PlanError
from core.structure import Certificate, apply, plan_zeros, verify

EXAMPLE = torch.zeros(1, 3, 12, 12)


def dead(act=nn.SiLU):
    network = oracles.settle(oracles.resnet(act), (16, 3, 12, 12)).float()
    with torch.no_grad():
        network[1].conv1.weight[[0, 2]] = 0
        network[3].bn2.weight.zero_()
    return network


def batches():
    g = oracles.generator(0)
    return [torch.randn(8, 3, 12, 12, generator=g), torch.randn(9, 3, 15, 17, generator=g)]


def test_exact_zeros_are_exact_in_float64_and_close_in_float32():
    network = dead()
    plan = plan_zeros(network, EXAMPLE)
    proof = verify(network, plan, EXAMPLE, batches(), compact=apply(plan, network, EXAMPLE))
    assert proof.verdict == "exact" and proof.reference == "unmodified"
    assert proof.max_rel < 1e-12 and proof.spread > 1e-3 and 0 < proof.float32_max_rel < 1e-5
    assert proof.top1_agreement == 1 and proof.sizes == [[12, 12], [15, 17]] and proof.inputs == 17
    assert Certificate.model_validate_json(proof.model_dump_json()) == proof


def test_the_numbers_are_those_of_the_definition():
    network = dead().double()
    x = batches()[0].double()
    proof = verify(network, plan_zeros(network, EXAMPLE.double()), EXAMPLE, [x])
    with torch.no_grad():
        a = network(x).numpy()
    s = abs(a - a.mean(0)).max()
    assert proof.spread == pytest.approx(s / abs(a).max()) and proof.max_rel == pytest.approx(proof.max_abs / s)
    assert proof.float32_max_rel is None


def test_a_chosen_cut_is_judged_against_the_network_masked_by_hooks():
    network = dead()
    plan = plan_zeros(network, EXAMPLE, masked={"2.conv1/filter": [1, 2], "6/neuron": [0]})
    compact = apply(plan, network, EXAMPLE)
    proof = verify(network, plan, EXAMPLE, batches(), compact=compact)
    assert proof.verdict == "exact" and proof.reference == "masked"
    assert all(not module._forward_hooks for module in network.modules())


def test_a_network_given_as_reference_is_compared_and_not_the_model():
    network, other = dead(), dead()
    plan = plan_zeros(network, EXAMPLE)
    assert verify(network, plan, EXAMPLE, batches(), reference=other).verdict == "exact"
    with torch.no_grad():
        other[6].bias += 1e-3
    assert verify(network, plan, EXAMPLE, batches(), reference=other).verdict == "failed"
    declared = plan.model_copy(update={"approximate": True})
    assert verify(network, declared, EXAMPLE, batches(), reference=other).verdict == "approximate"


def test_a_wrong_delivered_network_fails():
    network = dead()
    plan = plan_zeros(network, EXAMPLE)
    compact = apply(plan, network, EXAMPLE)
    with torch.no_grad():
        compact.get_submodule("6").bias += 0.01
    proof = verify(network, plan, EXAMPLE, batches(), compact=compact)
    assert proof.verdict == "failed" and proof.max_rel < 1e-12 and proof.float32_max_rel > 1e-5


def test_a_knife_that_drops_the_constants_fails(monkeypatch):
    network = dead()
    plan = plan_zeros(network, EXAMPLE)

    def blunt(plan, model, example):
        compact = apply(plan, model, example)
        for name, module in compact.named_modules():
            if name.endswith("_carry"):
                module.weight.data.zero_()
        return compact

    monkeypatch.setattr(certificates, "apply", blunt)
    assert verify(network, plan, EXAMPLE, batches()).verdict == "failed"


def test_nothing_removed_is_loud():
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    assert verify(network, plan_zeros(network, EXAMPLE.double()), EXAMPLE, batches()).verdict == "nothing-removed"


@pytest.mark.parametrize(("factor", "verdict"), [(1.5, "failed"), (float("nan"), "inconclusive")])
def test_nothing_removed_does_not_hide_a_wrong_network(factor, verdict):
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12)).float()
    plan = plan_zeros(network, EXAMPLE)
    compact = apply(plan, network, EXAMPLE)
    with torch.no_grad():
        (compact if verdict == "failed" else network).get_submodule("6").weight.mul_(factor)
    assert verify(network, plan, EXAMPLE, batches(), compact=compact).verdict == verdict


class Nested(nn.Module):
    """Answers with tensors inside containers inside containers, and a number for the whole batch."""

    def __init__(self):
        super().__init__()
        self.body, self.aux, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 4), nn.Linear(6, 5)

    def forward(self, x):
        h = self.body(x).relu().mean((2, 3))
        return self.head(h), {"aux": [self.aux(h)], "size": h.square().mean()}


def test_outputs_inside_containers_are_compared_too():
    network = Nested()
    with torch.no_grad():
        network.body.weight[2] = network.body.bias[2] = 0
    plan = plan_zeros(network, EXAMPLE)
    compact = apply(plan, network, EXAMPLE)
    assert verify(network, plan, EXAMPLE, batches(), compact=compact).verdict == "exact"
    with torch.no_grad():
        compact.get_submodule("aux").weight.mul_(7)
    assert verify(network, plan, EXAMPLE, batches(), compact=compact).verdict == "failed"


def test_a_network_that_answers_with_no_tensor_is_refused():
    with pytest.raises(BadInput, match=r"must answer with tensors, .*; got none"):
        certificates.outputs(nn.Identity(), "text")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_right_cut_delivered_in_half_precision_is_exact_and_a_wrong_one_fails(dtype):
    network = dead()
    plan = plan_zeros(network, EXAMPLE)
    compact = apply(plan, network, EXAMPLE).to(dtype)
    assert verify(network, plan, EXAMPLE, batches(), compact=compact).verdict == "exact"
    with torch.no_grad():
        compact.get_submodule("6").bias += 3
    assert verify(network, plan, EXAMPLE, batches(), compact=compact).verdict == "failed"


def test_a_network_that_says_the_same_to_every_input_proves_nothing():
    network = dead()
    with torch.no_grad():
        network[0][0].weight.zero_()
    proof = verify(network, plan_zeros(network, EXAMPLE), EXAMPLE, batches())
    assert proof.verdict == "inconclusive" and proof.spread < 1e-4


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_prove_nothing(value):
    network = dead()
    with torch.no_grad():
        network[6].bias[0] = value
    proof = verify(network, plan_zeros(network, EXAMPLE), EXAMPLE, batches())
    assert proof.verdict == "inconclusive" and proof.max_rel is None
    json.loads(proof.model_dump_json())


def test_small_batches_and_whole_numbers_are_refused():
    network = dead()
    plan = plan_zeros(network, EXAMPLE)
    for wrong in ([torch.randn(7, 3, 12, 12)], [torch.ones(8, 3, 12, 12, dtype=torch.long)]):
        with pytest.raises(BadInput, match="float batches of at least 8; got"):
            verify(network, plan, EXAMPLE, wrong)
    with pytest.raises(BadInput, match="at least one batch; got none"):
        verify(network, plan, EXAMPLE, [])


def test_a_reference_without_the_masked_site_is_refused():
    network = dead()
    plan = plan_zeros(network, EXAMPLE, masked={"2.conv1/filter": [1]})
    with pytest.raises(PlanError, match=r"2\.conv1/filter is not in the reference network"):
        verify(network, plan, EXAMPLE, batches(), reference=nn.Sequential(nn.Flatten()))


def test_proving_leaves_the_networks_as_they_were():
    network = dead().train()
    plan = plan_zeros(network, EXAMPLE)
    compact = apply(plan, network, EXAMPLE)
    before, small = copy.deepcopy(network.state_dict()), copy.deepcopy(compact.state_dict())
    verify(network, plan, EXAMPLE, batches(), compact=compact)
    assert all(m.training for m in [*network.modules(), *compact.modules()])
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(torch.equal(small[k], v) for k, v in compact.state_dict().items())


def test_one_batch_whose_answers_all_agree_proves_nothing_though_another_does():
    """The least spread of all batches is told: one of almost equal answers says nothing of the cut."""
    torch.manual_seed(0)
    alive, still = torch.randn(4, 3, dtype=torch.float64), torch.full((4, 3), 2.0, dtype=torch.float64)
    images = [torch.zeros(4, 3, 8, 8)] * 2
    for pairs in ([(alive, alive), (still, still)], [(still, still), (alive, alive)]):
        told = certificates.certificate_of(pairs, images, False, None, "unmodified")
        assert (told.verdict, told.spread) == ("inconclusive", 0.0)
    assert certificates.certificate_of([(alive, alive)] * 2, images, False, None, "unmodified").verdict == "exact"
