"""Proximal steps on tensors: what turns a penalty into exact zeros.

Letters as in Huang & Wang (ECCV 2018, arXiv 1707.01213): eta the learning rate, gamma the strength of the L1
penalty, mu the momentum, S_a(z) = sign(z) max(|z| - a, 0) the soft threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def apg_step_(
    factors: list[Tensor], velocity: list[Tensor], lr: float, strength: float, momentum: float, *, clamp: bool = True
) -> None:
    """One modified accelerated proximal gradient step (equations 10-12), in place on `factors` and `velocity`.

        z  = f - eta g            (10)    f the factors as the forward pass used them, g = f.grad
        v  = S_{eta gamma}(z) - f + mu v  (11)
        f  = S_{eta gamma}(z) + mu v      (12)
        f  = max(0, f)            the released code's clamp; it makes zeros exact

    `factors` and `velocity`: lists of equal shapes; every factor needs a gradient.
    """
    if not factors:
        return
    shrink = lr * strength
    gradients = [f.grad for f in factors]
    if any(g is None for g in gradients):
        raise RuntimeError("apg_step_ needs a gradient on every factor; call it after backward()")
    z = torch._foreach_add(factors, gradients, alpha=-lr)  # type: ignore[arg-type]
    size = torch._foreach_abs(z)
    torch._foreach_sub_(size, shrink)
    torch._foreach_clamp_min_(size, 0.0)
    torch._foreach_mul_(size, torch._foreach_sign(z))  # now S(z)
    torch._foreach_mul_(velocity, momentum)
    torch._foreach_add_(velocity, size)
    torch._foreach_sub_(velocity, factors)
    torch._foreach_copy_(factors, size)
    torch._foreach_add_(factors, velocity, alpha=momentum)
    if clamp:
        torch._foreach_clamp_min_(factors, 0.0)
