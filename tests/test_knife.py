"""What a cut is proved on and timed with: inputs real and random, sizes a network takes, a clock."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data import batches, load
from core.errors import BadInput
from core.knife import parse_target
from core.latency import milliseconds
from core.networks import build
from core.proof import proof_inputs, takes


class AnySize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


def test_proof_inputs_are_half_real_half_noise_at_two_sizes():
    digits = load("digits")
    small, large = proof_inputs(AnySize(), torch.zeros(1, 1, 8, 8), digits)
    real, _ = next(iter(batches(digits.val, digits, 8)))
    assert small.shape == (16, 1, 8, 8) and large.shape == (16, 1, 16, 16) and small.dtype == torch.float64
    assert torch.equal(small[:8], real.double()) and torch.equal(large[:8], F.interpolate(real.double(), (16, 16)))
    assert abs(float(large[8:].mean())) < 0.1 and abs(float(large[8:].std()) - 1) < 0.1


def test_without_a_data_set_the_inputs_are_noise_of_the_examples_shape():
    small, large = proof_inputs(AnySize(), torch.zeros(4, 3, 6, 10))
    assert small.shape == (16, 3, 6, 10) and large.shape == (16, 3, 14, 18)
    assert [x.shape for x in proof_inputs(nn.Linear(5, 2).double(), torch.zeros(1, 5))] == [(16, 5)]


def test_a_network_takes_a_size_only_with_one_answer_for_each_image():
    lenet = build("lenet", num_classes=3, in_channels=1, image_size=8)
    assert takes(lenet, torch.zeros(2, 1, 8, 8)) and not takes(lenet, torch.zeros(2, 1, 16, 16))

    class Folds(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(-1, 64)

    assert takes(Folds(), torch.zeros(2, 1, 8, 8)) and not takes(Folds(), torch.zeros(2, 1, 16, 16))


def test_milliseconds_are_the_median_of_the_runs_after_warming_up():
    ticks = iter([0.0, 9.0] * 3 + [0.0, 0.003, 0.0, 0.001, 0.0, 0.002, 0.0, 0.5, 0.0, 0.004])
    network = nn.Linear(2, 2).train()
    assert milliseconds(network, torch.zeros(1, 2), runs=5, clock=lambda: next(ticks)) == pytest.approx(3)
    assert network.training and next(ticks, None) is None


def test_milliseconds_stop_when_the_budget_is_spent_but_not_before_five_runs():
    seconds = iter(range(1000))
    assert milliseconds(nn.Linear(2, 2), torch.zeros(1, 2), budget_s=7, clock=lambda: next(seconds)) == 1000
    assert next(seconds) == 2 * (3 + 7)


def test_a_target_is_one_key_and_one_number():
    assert parse_target("macs=0.5") == {"macs": 0.5} and parse_target("ms=3.5") == {"ms": 3.5}
    for text in ("macs=1", "macs=0", "ms=inf", "params=", "params=half"):
        with pytest.raises(BadInput, match=r"--target \w+ must be a number (between 0 and 1|above 0), "):
            parse_target(text)
