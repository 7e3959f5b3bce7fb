"""What Inspect says of a network, in sentences and tables made from the documents of `inspect` and `cut`."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from app import sentences
from app.app_pages.parts import short

Z95 = 1.959964  # of the normal distribution, both sides


def interval(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of `n` (Wilson, 1927): where the share of all such images lies."""
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy_note(share: float, n: int) -> str:
    """`95 %: 91.2–92.2 %, n = 10,000 images`."""
    low, high = interval(share, n)
    return f"95 %: {100 * low:.1f}–{100 * high:.1f} %, n = {n:,} test images"


def layer_rows(look: dict[str, Any]) -> pd.DataFrame:
    """One row a layer: its units by verdict, how many leave, and the zeros among its weights."""
    return pd.DataFrame(
        {
            "layer": short(row["layer"]), "path": row["layer"], "units": row["filters"], **row["units"], "unread": row["unread"],
            "leave": row["leave"], "stay": (row["filters"] - row["leave"]) / max(1, row["filters"]),
            "sparsity": row["zero_weights"] / max(1, row["weights"]), "zero filters": row["zero_filters"],
            "zero channels": row["zero_channels"], "zero shapes": row["zero_shapes"], "weights": row["weights"], "MACs": row["macs"],
        }
        for row in look["layers"]
    )  # fmt: skip


def importance_rows(look: dict[str, Any]) -> pd.DataFrame:
    """One row a layer: least, quartiles and most of its filters' l1 norms, over the layer's mean."""
    columns = ("least", "low", "median", "high", "most")
    return pd.DataFrame(
        {"layer": short(row["layer"]), **dict(zip(columns, row["importance"], strict=True))} for row in look["layers"]
    )


def importance_sentence(rows: pd.DataFrame) -> str:
    """Where filters are most unequal: there a cut finds something to give up."""
    weakest = rows.loc[rows["least"].idxmin()]
    even = rows.loc[(rows["most"] - rows["least"]).idxmin()]
    said = f"The smallest filter is in {weakest['layer']}: {sentences.percent(weakest['least'])} of its layer's mean; {even['layer']} is the most even."
    return f"{said} A small norm is a guess that a unit matters little; the accuracy after a cut tells."


def layers_sentence(look: dict[str, Any]) -> str:
    """Which layer loses most without a changed answer."""
    rows = layer_rows(look)
    losing = rows[rows["leave"] > 0]
    sparse = rows.loc[rows["sparsity"].idxmax()]
    zeros = (
        f"{sparse['layer']} is the sparsest, {sentences.percent(sparse['sparsity'], 1)} of its weights are zero"
        if sparse["sparsity"] > 0
        else "no weight is zero"
    )
    if losing.empty:
        return f"No layer has a unit that could leave; {zeros}."
    most = losing.loc[losing["stay"].idxmin()]
    return f"{len(losing)} of {sentences.plural(len(rows), 'layer')} lose units, most of all {most['layer']} ({int(most['leave'])} of {int(most['units'])}); {zeros}."


def could_go(look: dict[str, Any]) -> str:
    """What leaves without changing an answer, and what that buys; or that nothing does."""
    layers = look["layers"]
    weights, zeros = (sum(row[key] for row in layers) for key in ("weights", "zero_weights"))
    units, leave = (sum(row[key] for row in layers) for key in ("filters", "leave"))
    sparse = f"{sentences.percent(zeros / max(1, weights), 1 if zeros else 0)} of its {sentences.amount(weights)} weights are exactly zero"
    if not leave:
        return f"Nothing leaves for free: {sparse}, and every one of its {sentences.plural(units, 'unit')} is heard. To shrink it, choose what to give up below."
    buys = [f"{what} {sentences.change(look['compact'][key] / max(1, look[key]) - 1)}" for what, key in (("MACs", "macs"), ("parameters", "params"))]  # fmt: skip
    return f"{leave} of {sentences.plural(units, 'unit')} leave without changing an answer: {', '.join(buys)}. {sparse[0].upper()}{sparse[1:]}."


def blocked(look: dict[str, Any]) -> pd.DataFrame:
    """What stays although it is zero or constant, and why; no row where nothing does."""
    rows = []
    for layer in look["layers"]:
        where, units = short(layer["layer"]), layer["units"]
        still = (
            units.get("zero", 0) + units.get("uniform", 0) + units.get("field", 0) + layer["unread"] - layer["leave"]
        )
        scattered = layer["zero_weights"] - layer["zero_filters"] * (layer["weights"] // max(1, layer["filters"]))
        if still > 0:
            rows.append((where, sentences.plural(still, "silent unit"), STUCK))
        if layer["zero_weights"] and scattered > 0 and not layer["leave"]:
            rows.append((where, sentences.plural(scattered, "scattered zero"), SCATTERED))
    rows += [(short(one["site"]), f"the full width, at {one['operation']}", one["reason"]) for one in look["refilled"]]
    return pd.DataFrame(rows, columns=["where", "what stays", "why"])


STUCK = "they say the same to every image, but their places are shared: a skip path adds a living unit there, or the number differs at the border"
SCATTERED = "zeros inside living filters: no smaller dense layer is without them, so they cost as much as any weight"


def blocked_sentence(rows: pd.DataFrame) -> str:
    """How many places hold something back."""
    if rows.empty:
        return "Nothing that is dead has to stay."
    return f"{sentences.plural(len(rows), 'place')} hold{'s' if len(rows) == 1 else ''} back what is zero or constant; {rows.iloc[0]['where']}: {rows.iloc[0]['why']}."


def cut_sentence(cut: dict[str, Any]) -> str:
    """What the cut bought and what it cost."""
    macs, params = (cut[key]["compact"] / max(1, cut[key]["dense"]) for key in ("macs", "params"))
    if cut["certificate"]["verdict"] == "nothing-removed":
        return "Nothing was removed: no unit is exactly zero. Choose a target to give something up."
    said = f"{sentences.percent(macs)} of the MACs and {sentences.percent(params)} of the parameters remain"
    if "accuracy" not in cut:
        return f"{said}. What it costs is not known: choose a data set above to see the accuracy before and after."
    before, after = cut["accuracy"]["dense"], cut["accuracy"]["compact"]
    n = cut["test_images"]
    price = f"accuracy goes from {sentences.percent(before, 1)} to {sentences.percent(after, 1)} ({sentences.points(after - before)}, n = {n:,} test images)"
    tune = (
        " Fine-tuning may win much of it back: load the compact file, or its Python source, and train it as any network."
        if before - after > 0.02
        else ""
    )
    return f"{said}; {price}.{tune}"


def cut_rows(cut: dict[str, Any], look: dict[str, Any]) -> pd.DataFrame:
    """Columns layer, units, leave, stay (share): of the plan that was cut."""
    gone = {site.rpartition("/")[0]: count for site, count in cut["sites"].items()}
    rows = [(short(row["layer"]), row["filters"], gone.get(row["layer"], 0)) for row in look["layers"]]
    table = pd.DataFrame(rows, columns=["layer", "units", "leave"])
    return table.assign(stay=1 - table["leave"] / table["units"].clip(lower=1))
