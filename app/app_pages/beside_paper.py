"""A finished run of a paper's preset beside the rows that the paper printed."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
import streamlit as st

from app import sentences, theme
from app.runs import RunView, config_of, final_accuracy
from core.papers import Point, caveats, published
from core.presets import PRESETS
from core.runs.tables import Run


def beside_paper(row: Run | None, view: RunView) -> None:
    """The card of a finished run, of the store or one that comes with the program; nothing for other presets, or before it is finished."""
    config = config_of(row, view)
    if view.result is None or (row is not None and row.state != "finished"):
        return
    points = published(config["preset"], config["network"], config["dataset"])
    if not points:
        return
    table = side_by_side(view.result, points, row.role if row is not None else "method")
    with theme.card("Beside the paper", _sentence(table, _macs(points)), key="beside-paper"):
        st.dataframe(
            table, hide_index=True, key="beside-paper-table",
            column_config={
                "test error": st.column_config.NumberColumn(format="%.2f %%"),
                "MACs left": st.column_config.NumberColumn(f"{_macs(points)} left", format="percent"),
            },
        )  # fmt: skip
        for line in [*_length(config), *dict.fromkeys(point.source for point in points), *caveats(points)]:
            st.caption(line)


def _length(config: dict[str, Any]) -> list[str]:
    """How long it trained, in one sentence, where that is not what its preset asks for; a run from elsewhere may name none of ours."""
    ran = sum(phase["epochs"] for phase in config["phases"])
    asked = next((p.config.epochs for p in PRESETS if p.name == config["preset"]), ran)
    return [f"This run trained {sentences.plural(ran, 'epoch')}; its preset asks for {asked}."] if ran != asked else []


def side_by_side(result: dict[str, Any], points: list[Point], role: str = "method") -> pd.DataFrame:
    """This run first, then the paper's rows: what, test error in percent, fraction of the MACs left, where it is from."""
    macs = counted_as(points, result)
    ours = {
        "what": f"this run ({role})" if role != "method" else "this run",
        "test error": 100 * (1 - final_accuracy(result["accuracy"])), "MACs left": macs["compact"] / macs["dense"] if macs else None,
        "where": "here, one seed", "certainty": "measured", "note": f"removal: {result['certificate']['verdict']}",
    }  # fmt: skip
    theirs = [
        {
            "what": f"{point.paper}: {point.point}", "test error": point.error, "MACs left": point.macs_left,
            "where": point.place, "certainty": point.certainty, "note": point.note,
        }
        for point in points
    ]  # fmt: skip
    return pd.DataFrame([ours, *theirs])


def _macs(points: list[Point]) -> str:
    """What the paper counts, in words."""
    return "MACs of convolutions" if any(point.counted == "conv MACs" for point in points) else "MACs"


def counted_as(points: list[Point], result: dict[str, Any]) -> dict[str, int] | None:
    """Dense and compact MACs as the paper counts them: of convolutions, or of all layers. None where the run, of before, did not keep these."""
    if any(point.counted == "conv MACs" for point in points):
        return result.get("conv_macs")
    return cast(dict[str, int], result["macs_per_image"])


def _sentence(table: pd.DataFrame, macs: str) -> str:
    """The run beside the paper's row that is nearest in `macs`."""
    ours, theirs = table.iloc[0], table.iloc[1:]
    if pd.isna(ours["MACs left"]):
        return f"This run errs on {sentences.percent(ours['test error'] / 100, 2)}; it did not keep the MACs of its convolutions, which the paper counts."
    near = theirs.loc[(theirs["MACs left"] - ours["MACs left"]).abs().idxmin()]
    return (
        f"This run errs on {sentences.percent(ours['test error'] / 100, 2)} with {sentences.percent(ours['MACs left'])} of the {macs}; "
        f"nearest of the paper's rows is {near['what'].partition(': ')[2]}, {sentences.percent(near['test error'] / 100, 2)} with {sentences.percent(near['MACs left'])}."
    )
