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


@torch.no_grad()
def ista_step_(factors: list[Tensor], lr: float, strength: float) -> None:
    """f = max(0, S_{eta gamma}(f - eta g)), in place: no momentum (Ye et al., ICLR 2018, use it for channel scales)."""
    for factor in factors:
        _threshold_into_(factor, factor - lr * _gradient(factor), lr * strength)


@torch.no_grad()
def subgradient_step_(
    factors: list[Tensor], velocity: list[Tensor], lr: float, strength: float, momentum: float
) -> None:
    """Nesterov SGD on the loss + gamma |f|_1, in place: factors cross zero and hover there, none stays exactly zero."""
    for factor, v in zip(factors, velocity, strict=True):
        gradient = _gradient(factor) + strength * factor.sign()
        v.mul_(momentum).add_(gradient)
        factor.sub_(lr * (gradient + momentum * v))


@torch.no_grad()
def look_ahead(factors: list[Tensor], before: list[Tensor], step: int) -> list[Tensor]:
    """d_t = f_{t-1} + (t - 2) / (t + 1) (f_{t-1} - f_{t-2}), where standard APG takes its gradient; t counts from 1."""
    weight = max(0.0, (step - 2) / (step + 1))
    return [f + weight * (f - b) for f, b in zip(factors, before, strict=True)]


@torch.no_grad()
def standard_apg_step_(
    factors: list[Tensor],
    before: list[Tensor],
    ahead: list[Tensor],
    gradients: list[Tensor],
    lr: float,
    strength: float,
) -> None:
    """f_t = max(0, S_{eta gamma}(d_t - eta grad G(d_t))), in place; `before` becomes f_{t-1}, `gradients` are those at d_t."""
    for factor, old, d, gradient in zip(factors, before, ahead, gradients, strict=True):
        old.copy_(factor)
        _threshold_into_(factor, d - lr * gradient, lr * strength)


def _threshold_into_(factor: Tensor, z: Tensor, amount: float) -> None:
    factor.copy_((z.abs() - amount).clamp_min(0.0) * z.sign()).clamp_min_(0.0)


def _gradient(factor: Tensor) -> Tensor:
    if factor.grad is None:
        raise RuntimeError("a step on factors needs a gradient on every one; call it after backward()")
    return factor.grad
