"""Following a network: what cannot be followed is said plainly, and in-place writes are understood or refused."""

from __future__ import annotations

import oracles_structure as oracles
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.errors import TraceError
from core.structure import apply, plan_zeros, trace


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 1), Chooser())

    def forward(self, x):
        return self.inner(x)


class Chooser(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_control_flow_on_values_names_module_line_and_remedy():
    with pytest.raises(TraceError, match=r"inner\.1 could not be followed \(test_structure_trace\.py:\d+\).*rewrite"):
        trace(Branching(), torch.zeros(1, 3, 4, 4))


def test_a_wrapper_is_refused_with_the_remedy():
    with pytest.raises(TraceError, match=r"DataParallel wraps the network; pass the wrapped network"):
        trace(nn.DataParallel(nn.Linear(2, 2)), torch.zeros(1, 2))


@pytest.mark.parametrize("example", [torch.zeros(3), [1, 2]])
def test_an_example_without_a_batch_is_refused(example):
    with pytest.raises(TraceError, match="must be a tensor of a batch"):
        trace(nn.Linear(2, 2), example)


def test_an_example_of_the_wrong_shape_is_refused():
    with pytest.raises(TraceError, match="failed on the example"):
        trace(nn.Sequential(nn.Conv2d(3, 4, 1)), torch.zeros(1, 5, 4, 4))


class Overwriting(nn.Module):
    """An in-place ReLU, sum and product whose operands are read again later."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how
        self.a, self.b = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 5, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.a(x)
        if self.how == "module":
            z = self.relu(y)
        elif self.how == "function":
            z = F.relu(y, inplace=True)
        elif self.how == "position":
            z = F.elu(y, 1.0, True)
        elif self.how == "method":
            z = y.sigmoid_()
        elif self.how == "underscore":
            z = torch.relu_(y)
        elif self.how == "input":
            z = x.mul_(2).sum(1, keepdim=True)
            return self.b(y) + z + x.mean(1, keepdim=True)
        else:
            z = y
            z += self.b(y)
        return self.b(z) + y


HOWS = ("module", "function", "position", "method", "underscore", "input", "sum")


@pytest.mark.parametrize("how", HOWS)
def test_values_read_after_an_in_place_write_are_the_overwritten_ones(how):
    network = oracles.settle(Overwriting(how), (8, 3, 6, 6))
    with torch.no_grad():
        network.a.weight[[1, 3]] = 0
    example = torch.ones(1, 3, 6, 6, dtype=torch.float64)
    compact = apply(plan_zeros(network, example), network, example)
    assert bool((example == 1).all()), "the caller's example is not written to"
    x = torch.randn(5, 3, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        assert oracles.difference(network(x.clone()), compact(x)) < 1e-12


class ThroughAView(nn.Module):
    def forward(self, x):
        y = x * 2
        y[:, :1].add_(1)
        return y


def test_writing_through_a_view_is_refused():
    with pytest.raises(TraceError, match="overwrites a part of mul, which is read later; write out of place"):
        trace(ThroughAView(), torch.zeros(1, 3))


class Optional(nn.Module):
    def forward(self, x, levels=None, flip=False):
        if levels is not None:
            x = x * levels
        return -x if flip else x + 1


def test_parameters_the_example_does_not_fill_keep_their_defaults():
    traced = trace(Optional(), torch.zeros(2, 3))
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_function", "output"]
