"""What the solvers do: each on a small convex problem whose optimum is known, answered by the inference lane."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import family_charts, theme
from app.app_pages import parts
from app.components.live_chart import live_chart, plotly_loader
from app.guard import guarded
from app.runs import store
from core.errors import WrongMoment
from core.runs.lane_client import ask

EVERY = 2  # steps between two points of the figures
PROBLEM = (
    "One problem each, drawn from a seed, in double precision, with the same strength and the same rates for all solvers; the rate falls to a "
    "twentieth at step 400. Each step is taken by the function that training calls. A network's loss is not convex: there is no such proof there."
)


def solvers() -> None:
    """The expander; it asks only while it is open, and looks again until the lane has answered."""
    box = st.expander("What the solvers do", key="solvers", icon=":material/show_chart:", on_change="rerun")
    if box.open:
        plotly_loader(key="plotly-loader-solvers")
        with box:
            st.fragment(_solvers, run_every=None if "solver-paths" in st.session_state else 1.5)()


@guarded
def _solvers() -> None:
    if "solver-paths" not in st.session_state:
        try:
            answer = ask(store().root, "solvers", timeout_s=1.0)
        except WrongMoment as problem:
            st.caption(str(problem))
            return
        if answer is None or answer.get("busy"):
            st.caption("The inference lane is computing the paths; they come within a few seconds.")
            return
        st.session_state["solver-paths"] = {name: thinned(told) for name, told in answer.items()}
        st.rerun()  # the whole page: no further look is needed
    told = st.session_state["solver-paths"]
    left, right = st.columns(2)
    with left:
        _card(told["ssl"], "SSL: group lasso on rows, least squares", "row", "solvers-ssl")
        st.caption(
            "`proximal` takes the exact threshold of each group, so it reaches the optimum (to 1·10⁻¹⁰, tested) and the same zeros. `paper` adds the "
            "penalty's subgradient before momentum and cuts weights below 1·10⁻⁴: it comes within about 2·10⁻³ and need not find the same zeros."
        )
    with right:
        _card(told["sss"], "SSS: L1 on factors that start at 1, least squares", "factor", "solvers-sss")
        st.caption(
            "`modified-apg` (the paper's) needs one pass a step; `apg` a second one, at a point ahead; `ista` has no momentum; `subgradient` "
            "hovers around zero and needs a threshold at the end."
        )
    st.caption(PROBLEM)


def _card(told: dict[str, Any], title: str, noun: str, key: str) -> None:
    spec = family_charts.solver_paths(told, noun)
    with theme.card(f"{title}, strength {told['strength']:g}", spec["alt"], key=key):
        live_chart(spec, key=f"chart-{key}", height=320)
        parts.table_behind(lambda: _numbers(told), key=f"table-{key}", figure=(title, spec), conditions=lambda: PROBLEM)


def _numbers(told: dict[str, Any]) -> pd.DataFrame:
    """Every drawn step of every solver: loss above the optimum, and how many groups are exactly zero."""
    paths = [pd.DataFrame({"solver": name, "step": range(0, len(path["gap"]) * told["every"], told["every"]), "above the optimum": path["gap"], "exactly 0": path["zeros"]}) for name, path in told["solvers"].items()]  # fmt: skip
    return pd.concat(paths)


def thinned(told: dict[str, Any]) -> dict[str, Any]:
    """The paths at every `EVERY`th step, so that a figure stays small."""
    solvers = {
        name: path | {"gap": path["gap"][::EVERY], "zeros": path["zeros"][::EVERY]}
        for name, path in told["solvers"].items()
    }
    return told | {"solvers": solvers, "every": EVERY}
