"""Plans are data: what they say, how they travel, and how they are refused."""

from __future__ import annotations

import json

import oracles_structure as oracles
import pytest
import torch
from torch import nn

from core.errors import PlanError
from core.structure import RemovalPlan, apply, plan_zeros

EXAMPLE = torch.zeros(1, 3, 12, 12, dtype=torch.float64)


@pytest.fixture
def network():
    network = oracles.settle(oracles.resnet(nn.SiLU), (16, 3, 12, 12))
    with torch.no_grad():
        network[1].bn1.weight[[1, 5]] = 0
        network[1].bn1.bias[5] = 0
        network[2].conv1.weight[3] = 0
    return network


def test_a_plan_counts_units_and_verdicts_behind_the_norm(network):
    plan = plan_zeros(network, EXAMPLE, source="resnet8")
    assert plan.source == "resnet8"
    assert plan.removed == {"1.conv1/filter": [1, 5], "2.conv1/filter": [3]}
    assert plan.total == {
        **{"0.0/filter": 6, "1.conv1/filter": 6, "1.conv2/filter": 6, "2.conv1/filter": 10, "2.conv2/filter": 10},
        **{"3.conv1/filter": 10, "3.conv2/filter": 10, "6/neuron": 5},
    }
    assert plan.verdicts["1.conv1/filter"] == {"zero": 1, "uniform": 1, "field": 0, "alive": 4}
    assert plan.verdicts["6/neuron"] == {"zero": 0, "uniform": 0, "field": 0, "alive": 5}
    assert not plan.nothing_removed and plan.removed_layers == [] and plan.refilled == []


def test_a_plan_is_the_same_after_json_and_names_its_version(network):
    plan = plan_zeros(network, EXAMPLE, masked={"3.conv1/filter": [2, 1]}, pins={"1.conv1/filter": [1]})
    assert json.loads(plan.to_json())["version"] == 1
    assert RemovalPlan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version"),
        ({"extra": 1}, "extra"),
        ({"removed": {"a/filter": ["x"]}}, "removed.a/filter.0"),
        ({"total": None}, "total"),
    ],
)
def test_a_plan_of_another_version_or_with_unknown_keys_is_refused(network, change, says):
    text = json.dumps(json.loads(plan_zeros(network, EXAMPLE).to_json()) | change)
    with pytest.raises(PlanError, match=f"version 1 does not fit: {says}: .*plan_zeros"):
        RemovalPlan.from_json(text)


def test_text_that_is_no_json_is_refused():
    with pytest.raises(PlanError, match="the document"):
        RemovalPlan.from_json("{")


def test_nothing_to_remove_is_said():
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    plan = plan_zeros(network, EXAMPLE)
    assert plan.nothing_removed and plan.removed == {}


def test_a_chosen_cut_treats_units_as_zero(network):
    masked = {"2.conv2/filter": [0, 4, 9], "6/neuron": [2]}
    plan = plan_zeros(network, EXAMPLE, masked=masked)
    assert plan.masked == masked and plan.removed["2.conv2/filter"] == [0, 4, 9]
    x = torch.randn(5, 3, 17, 17, dtype=torch.float64)
    with torch.no_grad():
        expected = oracles.silenced(network, masked)(x)
        assert oracles.difference(expected, apply(plan, network, EXAMPLE)(x)) < 1e-12
        assert oracles.difference(expected, network(x)) > 1e-3


def test_a_masked_bias_goes_too():
    network = oracles.settle(oracles.vgg(nn.Sigmoid), (16, 3, 8, 8))
    masked = {"0/filter": [1, 2], "4/filter": list(range(8)), "10/neuron": [0]}
    example = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    plan = plan_zeros(network, example, masked=masked)
    assert plan.removed == masked
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = oracles.silenced(network, masked)(x)
        assert oracles.difference(expected, apply(plan, network, example)(x)) < 1e-12


@pytest.mark.parametrize("masked", [{}, {"1.conv1/filter": [1, 2]}])
def test_pinned_units_stay_and_nothing_changes(network, masked):
    plan = plan_zeros(network, EXAMPLE, pins={"1.conv1/filter": [1, 2]}, masked=masked)
    assert plan.removed["1.conv1/filter"] == [5]
    compact = apply(plan, network, EXAMPLE)
    assert compact.get_submodule("1.conv1").out_channels == 5
    x = torch.randn(5, 3, 17, 17, dtype=torch.float64)
    with torch.no_grad():
        assert oracles.difference(oracles.silenced(network, masked)(x), compact(x)) < 1e-12


def test_a_layer_pinned_whole_behind_a_dead_stem_is_built_from_its_constants():
    network = oracles.settle(oracles.vgg(nn.Sigmoid), (16, 3, 8, 8))
    with torch.no_grad():
        network[0].weight.zero_()
    example = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    plan = plan_zeros(network, example, pins={"10/neuron": list(range(11)), "4/filter": [0, 1]})
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        assert oracles.difference(network(x), apply(plan, network, example)(x)) < 1e-12


def test_a_plan_edited_to_remove_less_keeps_those_units(network):
    plan = plan_zeros(network, EXAMPLE)
    less = plan.model_copy(update={"removed": {"1.conv1/filter": [5]}})
    compact = apply(less, network, EXAMPLE)
    assert compact.get_submodule("1.conv1").out_channels == 5 and compact.get_submodule("2.conv1").out_channels == 10
    x = torch.randn(5, 3, 17, 17, dtype=torch.float64)
    with torch.no_grad():
        assert oracles.difference(network(x), compact(x)) < 1e-12


def test_a_plan_that_removes_a_living_unit_is_refused(network):
    plan = plan_zeros(network, EXAMPLE)
    more = plan.model_copy(update={"removed": {"1.conv1/filter": [1, 2, 5]}})
    with pytest.raises(PlanError, match=r"1\.conv1/filter: .* constant or read by nobody; unit 2 is alive.*masked"):
        apply(more, network, EXAMPLE)


def test_a_plan_for_another_network_is_refused(network):
    plan = plan_zeros(network, EXAMPLE)
    other = oracles.settle(oracles.resnet(projection=True), (16, 3, 12, 12))
    with pytest.raises(
        PlanError, match=r"2\.shortcut/filter: .* the plan has no units there, the network 10; make a plan"
    ):
        apply(plan, other, EXAMPLE)


@pytest.mark.parametrize(
    ("masked", "says"),
    [
        ({"9.conv1/filter": [0]}, r"site '9\.conv1/filter' is not in this network; it has 0\.0/filter"),
        ({"1.conv1/filter": [6]}, r"units of 1\.conv1/filter must lie in 0\.\.5; got 6"),
        ({"1.conv1/filter": [-1]}, r"must lie in 0\.\.5; got -1"),
    ],
)
def test_masked_sites_that_do_not_exist_are_refused(network, masked, says):
    with pytest.raises(PlanError, match=says):
        plan_zeros(network, EXAMPLE, masked=masked)


def test_masking_a_layer_that_cannot_be_narrowed_is_refused():
    network = oracles.settle(nn.Sequential(nn.Conv2d(3, 6, 3)), (8, 3, 12, 12))
    network[0].register_forward_hook(lambda module, args, out: out * 2)
    with pytest.raises(PlanError, match=r"0/filter cannot be narrowed .it has forward hooks"):
        plan_zeros(network, EXAMPLE, masked={"0/filter": [0]})


@pytest.mark.parametrize(("make", "path"), [(oracles.resnet, "1.conv1"), (oracles.preresnet, "1.conv1")])
def test_channels_a_layer_does_not_read_are_listed_though_their_filters_stay(make, path):
    network = oracles.settle(make(), (16, 3, 12, 12))
    with torch.no_grad():
        network.get_submodule(path).weight[:, [4, 5]] = 0
    plan = plan_zeros(network, EXAMPLE)
    assert plan.removed == {} and plan.unread == {f"{path}/channel": [4, 5]} and not plan.nothing_removed
    x = torch.randn(5, 3, 17, 17, dtype=torch.float64)
    with torch.no_grad():
        assert oracles.difference(network(x), apply(plan, network, EXAMPLE)(x)) < 1e-12


def test_a_layer_nobody_reads_leaves_though_it_could_not_be_narrowed():
    network = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=2), nn.Sigmoid(), nn.AdaptiveAvgPool2d(1))
    network.extend([nn.Flatten(), nn.Linear(6, 4)])
    oracles.settle(network, (8, 3, 12, 12))
    with torch.no_grad():
        network[5].weight.zero_()
    plan = plan_zeros(network, EXAMPLE)
    assert plan.removed_layers == ["0", "1", "5"]
    x = torch.randn(5, 3, 17, 17, dtype=torch.float64)
    with torch.no_grad():
        assert oracles.difference(network(x), apply(plan, network, EXAMPLE)(x)) < 1e-12


def test_a_linear_layer_on_sequences_is_refilled_and_counted_by_its_neurons():
    network = oracles.settle(nn.Sequential(nn.Conv2d(3, 6, 1), nn.Linear(12, 5)), (8, 3, 12, 12))
    plan = plan_zeros(network, EXAMPLE)
    assert plan.total == {"0/filter": 6, "1/neuron": 5} and plan.nothing_removed
    apply(plan, network, EXAMPLE)
