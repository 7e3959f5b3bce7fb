"""How far a share of right answers is known from so many images, and a mean from so many seeds: 95 % intervals. No torch."""

from __future__ import annotations

from math import sqrt

from scipy.special import stdtrit

Z = 1.959963984540054  # of the normal distribution, 2.5 % beyond on each side


def wilson(right: int, total: int) -> tuple[float, float]:
    """The interval of a share, 0-1 (Wilson, JASA 1927): all p with |right/total - p| <= Z sqrt(p (1 - p) / total)."""
    share, weight = right / total, Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    half = Z / (1 + weight) * sqrt(share * (1 - share) / total + weight / (4 * total))
    return (middle - half if right else 0.0), (middle + half if right < total else 1.0)


def paired_difference(lost: int, won: int, total: int) -> tuple[float, float, float]:
    """(difference, low, high) of two shares on the same images, of which `lost` became wrong and `won` became right.

    Wald's interval after adding one to each of the two counts, which holds its 95 % in small samples too (Bonett & Price,
    Journal of Educational and Behavioral Statistics 2012).
    """
    worse, better = (lost + 1) / (total + 2), (won + 1) / (total + 2)
    middle = better - worse
    half = Z * sqrt((worse + better - middle**2) / (total + 2))
    return (won - lost) / total, max(-1.0, middle - half), min(1.0, middle + half)


def half_width(deviation: float, n: int) -> float:
    """Of the mean of `n` differences with that sample standard deviation: half of its interval by Student's t (Biometrika 1908)."""
    return float(stdtrit(n - 1, 0.975)) * deviation / sqrt(n)
