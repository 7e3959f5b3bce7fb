"""The certificate in words, and why no more could go."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from app.sentences import percent, plural, scientific

VERDICTS = {
    "exact": "exact", "approximate": "approximate", "nothing-removed": "nothing removed", "inconclusive": "inconclusive", "failed": "failed",
}  # fmt: skip
EMPTY = "Nothing lives: this network says the same to every image, so there is nothing to time and nothing to prove. The penalty was too strong; lower it and train again."


def is_empty(result: Mapping[str, Any] | None) -> bool:
    """Whether a run ended with a network that computes nothing any more."""
    return bool(result) and result["macs_per_image"]["compact"] == 0  # type: ignore[index]


def why_not(result: Mapping[str, Any]) -> str:
    """Why no more could leave without changing an answer."""
    why = result["why"]
    total, removed = (sum(row[key] for row in why["sites"]) for key in ("total", "removed"))
    stay = total - removed
    refilled = len(result.get("refilled") or ())
    fields = why["units"].get("field", 0)
    said = f"{plural(stay, 'unit')} of {total} stay: their answer depends on the image, and something reads it."
    if fields:
        said += f" {plural(fields, 'unit')} say the same to every image but another number at the border: computed once a batch."
    if refilled:
        return f"{said} {plural(refilled, 'operation')} needed every channel, so the full width is rebuilt in front of them."
    return f"{said} Nothing dead had to be kept."


def certificate_rows(proof: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row for each number of a certificate: what it is, what was measured, what it has to be."""

    def shown(value: float | None) -> str:
        return "not measured" if value is None else scientific(value)

    sizes = ", ".join(" × ".join(map(str, size)) for size in proof.get("sizes") or [])
    masked = proof.get("reference") == "masked"
    rows = [
        ("verdict", str(proof.get("verdict")), ""),
        (
            "compared with",
            "the network with the chosen units masked" if masked else "the trained network, unchanged",
            "",
        ),
        ("largest difference / spread (float64)", shown(proof.get("max_rel")), "at most 10⁻⁹"),
        ("largest difference (float64)", shown(proof.get("max_abs")), ""),
        ("spread of the output", shown(proof.get("spread")), "at least 10⁻⁴, or nothing is proved"),
        ("largest difference of the file (float32)", shown(proof.get("float32_max_rel")), "at most 10⁻⁵"),
        (
            "same first choice",
            "not measured" if proof.get("top1_agreement") is None else percent(proof["top1_agreement"], 1),
            "",
        ),
        ("inputs", f"{proof.get('inputs')}, real and noise, at {sizes}", "at least 8 a size"),
    ]
    return [{"what": what, "measured": measured, "must be": rule} for what, measured, rule in rows]


def certificate(result: Mapping[str, Any] | None) -> str:
    """Of a certificate: the verdict first, then the numbers behind it."""
    if not result:
        return "Not proved yet: no certificate."
    inputs, sizes = int(result.get("inputs") or 0), result.get("sizes")
    num_sizes = len(sizes) if isinstance(sizes, Sequence) and not isinstance(sizes, str) else int(sizes or 0)
    over = f"over {plural(inputs, 'input')}" if inputs else ""
    over += f" at {plural(num_sizes, 'size')}" if over and num_sizes else ""
    largest = result.get("max_rel")
    finite = largest is not None and math.isfinite(largest)
    gap = f"largest difference {scientific(largest)} of the output's spread" if largest is not None and finite else ""
    numbers = " ".join(part for part in (gap, over) if part)
    masked = result.get("reference") == "masked"
    match result.get("verdict"):
        case "exact":
            against = " Compared with the masked network: the cut itself may cost accuracy." if masked else ""
            return f"Exact: {numbers or 'no difference was found'}.{against}"
        case "approximate":
            return f"Approximate, as the plan declared before cutting{': ' + numbers if numbers else ''}."
        case "nothing-removed":
            return (
                "NOTHING WAS REMOVED: no unit is exactly zero, so the compact network is the dense one and no faster."
            )
        case "inconclusive":
            spread = result.get("spread")
            hint = f" (spread {scientific(spread)})" if spread is not None and math.isfinite(spread) else ""
            return f"Inconclusive: the output hardly depends on the input or is not finite{hint}, so nothing is proved."
        case _:
            return f"FAILED: the compact network answers differently{'; ' + numbers if numbers else ''}. Do not use it."
