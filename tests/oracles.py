"""Independent reference computations, in plain Python float64, in another formulation than the engine's."""

from __future__ import annotations


def apg_oracle(
    gradients: list[list[float]], rates: list[float], gamma: float, mu: float, *, clamp: bool = True
) -> list[float]:
    """Factors after the modified APG of Huang & Wang (eqs 10-12), one scalar at a time, from 1.

    Written from the two-sequence form: `lam` is the proximal point S(z), `f = lam + mu v` what the forward pass uses.
    `gradients[t][i]` is the gradient of factor i that step t saw.
    """
    out = []
    for i in range(len(gradients[0])):
        f, v = 1.0, 0.0
        for rate, row in zip(rates, gradients, strict=True):
            z = f - rate * row[i]
            threshold = rate * gamma
            lam = z - threshold if z > threshold else z + threshold if z < -threshold else 0.0
            v = (lam - f) + mu * v
            f = lam + mu * v
            if clamp and f < 0:
                f = 0.0
        out.append(f)
    return out
