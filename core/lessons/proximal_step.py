"""Lesson 3: steps with a penalty, taken one at a time, in double precision.

`proximal`: a gradient step, then the exact threshold (`core.lasso.threshold_`). `subgradient`: the penalty's slope is added to
the gradient (`core.lasso.add_subgradient_`). The loss is 1/2 ||w - c||^2, which pulls every group back to where it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core import lasso
from core.errors import BadInput, one_of

SOLVERS = ("proximal", "subgradient")
THRESHOLDS = ("lr lambda", "lr lambda / (1 - mu)")
NORMS = (1.6, 1.25, 0.95, 0.7, 0.45, 0.3, 0.17, 0.08)
LR, STRENGTH, STEPS = 0.2, 0.5, 30
STRENGTHS = (0.2, 0.5, 1.0)
MOMENTA = (0.0, 0.5, 0.9)
MOMENTUM_LR, MOMENTUM_STEPS = 0.05, 400
AMOUNTS = (0.25, 0.5, 0.75, 1.0)
GRID = tuple(k / 10 for k in range(-20, 21))


def values(amount: float = 0.5, before: Sequence[float] = GRID) -> dict[str, Any]:
    """Single numbers after one step against a penalty alone, of rate times strength `amount`: {proximal, subgradient}."""
    _check("amount", amount, 10)
    after = {}
    for solver in SOLVERS:
        made = _layer(torch.tensor(before, dtype=torch.float64).view(1, -1))
        _step_(solver, made, _groups(made, "weight"), {"weight": amount}, None, 1.0, 1.0)
        after[solver] = made.weight.detach()[0].tolist()
    return {"amount": amount, "before": list(before), **after}


def row(
    solver: str = "proximal", strength: float = STRENGTH, lr: float = LR, momentum: float = 0.0, threshold: str = THRESHOLDS[1],
    steps: int = STEPS,
) -> dict[str, Any]:  # fmt: skip
    """Norms of eight groups of three weights after every step, (steps + 1, 8), from where the loss alone would hold them."""
    if solver not in SOLVERS:
        raise one_of("solver", solver, SOLVERS)
    if threshold not in THRESHOLDS:
        raise one_of("threshold", threshold, THRESHOLDS)
    for name, value, most in (
        ("strength", strength, 10),
        ("lr", lr, 1),
        ("momentum", momentum, 0.99),
        ("steps", steps, 2000),
    ):
        _check(name, value, most)
    direction = torch.nn.functional.normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).double())
    centre = direction * torch.tensor(NORMS, dtype=torch.float64).unsqueeze(1)
    made = _layer(centre)
    own, strengths = _groups(made, "filter"), {"filter": strength}
    optimizer = torch.optim.SGD(made.parameters(), lr=lr, momentum=momentum, nesterov=momentum > 0)
    step = lr if threshold == THRESHOLDS[0] else lr / (1 - momentum)
    seen = [made.weight.detach().norm(dim=1).tolist()]
    for _ in range(steps):
        _step_(solver, made, own, strengths, (optimizer, centre), lr, step)
        seen.append(made.weight.detach().norm(dim=1).tolist())
    return {
        "solver": solver,
        "strength": strength,
        "lr": lr,
        "momentum": momentum,
        "threshold": threshold,
        "norms": seen,
    }


def _step_(
    solver: str, made: nn.Linear, own: list[lasso.Groups], strengths: dict[str, float],
    pulled: tuple[torch.optim.SGD, Tensor] | None, lr: float, step: float,
) -> None:  # fmt: skip
    """One step in place; `pulled`: the optimizer and the centre of the loss, None where there is no loss."""
    optimizer = pulled[0] if pulled else torch.optim.SGD(made.parameters(), lr=lr)
    made.weight.grad = made.weight.detach() - pulled[1] if pulled else torch.zeros_like(made.weight)
    if solver == "subgradient":
        lasso.add_subgradient_(own, strengths)
    optimizer.step()
    if solver == "proximal":
        lasso.threshold_(own, strengths, step)


def recorded() -> dict[str, Any]:
    """Single numbers for several amounts; the row under both solvers; the row behind momentum with either threshold."""
    paths = {s: {f"{k:g}": _short(row(s, k)["norms"]) for k in STRENGTHS} for s in SOLVERS}
    behind = {}
    for threshold in THRESHOLDS:
        ends = {
            f"{m:g}": row("proximal", STRENGTH, MOMENTUM_LR, m, threshold, MOMENTUM_STEPS)["norms"] for m in MOMENTA
        }
        behind[threshold] = {m: _short([norms[-1]])[0] for m, norms in ends.items()}
    return {
        "config": {"lr": LR, "strength": STRENGTH, "steps": STEPS, "momentum_lr": MOMENTUM_LR, "momentum_steps": MOMENTUM_STEPS, "precision": "float64"},
        "seed": 0, "norms": NORMS, "values": {f"{a:g}": values(a) for a in AMOUNTS}, "row": paths, "momentum": behind,
    }  # fmt: skip


def _layer(weight: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], len(weight), bias=False).double()
    made.weight.data.copy_(weight)
    return made


def _groups(made: nn.Linear, kind: str) -> list[lasso.Groups]:
    return [g for g in (lasso.groups_of("row", made, kind),) if g]


def _check(name: str, value: float, most: float) -> None:
    if not 0 <= value <= most:
        raise BadInput(f"{name} must be from 0 to {most}; got {value}; take the middle of that")


def _short(rows: list[list[float]]) -> list[list[float]]:
    """Five digits; an exact zero stays 0."""
    return [[0 if v == 0 else float(f"{v:.5g}") for v in one] for one in rows]
