"""Group lasso against other formulations in float64: loops over groups, autograd, a general splitting, a solved problem."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from core import lasso
from core.errors import BadInput
from core.overlaps import nests

DOUBLE = torch.float64


def layer(kind="conv", seed=0):
    torch.manual_seed(seed)
    made = {
        "conv": lambda: nn.Conv2d(3, 4, (2, 3)),
        "grouped": lambda: nn.Conv2d(6, 4, 3, groups=2),
        "conv1d": lambda: nn.Conv1d(3, 5, 2),
        "linear": lambda: nn.Linear(5, 3),
    }[kind]()
    return made.double()


def members(made, kind):
    """Every group of a kind as a list of index tuples into the weight, by plain loops."""
    weight = made.weight
    per = weight.shape[0] // getattr(made, "groups", 1)
    index = list(itertools.product(*map(range, weight.shape)))
    part = {
        "weight": lambda i: i,
        "kernel2d": lambda i: i[:2],
        "shape": lambda i: (i[0] // per, *i[1:]),
        "filter": lambda i: i[:1],
        "channel": lambda i: (i[0] // per, i[1]),
        "layer": lambda i: (),
    }[kind]
    found = {}
    for i in index:
        found.setdefault(part(i), []).append(i)
    return list(found.values())


LAYERS = ("conv", "grouped", "conv1d", "linear")
CASES = [(name, kind) for name in LAYERS for kind in lasso.KINDS if (name, kind) != ("linear", "kernel2d")]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_norms_are_those_of_plain_loops_over_the_groups(name, kind):
    made = layer(name)
    groups = lasso.groups_of("here", made, kind)
    weight = made.weight.detach().numpy()
    expected = [np.sqrt(sum(weight[i] ** 2 for i in group)) for group in members(made, kind)]
    assert groups.total == len(expected) and groups.size == len(members(made, kind)[0])
    assert np.allclose(np.sort(groups.norms().flatten().numpy()), np.sort(expected), rtol=1e-14, atol=0)
    assert np.allclose(groups.norms().flatten().numpy(), expected, rtol=1e-14, atol=0), "units in order"
    assert float(lasso.penalty([groups], {kind: 0.3})) == pytest.approx(0.3 * sum(expected), rel=1e-14)


def test_sites_are_named_as_everywhere_and_a_linear_layer_has_no_two_dimensional_filter():
    assert lasso.groups_of("fc", layer("linear"), "filter").site == "fc/neuron"
    assert lasso.groups_of("a.b", layer(), "shape").site == "a.b/shape"
    assert lasso.groups_of("fc", layer("linear"), "kernel2d") is None
    with pytest.raises(BadInput, match="kind of group"):
        lasso.groups_of("fc", layer(), "row")


@pytest.mark.parametrize("kinds", [("filter",), ("filter", "channel"), ("shape", "kernel2d", "layer"), lasso.KINDS])
@pytest.mark.parametrize("name", ["conv", "grouped"])
def test_the_subgradient_is_autograds_where_no_norm_is_zero(name, kinds):
    made = layer(name)
    strengths = {kind: 0.1 + 0.2 * i for i, kind in enumerate(kinds)}
    groups = [lasso.groups_of("x", made, kind, multiplier=1.5) for kind in kinds]
    index = {kind: members(made, kind) for kind in kinds}
    total = sum(
        1.5 * strengths[kind] * torch.stack([made.weight[i] for i in group]).norm()
        for kind in kinds
        for group in index[kind]
    )
    (expected,) = torch.autograd.grad(total, made.weight)
    made.weight.grad = torch.full_like(made.weight, 0.7)
    lasso.add_subgradient_(groups, strengths)
    assert torch.allclose(made.weight.grad - 0.7, expected, rtol=1e-13, atol=1e-14)


def test_the_subgradient_of_a_zero_group_is_zero_and_a_frozen_weight_is_left_alone():
    made = layer()
    with torch.no_grad():
        made.weight[1] = 0
    made.weight.grad = torch.zeros_like(made.weight)
    lasso.add_subgradient_([lasso.groups_of("x", made, "filter")], {"filter": 1.0})
    assert not made.weight.grad[1].any() and made.weight.grad[0].any() and made.weight.grad.isfinite().all()
    made.weight.grad = None
    lasso.add_subgradient_([lasso.groups_of("x", made, "filter")], {"filter": 1.0})
    assert made.weight.grad is None


def channels_last(made):
    return made.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", lasso.KINDS)
def test_memory_order_makes_no_difference(kind):
    plain, other = layer("grouped"), channels_last(layer("grouped"))
    for made in (plain, other):
        groups = [lasso.groups_of("x", made, kind)]
        made.weight.grad = torch.zeros_like(made.weight)
        lasso.add_subgradient_(groups, {kind: 0.3})
        lasso.threshold_(groups, {kind: 0.3}, 0.5)
    assert torch.allclose(plain.weight, other.weight, atol=1e-15) and torch.allclose(
        plain.weight.grad, other.weight.grad, atol=1e-15
    )


def general_prox(weight, parts, rounds=1500):
    """argmin 1/2 |x - w|^2 + sum of t |x_g|, by Dykstra over every single kind with a correction of its own."""
    x, corrections = weight.copy(), [np.zeros_like(weight) for _ in parts]
    for _ in range(rounds):
        for k, (groups, amount) in enumerate(parts):
            before = x + corrections[k]
            x = before.copy()
            for group in groups:
                at = tuple(np.array(group).T)
                norm = np.sqrt((before[at] ** 2).sum())
                x[at] = before[at] * max(0.0, 1 - amount / norm) if norm else 0.0
            corrections[k] = before - x
    return x


def amounts_that_kill_some(made, kinds):
    """Twice an amount for each kind at which some of what the kinds before it left dies, and some stays."""
    left, amounts = made.weight.detach().numpy().copy(), {}
    for kind in kinds:
        ats = [tuple(np.array(group).T) for group in members(made, kind)]
        norms = np.array([np.sqrt((left[at] ** 2).sum()) for at in ats])
        amount = (0.3 if kind == "layer" else 0.9) * float(np.median(norms[norms > 0]))
        for at, norm in zip(ats, norms, strict=True):
            left[at] *= max(0.0, 1 - amount / norm) if norm else 0.0
        amounts[kind] = 2 * amount
    return amounts


@pytest.mark.parametrize(
    "kinds",
    [
        ("filter",),
        ("shape",),
        ("kernel2d", "filter"),
        ("weight", "kernel2d", "filter", "layer"),
        ("shape", "channel", "layer"),
    ],
)
@pytest.mark.parametrize("name", ["conv", "grouped"])
def test_the_threshold_of_a_tree_of_groups_is_the_proximal_map_with_its_zeros(name, kinds):
    made = layer(name)
    assert nests(kinds)
    amounts = amounts_that_kill_some(made, kinds)
    parts = [(members(made, kind), 0.5 * amounts[kind]) for kind in kinds]
    expected = general_prox(made.weight.detach().numpy(), parts)
    lasso.threshold_([lasso.groups_of("x", made, kind) for kind in reversed(kinds)], amounts, 0.5)
    assert np.allclose(made.weight.detach().numpy(), expected, atol=1e-9)
    assert (made.weight == 0).any() and (made.weight != 0).any(), (
        "a test in which nothing or everything dies says little"
    )
    assert ((made.weight.detach().numpy() == 0) <= (abs(expected) < 1e-9)).all()


def test_rows_and_columns_do_not_nest_dykstra_goes_to_their_proximal_map_and_one_pass_does_not():
    kinds, made = ("filter", "shape"), layer()
    amounts = {"filter": 0.4, "shape": 0.3}
    assert not nests(kinds) and not nests(("kernel2d", "shape")) and nests(("kernel2d", "channel"))
    start = made.weight.detach().clone()
    expected = general_prox(start.numpy(), [(members(made, kind), 0.5 * amounts[kind]) for kind in kinds])
    groups = [lasso.groups_of("x", made, kind) for kind in kinds]
    gaps = {}
    for splitting, passes in (("sequential", 1), ("dykstra", 3), ("dykstra", 300)):
        with torch.no_grad():
            made.weight.copy_(start)
        lasso.threshold_(groups, amounts, 0.5, splitting=splitting, passes=passes)
        gaps[splitting, passes] = float((made.weight.detach() - torch.from_numpy(expected)).abs().max())
    assert gaps["dykstra", 300] < 1e-9 < gaps["dykstra", 3] < gaps["sequential", 1]


def problem():
    """Least squares with group lasso on rows: its optimum to 1e-13 by accelerated proximal gradient in NumPy."""
    g = np.random.default_rng(3)
    a, b = g.normal(size=(60, 6)), g.normal(size=(60, 8))
    b[:, :4] += a @ g.normal(size=(6, 4)) * 0.8
    lam, lip = 0.25, np.linalg.norm(a.T @ a / len(a), 2)
    w = y = np.zeros((8, 6))
    t = 1.0
    for _ in range(5_000):
        z = y - (y @ a.T - b.T) @ a / len(a) / lip
        norms = np.linalg.norm(z, axis=1, keepdims=True)
        new = z * np.maximum(0, 1 - lam / lip / np.maximum(norms, 1e-300))
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        y, w, t = new + (t - 1) / t_new * (new - w), new, t_new
    return torch.from_numpy(a), torch.from_numpy(b), lam, torch.from_numpy(w)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("solver", ["proximal", "paper"])
def test_one_lambda_means_one_thing_in_both_solvers(solver, momentum):
    a, b, lam, optimum = problem()
    torch.manual_seed(0)
    made = nn.Linear(6, 8, bias=False).double()
    groups, strengths = [lasso.groups_of("x", made, "filter")], {"filter": lam}
    optimizer = torch.optim.SGD(made.parameters(), lr=0.02, momentum=momentum, nesterov=momentum > 0)
    for step in range(6_000):
        lr = optimizer.param_groups[0]["lr"] = 0.02 if solver == "proximal" or step < 4000 else 1e-3
        optimizer.zero_grad()
        (0.5 * (made(a) - b).square().sum() / len(a)).backward()
        if solver == "paper":
            lasso.add_subgradient_(groups, strengths)
        optimizer.step()
        if solver == "paper":
            lasso.cut_small_(made.parameters(), 1e-4)
        else:
            lasso.threshold_(groups, strengths, lr / (1 - momentum))
    gap = float((made.weight.detach() - optimum).abs().max())
    dead = (optimum == 0).all(1)
    assert 1 <= int(dead.sum()) <= 7
    assert gap < (1e-10 if solver == "proximal" else 2e-3)
    if solver == "proximal":
        assert torch.equal((made.weight == 0).all(1), dead)


def test_without_the_momentum_in_the_threshold_the_penalty_would_act_ten_times_too_weakly():
    a, b, lam, optimum = problem()
    made = nn.Linear(6, 8, bias=False).double()
    groups = [lasso.groups_of("x", made, "filter")]
    optimizer = torch.optim.SGD(made.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    for _ in range(2000):
        optimizer.zero_grad()
        (0.5 * (made(a) - b).square().sum() / len(a)).backward()
        optimizer.step()
        lasso.threshold_(groups, {"filter": lam}, 0.02)
    assert float((made.weight.detach() - optimum).abs().max()) > 0.05


def test_the_cut_takes_small_elements_wherever_they_are_and_nothing_else():
    values = torch.tensor([9.9e-5, -9.9e-5, 1.1e-4, -1.1e-4, 0.0, 2.0])
    lasso.cut_small_([values], 1e-4)
    assert values.tolist() == pytest.approx([0, 0, 1.1e-4, -1.1e-4, 0, 2.0], abs=1e-12)
