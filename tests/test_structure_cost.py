"""MACs and parameters against counts made by hand."""

from __future__ import annotations

import oracles_structure as oracles
import pytest
import torch
from torch import nn

from core.cut import without_zeros
from core.errors import BadInput
from core.networks import build
from core.structure import apply, cost, plan_zeros


def test_macs_of_each_layer_are_those_counted_by_hand():
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, (3, 1), 2, groups=2), nn.Flatten()),
        *(nn.Linear(4 * 5 * 6, 7),),
    )
    found = cost(network, torch.zeros(3, 3, 11, 12))
    first, second, third = 6 * 3 * 9 * 11 * 12, 4 * 3 * 3 * 5 * 6, 120 * 7
    assert [(layer.path, layer.macs) for layer in found.layers] == [("0", first), ("2", second), ("4", third)]
    assert found.macs == found.macs_per_image == first + second + third
    assert [layer.out_shape for layer in found.layers] == [[1, 6, 11, 12], [1, 4, 5, 6], [1, 7]]
    assert [layer.params for layer in found.layers] == [168, 40, 847] and found.params == 1055
    assert found.uncounted == ["relu"] and found.conv_macs == first + second


def test_resnet20_has_its_published_size():
    from core.networks import build

    network = build("resnet20", num_classes=10, in_channels=3, image_size=32)
    found = cost(network, torch.zeros(1, 3, 32, 32))
    assert found.params == 269_722 and 40.5e6 < found.macs < 40.6e6


def test_batch_free_parts_count_once():
    network = oracles.settle(
        nn.Sequential(nn.Conv2d(3, 6, 1), nn.Sigmoid(), nn.Conv2d(6, 5, 3, padding=1)), (8, 3, 9, 9)
    )
    with torch.no_grad():
        network[0].weight[[0, 1]] = 0
    example = torch.zeros(1, 3, 9, 9, dtype=torch.float64)
    found = cost(apply(plan_zeros(network, example), network, example), example)
    plane = 9 * 9
    assert found.macs_per_image == found.conv_macs == plane * (3 * 4 + 4 * 5 * 9)
    assert found.macs == found.macs_per_image + plane * 5 * 9
    assert {layer.path: layer.macs for layer in found.layers} == {
        **{"0": plane * 12, "2": plane * 180, "2_carry": plane * 45}
    }


class Twice(nn.Module):
    """One convolution called twice, on inputs of which other channels die."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 3, padding=1)

    def forward(self, x):
        return (self.c(self.a(x).sigmoid()) + self.c(self.b(x).relu())).mean((2, 3))


def test_a_layer_that_leaves_as_several_has_the_macs_of_all_of_them():
    network = Twice().eval()
    with torch.no_grad():
        network.a.weight[0] = 0
        network.b.weight[[2, 3]] = network.b.bias[[2, 3]] = 0
    done = without_zeros(network, torch.zeros(1, 3, 9, 9), "twice")
    assert done.plan.untied == ["c"]
    assert done.layer_macs == {"a": (81 * 18, 81 * 15), "b": (81 * 18, 81 * 12), "c": (2 * 81 * 270, 81 * (5 + 4) * 45)}
    assert sum(after for _, after in done.layer_macs.values()) == done.compact_cost.macs_per_image


class Products(nn.Module):
    def forward(self, x):
        return (x @ x.transpose(1, 2)).softmax(-1) @ x


def test_matrix_products_outside_layers_are_counted():
    found = cost(Products(), torch.zeros(1, 5, 7))
    assert found.macs == 2 * 5 * 5 * 7 and found.layers[0].path == ""
    assert found.uncounted == ["_softmax"]


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        self.inner(x)
        raise RuntimeError("on purpose")


def test_hooks_and_modes_are_restored_even_when_the_network_fails():
    network = Failing().train()
    with pytest.raises(RuntimeError, match="on purpose"):
        cost(network, torch.zeros(1, 3, 4, 4))
    for module in network.modules():
        assert module.training and not module._forward_hooks and not module._forward_pre_hooks


def test_an_example_without_a_batch_is_refused():
    with pytest.raises(BadInput, match="tensor of a batch"):
        cost(nn.Linear(2, 2), torch.zeros(2))


def test_inference_mode_counts_the_same():
    """There convolutions come to the counter under other names: they were once not counted at all."""
    network, images = build("resnet20", num_classes=10, in_channels=3, image_size=32), torch.zeros(1, 3, 32, 32)
    usual = cost(network, images)
    with torch.inference_mode():
        assert cost(network, images) == usual and cost(network, images + 1) == usual
