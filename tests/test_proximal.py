"""The proximal step against recurrences written another way."""

import pytest
import torch
from oracles import apg_oracle

from core.proximal import apg_step_


def _trajectory(gradients, rates, gamma, mu, clamp=True):
    factors = [
        torch.ones(3, dtype=torch.float64, requires_grad=True),
        torch.ones(2, dtype=torch.float64, requires_grad=True),
    ]
    velocity = [torch.zeros_like(f) for f in factors]
    for rate, row in zip(rates, gradients, strict=True):
        factors[0].grad, factors[1].grad = row[:3].clone(), row[3:].clone()
        apg_step_(factors, velocity, rate, gamma, mu, clamp=clamp)
    return torch.cat([f.detach() for f in factors])


@pytest.mark.parametrize("clamp", [True, False])
def test_the_step_follows_equations_10_to_12_over_600_steps_with_rate_drops(clamp):
    generator = torch.Generator().manual_seed(3)
    gradients = 0.2 * torch.randn(600, 5, dtype=torch.float64, generator=generator) - torch.linspace(-0.02, 0.02, 5)
    rates = [0.1] * 200 + [0.01] * 200 + [0.001] * 200
    expected = apg_oracle(gradients.tolist(), rates, 0.01, 0.9, clamp=clamp)
    ours = _trajectory(gradients, rates, 0.01, 0.9, clamp)
    assert torch.allclose(ours, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_without_strength_and_clamp_it_is_nesterov_sgd_at_a_constant_rate():
    generator = torch.Generator().manual_seed(4)
    gradients = torch.randn(300, 5, dtype=torch.float64, generator=generator)
    theirs = torch.ones(5, dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([theirs], lr=0.05, momentum=0.9, nesterov=True)
    for row in gradients:
        theirs.grad = row.clone()
        sgd.step()
    assert torch.allclose(
        _trajectory(gradients, [0.05] * 300, 0.0, 0.9, clamp=False), theirs.detach(), rtol=0, atol=1e-12
    )


def test_a_factor_without_gradient_dies_to_exactly_zero_and_stays():
    factor, velocity = [torch.ones(4, requires_grad=True)], [torch.zeros(4)]
    for _ in range(400):
        factor[0].grad = torch.zeros(4)
        apg_step_(factor, velocity, 0.1, 0.05, 0.9)
    assert torch.equal(factor[0].detach(), torch.zeros(4))


def test_a_dead_factor_revives_when_its_gradient_outweighs_the_strength():
    factor, velocity = [torch.zeros(2, requires_grad=True)], [torch.zeros(2)]
    factor[0].grad = torch.tensor([-0.009, -0.011])
    apg_step_(factor, velocity, 0.1, 0.01, 0.9)
    assert factor[0][0] == 0 and factor[0][1] > 0


def test_a_missing_gradient_is_an_error_that_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"after backward\(\)"):
        apg_step_([torch.ones(1)], [torch.zeros(1)], 0.1, 0.1, 0.9)
