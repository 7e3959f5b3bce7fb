"""Numbers and counts in words, with honest digits and units; what sentences are made of.

Fractions come in as 0-1 and leave as percent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"


def scientific(value: float) -> str:
    """``3·10⁻¹⁵``; one digit is all that such a number says."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    digits, exponent = f"{abs(value):.0e}".split("e")
    return f"{MINUS if value < 0 else ''}{digits}·10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def amount(value: float) -> str:
    """``40.6 M``, ``1.2 k``, ``340``: a count in three digits at most."""
    if not math.isfinite(value):
        return "not finite"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            scaled = f"{value / size:.3g}"
            return f"{_signed(scaled)} {unit}"
    return _signed(f"{value:.3g}")


def percent(share: float, digits: int = 0) -> str:
    """``91 %`` of 0.914; ``91.4 %`` with one digit."""
    return f"{_signed(f'{100 * share:.{digits}f}')} %"


def change(share: float, digits: int = 0) -> str:
    """A relative change with its sign: ``−38 %``."""
    return f"{_with_sign(100 * share, digits)} %"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two percentages: ``−0.2 pp`` (percentage points)."""
    return f"{_with_sign(100 * difference, digits)} pp"


def times(ratio: float) -> str:
    """``1.6 ×``: how many times as fast."""
    return f"{ratio:.1f} ×" if ratio < 10 else f"{ratio:.0f} ×"


def milliseconds(value: float) -> str:
    """``0.42 ms``, ``12 ms``, ``1.3 s``."""
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"


def plural(count: int, noun: str) -> str:
    """``1 block``, ``2 blocks``, ``1,234 filters``."""
    many = {"class": "classes", "batch": "batches", "branch": "branches"}.get(noun, f"{noun}s")
    return f"{count:,} {noun if count == 1 else many}"


def share_of(count: int, total: int, noun: str) -> str:
    """``2 of 3 blocks``, ``its only block``."""
    if total == 1:
        return f"its only {noun}" if count == 1 else f"0 of 1 {noun}"
    return f"{count} of {plural(total, noun)}"


def listing(words: Sequence[str], at_most: int = 3) -> str:
    """``a``, ``a and b``, ``a, b and 4 more``."""
    shown = list(dict.fromkeys(words))
    if len(shown) > at_most:
        shown = [*shown[: at_most - 1], f"{len(shown) - at_most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"


def _signed(text: str) -> str:
    return text.replace("-", MINUS)


def _with_sign(value: float, digits: int) -> str:
    rounded = round(value, digits)
    if rounded == 0:
        return "±0" if digits == 0 else f"±{0:.{digits}f}"
    return f"{'+' if rounded > 0 else MINUS}{abs(rounded):.{digits}f}"


def normalised(mean: Sequence[float], std: Sequence[float]) -> str:
    """How images must be prepared, in a sentence; one number a channel, on a scale where white is 1."""
    middle, spread = (", ".join(f"{v:.4g}" for v in numbers) for numbers in (mean, std))
    return f"Images: white is 1, minus mean ({middle}), divided by standard deviation ({spread}), channel by channel."
