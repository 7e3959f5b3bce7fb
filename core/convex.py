"""Two convex problems on which the solvers can be seen: what each reaches, and which exact zeros it finds. Float64.

`group_lasso`: least squares with a group lasso on the rows of W, (8, 6): 1/(2n) ||X W' - Y||^2 + lambda sum_g ||w_g||, solved by
the two solvers of SSL. `factors`: least squares with an L1 penalty on twelve factors of at least 0, from 1, as SSS has it:
1/(2n) ||A f - b||^2 + gamma sum f, solved by its four. Both are drawn from a seed. Every step is taken by the functions
that training calls (`core.lasso`, `core.proximal`, torch's SGD); the optimum is where plain proximal steps end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from core import lasso, proximal

MOMENTUM, STEPS, OPTIMUM_STEPS = 0.9, 600, 4000
LAMBDA, LASSO_LR, CUT_BELOW = 0.25, 0.02, 1e-4
GAMMA, FACTORS_LR = 0.1, 0.05
DROP_AT, DROP = 400, 0.05  # the rate falls once, as in training


def group_lasso(seed: int = 4) -> dict[str, Any]:
    """Solver by name: how far above the optimum its loss is after every step, how many rows are exactly zero, how far
    its weights end from the optimum (largest difference), and whether its zeros are the optimum's."""
    draw = partial(torch.randn, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    inputs, answers = draw(60, 6), draw(60, 8)
    answers[:, :4] += inputs @ draw(6, 4) * 0.8
    start = draw(8, 6) * 0.4

    def loss(weight: Tensor) -> Tensor:
        return 0.5 * (inputs @ weight.T - answers).square().sum() / len(inputs)

    def solve(solver: str, momentum: float, steps: int, drop: float) -> list[Tensor]:
        made = nn.Linear(6, 8, bias=False).double()
        made.weight.data.copy_(start)
        groups, strengths = [g for g in (lasso.groups_of("rows", made, "filter"),) if g], {"filter": LAMBDA}
        optimizer = torch.optim.SGD(made.parameters(), lr=LASSO_LR, momentum=momentum, nesterov=momentum > 0)
        seen = []
        for step in range(steps):
            seen.append(made.weight.detach().clone())
            lr = optimizer.param_groups[0]["lr"] = LASSO_LR * (drop if step >= DROP_AT else 1)
            optimizer.zero_grad()
            loss(made.weight).backward()
            if solver == "paper":
                lasso.add_subgradient_(groups, strengths)
            optimizer.step()
            if solver == "paper":
                lasso.cut_small_(made.parameters(), CUT_BELOW)
            else:
                lasso.threshold_(groups, strengths, lr / (1 - momentum))
        return [*seen, made.weight.detach().clone()]

    def whole(weight: Tensor) -> float:
        return float(loss(weight) + LAMBDA * weight.norm(dim=1).sum())

    optimum = solve("proximal", 0.0, OPTIMUM_STEPS, 1.0)[-1]
    paths = {name: solve(name, MOMENTUM, STEPS, DROP) for name in ("proximal", "paper")}
    told = {name: _told(path, optimum, whole, lambda w: (w == 0).all(1)) for name, path in paths.items()}
    return {"groups": 8, "strength": LAMBDA, "zeros": int((optimum == 0).all(1).sum()), "solvers": told}


def factors(seed: int = 0) -> dict[str, Any]:
    """The same of the four solvers of SSS on twelve factors that start at 1."""
    draw = partial(torch.randn, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    matrix = draw(60, 12)
    truth = torch.cat([torch.linspace(0.3, 1.2, 6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)])
    wanted = matrix @ truth + 0.3 * draw(60)

    def gradient(at: Tensor) -> Tensor:
        return matrix.T @ (matrix @ at - wanted) / len(matrix)

    def solve(solver: str, steps: int, drop: float) -> list[Tensor]:
        factor = torch.ones(12, dtype=torch.float64)
        before, velocity, seen = [factor.clone()], [torch.zeros_like(factor)], [factor.clone()]
        for step in range(1, steps + 1):
            lr = FACTORS_LR * (drop if step > DROP_AT else 1)
            factor.grad = gradient(factor)
            if solver == "modified-apg":
                proximal.apg_step_([factor], velocity, lr, GAMMA, MOMENTUM)
            elif solver == "apg":
                ahead = proximal.look_ahead([factor], before, step)
                proximal.standard_apg_step_([factor], before, ahead, [gradient(ahead[0])], lr, GAMMA)
            elif solver == "ista":
                proximal.ista_step_([factor], lr, GAMMA)
            else:
                proximal.subgradient_step_([factor], velocity, lr, GAMMA, MOMENTUM)
            seen.append(factor.clone())
        return seen

    def whole(at: Tensor) -> float:
        return float(0.5 * (matrix @ at - wanted).square().mean() + GAMMA * at.abs().sum())

    optimum = solve("ista", OPTIMUM_STEPS, 1.0)[-1]
    paths = {name: solve(name, STEPS, DROP) for name in ("modified-apg", "apg", "ista", "subgradient")}
    told = {name: _told(path, optimum, whole, lambda f: f == 0) for name, path in paths.items()}
    return {"groups": 12, "strength": GAMMA, "zeros": int((optimum == 0).sum()), "solvers": told}


def _told(
    path: list[Tensor], optimum: Tensor, whole: Callable[[Tensor], float], dead: Callable[[Tensor], Tensor]
) -> dict[str, Any]:
    best, last = whole(optimum), path[-1]
    return {
        "gap": [whole(at) - best for at in path],
        "zeros": [int(dead(at).sum()) for at in path],
        "distance": float((last - optimum).abs().max()),
        "same_zeros": bool(torch.equal(dead(last), dead(optimum))),
    }
