"""What if: what to do with it: measure it on the whole test set, write it as a file, fine-tune from there."""

from __future__ import annotations

import shlex

import streamlit as st

from app import jobs, theme, whatif_words
from app.crossing_state import crossed_of, standing
from app.guard import guarded
from app.runs import row_of, store
from core.config import checked
from core.crossed import Crossed, written
from core.errors import BadInput, WrongMoment
from core.presets import hand_tuning
from core.runs.by_hand import fine_tune
from core.runs.recorded import is_recorded

EPOCHS, RATE = "whatif-epochs", "whatif-lr"
JOB, MEASURED, QUEUED = "whatif-test", "whatif-measured", "whatif-queued"
HERE_ONLY = "A recorded run is none of yours: train it here first, or choose one of your own on the left."


def actions(run: str, crossed: Crossed) -> None:
    """Both cards; nothing can be done while nothing is crossed out."""
    tuning(run, crossed)
    st.fragment(guarded(_measure), run_every=1.0 if jobs.begun(JOB) else None)(run, crossed)


def command(run: str, crossed: Crossed) -> list[str]:
    """The same on the command line, behind `python -m core`."""
    return ["whatif", run, *(part for site in crossed for part in ("--cross", written({site: crossed[site]}, {})))]


def tuning(run: str, crossed: Crossed) -> None:
    """Epochs, learning rate, and the button that queues the run."""
    row = row_of(run)
    said = "A new run of the same family: the crossed units are zero from its first step, and stay zero; the rest learns to do without them."
    with theme.card("Fine-tune from here", said, key="whatif-tune"):
        if row is None:
            st.caption(HERE_ONLY)
            return
        epochs, lr = hand_tuning(checked(row.config))
        one, two = st.columns(2)
        one.number_input(
            "Epochs", 1, 10_000, epochs, key=f"{EPOCHS}-{run}", help="To begin with: a fifth of what this run took.",
        )  # fmt: skip
        two.number_input(
            "Learning rate", 1e-6, 10.0, lr, key=f"{RATE}-{run}", format="%.4g", step=lr / 2,
            help="To begin with: a tenth of this run's last; it rises over the first tenth and falls as a cosine.",
        )  # fmt: skip
        st.button(
            "Fine-tune from here", key="whatif-tune", icon=":material/potted_plant:", type="primary", width="stretch", disabled=not crossed,
            help=None if crossed else "Cross something out first.", on_click=_begin, args=(run,),
        )  # fmt: skip
        if queued := st.session_state.get(QUEUED, {}).get(run):
            st.success(f"{queued} is queued; the tree below shows it.", icon=":material/check_circle:")


def _begin(run: str) -> None:
    """With what stands there at the click: a value typed just before is drawn on the page only after it."""
    crossed, epochs, lr = (
        crossed_of(run, standing(run)),
        st.session_state[f"{EPOCHS}-{run}"],
        st.session_state[f"{RATE}-{run}"],
    )
    try:
        name = fine_tune(store(), run, crossed or {}, int(epochs), float(lr))
        st.session_state.setdefault(QUEUED, {})[run] = name
    except (BadInput, WrongMoment) as error:
        st.session_state["said"] = str(error)


def _measure(run: str, crossed: Crossed) -> None:
    """The job on the whole test set, and what it found for exactly this choice."""
    asked = command(run, crossed)
    key = shlex.join(asked)
    measured = st.session_state.setdefault(MEASURED, {})
    found = measured.get(key)
    said = "The images above were looked at while choosing. What it really costs, the test images say, which were not."
    with theme.card("The whole test set", whatif_words.test_sentence(found) if found else said, key="whatif-test"):
        if (step := jobs.at_work(JOB)) is not None:
            st.button(
                "Measuring…",
                key="whatif-measure",
                icon=":material/hourglass_top:",
                width="stretch",
                disabled=True,
                help=step or None,
            )
            return
        if jobs.begun(JOB):
            if (document := jobs.take(JOB)) is not None:
                measured[shlex.join(command(document["run"], document["crossed"]))] = document
            st.rerun()
        if failed := jobs.failure(JOB):
            st.error(failed, icon=":material/error:")
        if is_recorded(run):
            st.caption(HERE_ONLY)
            return
        if found is None and st.button(
            "Measure on the whole test set", key="whatif-measure", icon=":material/fact_check:", width="stretch", disabled=not crossed,
            help="Also proves the cut; some seconds." if crossed else "Cross something out first.",
        ):  # fmt: skip
            jobs.start(JOB, *asked)
            st.rerun()
        if crossed:
            with st.expander("By command, and as a file"):
                st.code(f"python -m core {key} -o compact.safetensors", language="bash", wrap_lines=True)
