"""Where a talk's material is: the runs of this machine, recorded evidence, the papers' points."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import tradeoff_points
from app.runs import row_of, store, view_of
from app.talk import story
from app.talk.slide import Slide
from core.errors import BadInput

AT_MOST = 500


def of_run(run: str) -> list[Slide]:
    """The slides of a run. BadInput where there is no such run, or it has recorded nothing yet."""
    try:
        row_of(run)
    except BadInput:
        raise BadInput(
            f"a talk needs a run that is here, `demo`, or NETWORK,DATASET; got {run!r}, which is none; `python -m core runs` lists them"
        ) from None
    view = view_of(run)
    if not view.epochs or not len(view.alive):
        raise BadInput(
            f"a talk needs a run that has recorded an epoch; {run!r} has none yet; wait a moment, or choose another run"
        )
    config = view.started["config"]
    return story.of_run(view, points(config["network"], config["dataset"]))


def of_comparison(network: str, dataset: str) -> list[Slide]:
    """The slides of all runs of a network on a data set."""
    table = points(network, dataset)
    slides = story.of_comparison(table, view_of(run) if (run := story.cheapest_run(table)) else None)
    if not slides:
        raise BadInput(
            f"a comparison needs two finished runs of {network} on {dataset}, or recorded ones; train another, or show one run"
        )
    return slides


def points(network: str, dataset: str) -> pd.DataFrame:
    """Points of one's own runs; with fewer than two of these the recorded ones too; the papers' beside them."""
    own = tradeoff_points.own_points(store().recent(AT_MOST)[0])
    every = [frame for frame in (own, _recorded()) if len(frame)]
    here = [frame[(frame["network"] == network) & (frame["dataset"] == dataset)] for frame in every]
    alone = here[:1] if len(own) and len(here[0]) > 1 else here
    frames = [frame for frame in (*alone, tradeoff_points.paper_points(network, dataset)) if len(frame)]
    return pd.concat(frames).reset_index(drop=True) if frames else pd.DataFrame()


@st.cache_data(ttl=60, show_spinner=False)
def _recorded() -> pd.DataFrame:
    return tradeoff_points.evidence_points()
