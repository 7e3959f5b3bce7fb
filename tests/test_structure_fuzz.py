"""Random small networks with random dead parts: the cut network says the same, at two sizes and batches."""

from __future__ import annotations

import oracles_structure as oracles
import pytest
import torch

from core.structure import RemovalPlan, apply, plan_zeros
from core.structure.values import Op

EXAMPLE = torch.zeros(1, 3, 9, 9, dtype=torch.float64)
SIZES = ((9, 9), (6, 12))


def case(seed: int) -> torch.nn.Module:
    return oracles.kill(oracles.settle(oracles.RandomNet(seed), (8, 3, 9, 9), seed), seed)


@torch.no_grad()
def differences(network: torch.nn.Module, compact: torch.nn.Module, seed: int) -> list[tuple[float, float]]:
    """(difference, spread) for each size the network takes."""
    out = []
    for batch, size in SIZES:
        if size == 9 or not network.fixed or network.bare:
            x = torch.randn(batch, 3, size, size, dtype=torch.float64, generator=oracles.generator(seed))
            expected = network(x.clone())
            out.append((oracles.difference(expected, compact(x)), oracles.spread(expected)))
    return out


@pytest.mark.parametrize("block", range(6))
def test_no_random_network_changes_what_it_says(block):
    removed = telling = compared = 0
    for seed in range(block * 50, block * 50 + 50):
        network = case(seed)
        plan = plan_zeros(network, EXAMPLE)
        found = differences(network, apply(plan, network, EXAMPLE), seed)
        assert all(d < 1e-9 for d, _ in found), f"seed {seed}: {found}"
        removed += sum(map(len, plan.removed.values()))
        telling += sum(spread > 1e-4 for _, spread in found)
        compared += len(found)
    assert removed > 300, "the cases must have something to remove"
    assert telling > 0.6 * compared, "outputs must depend on the inputs, or agreement proves nothing"


def test_dropping_the_constants_is_noticed_in_most_random_networks(monkeypatch):
    kept = Op.fill_in
    wrong = 0
    for seed in range(60):
        network = case(seed)
        plan = plan_zeros(network, EXAMPLE)
        with monkeypatch.context() as patch:
            patch.setattr(Op, "fill_in", lambda op, state, const, sign=None: kept(op, state, const * 0, sign))
            compact = apply(plan, network, EXAMPLE)
        wrong += differences(network, compact, seed)[0][0] > 1e-9
    assert wrong > 45


def drawn(plan, g, share=0.3):
    """Random units of random sites that are not refilled."""
    closed = {r.site for r in plan.refilled}
    out = {}
    for site, count in plan.total.items():
        units = (torch.rand(count, generator=g) < share).nonzero().flatten().tolist()
        if units and site.rsplit("/", 1)[0] not in closed and torch.rand((), generator=g) < 0.5:
            out[site] = units
    return out


@torch.no_grad()
def test_chosen_cuts_pins_and_a_second_cut_change_nothing_either():
    for seed in range(1000, 1080):
        network, g = case(seed), oracles.generator(seed)
        zeros = plan_zeros(network, EXAMPLE)
        plan = plan_zeros(network, EXAMPLE, masked=drawn(zeros, g), pins=drawn(zeros, g))
        compact = apply(RemovalPlan.from_json(plan.to_json()), network, EXAMPLE)
        found = differences(oracles.silenced(network, plan.masked), compact, seed)
        assert all(d < 1e-9 for d, _ in found), f"seed {seed}: {found}"
        assert all(set(units) - set(plan.removed.get(site, ())) == set(units) for site, units in plan.pins.items())
        oracles.kill(compact, seed + 1)
        again = apply(plan_zeros(compact, EXAMPLE), compact, EXAMPLE)
        x = torch.randn(4, 3, 9, 9, dtype=torch.float64, generator=g)
        assert oracles.difference(compact(x), again(x)) < 1e-9, f"second cut, seed {seed}"
