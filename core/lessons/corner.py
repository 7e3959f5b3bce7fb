"""Lesson 2: where a quadratic loss and a penalty have their common minimum, in double precision.

1/2 (w - c)' H (w - c) + lambda R(w), c the centre of the loss, H its shape. R is `l1`, the sum of sizes (every weight a group
of its own); `group`, the norm of a row (the group lasso); or `ridge`, half the square of the norm. The first two are solved
by plain proximal steps (`core.lasso.threshold_`), ridge by SGD's own weight decay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from core import lasso
from core.errors import BadInput, one_of

KINDS = {"l1": "weight", "group": "filter", "ridge": ""}
SHAPES = {"round": ((1.0, 0.0), (0.0, 1.0)), "tilted": ((1.0, 0.7), (0.7, 1.0))}
LR, STEPS = 0.5, 300
ACROSS = tuple(k / 4 for k in range(-8, 9))
UP = tuple(k / 4 for k in range(9))
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
GROUPS = ((1.0, 0.5, -0.3), (0.55, -0.4, 0.2))
GROUP_STRENGTHS = tuple(k / 10 for k in range(13))


def minima(
    penalty: str = "group", strength: float = 0.5, shape: str = "round", centres: Sequence[Sequence[float]] = ((1.0, 0.5),)
) -> dict[str, Any]:  # fmt: skip
    """The minimum (w1, w2) for every centre (c1, c2): both weights are one group, or under `l1` each its own."""
    if shape not in SHAPES:
        raise one_of("shape", shape, SHAPES)
    if not centres or any(len(centre) != 2 for centre in centres):
        raise BadInput(
            "centres must be a list of pairs, as in [[1, 0.5]]; got another shape; give two numbers a centre"
        )
    found = solve(
        penalty, strength, torch.tensor(centres, dtype=torch.float64), torch.tensor(SHAPES[shape], dtype=torch.float64)
    )
    return {"penalty": penalty, "strength": strength, "shape": shape, "minima": found.tolist()}


def groups(penalty: str = "group", strength: float = 0.5) -> dict[str, Any]:
    """Two groups of three weights, H the identity: the minimum, (2, 3), beside the centre that the loss alone would take."""
    found = solve(penalty, strength, torch.tensor(GROUPS, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    return {"penalty": penalty, "strength": strength, "centre": [list(g) for g in GROUPS], "minimum": found.tolist()}


def solve(penalty: str, strength: float, centres: Tensor, shape: Tensor) -> Tensor:
    """The minimum of every row, (rows, weights), where the steps end; a row is a group."""
    if penalty not in KINDS:
        raise one_of("penalty", penalty, KINDS)
    if not 0 <= strength <= 10:
        raise BadInput(f"strength must be from 0 to 10; got {strength}; take 0.5")
    made = nn.Linear(centres.shape[1], len(centres), bias=False).double()
    made.weight.data.zero_()  # where strength and pull are equal, zero is the minimum and stays
    kind = KINDS[penalty]
    own = [g for g in (lasso.groups_of("plane", made, kind) if kind else None,) if g]
    optimizer = torch.optim.SGD(made.parameters(), lr=LR, weight_decay=0.0 if kind else strength)
    for _ in range(STEPS):
        optimizer.zero_grad()
        away = made.weight - centres
        (0.5 * (away @ shape * away).sum()).backward()
        optimizer.step()
        lasso.threshold_(own, {kind: strength}, LR)
    return made.weight.detach()


def recorded() -> dict[str, Any]:
    """The minima on a grid of centres for every strength, penalty and shape of the loss, and the two groups."""
    centres = [(x, y) for x in ACROSS for y in UP]
    grid = {
        shape: {p: {f"{s:g}": _short(minima(p, s, shape, centres)["minima"]) for s in STRENGTHS} for p in KINDS}
        for shape in SHAPES
    }
    two = {p: {f"{s:g}": _short(groups(p, s)["minimum"]) for s in GROUP_STRENGTHS} for p in KINDS}
    return {
        "config": {"lr": LR, "steps": STEPS, "shapes": SHAPES, "precision": "float64"}, "seed": None,
        "across": ACROSS, "up": UP, "strengths": STRENGTHS, "minima": grid,
        "groups": {"centre": GROUPS, "strengths": GROUP_STRENGTHS, "minimum": two},
    }  # fmt: skip


def _short(rows: list[list[float]]) -> list[list[float]]:
    """Three digits behind the point; an exact zero stays 0, and nothing else becomes one."""
    return [[0 if v == 0 else round(v, 3) or 0.0005 for v in row] for row in rows]
