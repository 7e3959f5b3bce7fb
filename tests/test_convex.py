"""The convex problems on which solvers are shown: their optimum by another formulation, and what is said of every solver."""

import numpy as np
import pytest
import torch

from core import convex


def optimum_of_rows(seed=4):
    """The group lasso's optimum by block coordinate descent in NumPy: one row at a time, each by Newton on its norm."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(60, n, dtype=torch.float64, generator=generator) for n in (6, 8))
    y[:, :4] += x @ torch.randn(6, 4, dtype=torch.float64, generator=generator) * 0.8
    x, y = x.numpy(), y.numpy()
    gram, values = x.T @ x / 60, x.T @ y / 60
    size, basis = np.linalg.eigh(gram)
    rows = []
    for k in range(8):
        c = basis.T @ values[:, k]
        if np.linalg.norm(c) <= convex.LAMBDA:
            rows.append(np.zeros(6))
            continue
        low, high = 1e-12, 100.0  # the row's norm r solves sum (c / (size r + lambda))^2 = 1
        for _ in range(200):
            r = (low + high) / 2
            low, high = (r, high) if ((c / (size * r + convex.LAMBDA)) ** 2).sum() > 1 else (low, r)
        rows.append(basis @ (c / (size + convex.LAMBDA / r)))
    w = np.array(rows)
    loss = 0.5 * ((x @ w.T - y) ** 2).sum() / 60 + convex.LAMBDA * np.linalg.norm(w, axis=1).sum()
    start = 0.4 * torch.randn(8, 6, dtype=torch.float64, generator=generator).numpy()
    begins = 0.5 * ((x @ start.T - y) ** 2).sum() / 60 + convex.LAMBDA * np.linalg.norm(start, axis=1).sum()
    return w, begins - loss


@pytest.fixture(scope="module")
def rows():
    return convex.group_lasso()


@pytest.fixture(scope="module")
def factors():
    return convex.factors()


def test_the_group_lasso_starts_and_ends_where_another_solution_of_it_says(rows):
    optimum, gap = optimum_of_rows()
    assert rows["zeros"] == int((optimum == 0).all(1).sum()) == 3
    for path in rows["solvers"].values():
        assert path["gap"][0] == pytest.approx(gap, rel=1e-9)


def test_proximal_reaches_the_optimum_with_its_zeros_and_paper_comes_near_without_them(rows):
    proximal, paper = rows["solvers"]["proximal"], rows["solvers"]["paper"]
    assert proximal["distance"] < 1e-10 and proximal["same_zeros"] and proximal["zeros"][-1] == rows["zeros"]
    assert 1e-10 < paper["distance"] < 2e-3 and not paper["same_zeros"]
    assert abs(proximal["gap"][-1]) < 1e-12 < paper["gap"][-1]


def test_the_solvers_of_sss_differ_as_their_names_say(factors):
    solvers = factors["solvers"]
    assert set(solvers) == {"modified-apg", "apg", "ista", "subgradient"}
    for name in ("modified-apg", "apg", "ista"):
        assert solvers[name]["same_zeros"] and solvers[name]["distance"] < 1e-4
    assert solvers["modified-apg"]["distance"] < 1e-10
    assert max(solvers["subgradient"]["zeros"]) == 0 and not solvers["subgradient"]["same_zeros"]
    assert solvers["ista"]["gap"][100] > 100 * solvers["modified-apg"]["gap"][100], "momentum is what makes it fast"


def test_the_factors_optimum_satisfies_its_optimality_conditions():
    """KKT by NumPy: where a factor lives its gradient is -gamma; where it is zero it is at least -gamma."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(60, 12, dtype=torch.float64, generator=generator)
    truth = torch.cat([torch.linspace(0.3, 1.2, 6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)])
    wanted = matrix @ truth + 0.3 * torch.randn(60, dtype=torch.float64, generator=generator)
    a, b = matrix.numpy(), wanted.numpy()
    factor = np.zeros(12)
    for _ in range(2000):  # coordinate descent, another algorithm than any of the four
        for i in range(12):
            rest = b - a @ factor + a[:, i] * factor[i]
            factor[i] = max(0.0, (a[:, i] @ rest / 60 - convex.GAMMA) / (a[:, i] @ a[:, i] / 60))
    best = 0.5 * ((a @ factor - b) ** 2).mean() + convex.GAMMA * factor.sum()
    begins = 0.5 * ((a @ np.ones(12) - b) ** 2).mean() + convex.GAMMA * 12
    told = convex.factors()
    assert told["zeros"] == int((factor == 0).sum())
    assert told["solvers"]["apg"]["gap"][0] == pytest.approx(begins - best, rel=1e-9)
