"""Start: something already alive, one button, and the settings behind it."""

from __future__ import annotations

from typing import Any

import streamlit as st
from pydantic.fields import FieldInfo

from app import theme
from app.app_pages import parts
from app.runs import DEMO, store, view_of
from app.selection import select
from core.config import Phase, RunConfig, with_settings
from core.data.names import DATASETS
from core.errors import BadInput, WrongMoment
from core.networks.names import SPECS
from core.presets import PRESETS, Preset, dense_control, preset
from core.runs.control import check_data, submit

PHASE_FIELDS = (
    "strength_filter",
    "strength_block",
    "lr",
    "lr_schedule",
    "lr_floor",
    "strength_schedule",
    "ramp_from",
    "ramp",
)
RUN_FIELDS = ("seed", "batch_size", "weight_decay", "momentum", "measure_every", "precision", "threads")


def page() -> None:
    """The first screen."""
    default = PRESETS[0]
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    with left:
        st.title("Watch a network learn what it can do without", anchor=False)
        st.markdown(
            "A real network trains under a penalty that lets **filters** and **residual blocks** die. What died is cut out **exactly**, "
            "the cut is **proved**, and what it buys is **measured** on this machine."
        )
    with right:
        st.button(
            "Train this here", key="train-this", type="primary", icon=":material/potted_plant:", width="stretch", on_click=_start, args=(default.config,),
            help="The same run on this machine, with embedded real data: about a minute on two cores.",
        )  # fmt: skip
        st.caption(
            f"{default.config.network} on {default.config.dataset}; about {default.minutes:g} min on two cores, nothing to download."
        )
    _go_if_started()
    demo = view_of(DEMO)
    if demo.started:
        with theme.card(
            "A recorded run, playing",
            "The trunk is the skip path; what hangs on it lives. Ghosts have died, orange is dying.",
            key="demo",
        ):
            parts.tree(demo, key="demo-tree", follow=False, playing=True)
    st.subheader("Or choose another run", anchor=False)
    _cards()
    _form()


def _go_if_started() -> None:
    if st.session_state.pop("started", None):
        st.switch_page(st.session_state["pages"]["live"])
    if problem := st.session_state.pop("problem", None):
        st.error(problem, icon=":material/error:")


def _start(config: RunConfig, role: str = "method", family: str | None = None) -> None:
    """Queue the run and open its Live page; a sentence where that cannot be."""
    try:
        check_data(config)
        name = submit(store(), config, role=role, family=family)
        select(run=name, epoch=None, site=None, unit=None)
        st.session_state["started"] = name
    except (BadInput, WrongMoment) as error:
        st.session_state["problem"] = str(error)
    except OSError as error:
        st.session_state["problem"] = (
            f"The run could not be written to {store().root} ({error.strerror}); free some space or set ESPALIER_RUNS to another folder."
        )


def _cards() -> None:
    columns = st.columns(3)
    for i, p in enumerate(PRESETS):
        with columns[i % 3].container(border=True, key=f"card-preset-{p.name}"):
            st.markdown(f"**{p.title}**")
            st.caption(p.say)
            gone = _problem(p)
            st.caption(
                f"{p.config.network} · {p.config.dataset} · {_duration(p.minutes)} on two cores"
                + (" · data not found" if gone else "")
            )
            run, change = st.columns(2)
            run.button(
                "Train",
                key=f"preset-{p.name}",
                on_click=_start,
                args=(p.config, _role(p)),
                width="stretch",
                disabled=gone is not None,
                help=gone,
            )
            change.button("Settings", key=f"settings-{p.name}", on_click=_choose, args=(p.name,), width="stretch")


def _problem(p: Preset) -> str | None:
    try:
        check_data(p.config)
    except BadInput as error:
        return str(error)
    return None


def _duration(minutes: float) -> str:
    return (
        f"{minutes:g} min"
        if minutes < 90
        else f"{minutes / 60:.0f} h"
        if minutes < 2880
        else f"{minutes / 1440:.0f} days"
    )


def _role(p: Preset) -> str:
    return "dense control" if p.config.phases[0].method == "dense" else "method"


def _choose(name: str) -> None:
    st.session_state["form-preset"] = name


def _form() -> None:
    """Every setting of a preset, generated from the settings' own rules."""
    with st.expander("All settings", expanded="form-preset" in st.session_state, icon=":material/tune:"):
        names = [p.name for p in PRESETS]
        name = st.selectbox("Preset", names, key="form-preset", format_func=lambda n: preset(n).title)
        base = preset(name).config
        first = base.phases[0]
        with st.form(f"settings-{name}", border=False):
            chosen: dict[str, Any] = {}
            columns = st.columns(4)
            chosen["network"] = columns[0].selectbox(
                "Network", list(SPECS), index=list(SPECS).index(base.network), format_func=lambda n: SPECS[n].title
            )
            chosen["dataset"] = columns[1].selectbox(
                "Data set",
                list(DATASETS),
                index=list(DATASETS).index(base.dataset),
                format_func=lambda n: f"{n}: {DATASETS[n].title}",
            )
            chosen["epochs"] = columns[2].number_input(
                "Epochs (total)", 1, 10_000, base.epochs, help="Passes over the training images, all phases together."
            )
            fields = [(Phase, f, getattr(first, f)) for f in PHASE_FIELDS] + [
                (RunConfig, f, getattr(base, f)) for f in RUN_FIELDS
            ]
            for i, (model, field, value) in enumerate(fields):
                chosen[field] = _widget(columns[(i + 3) % 4], field, model.model_fields[field], value)
            control = st.checkbox("Also queue the dense control (same settings without the method)", value=False)
            if st.form_submit_button("Train with these settings", type="primary", icon=":material/potted_plant:"):
                _submit_form(base, chosen, control)
    _go_if_started()


def _widget(where: Any, name: str, field: FieldInfo, value: Any) -> Any:
    """The widget of one setting: its title, unit, range and help come from the model."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    title = f"{field.title} ({extra['unit']})" if extra.get("unit") else str(field.title)
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    above = next((m.gt for m in field.metadata if hasattr(m, "gt")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    bounds = (
        f" From {low if low is not None else f'above {above}'}" + (f" to {high}." if high is not None else ".")
        if low is not None or above is not None
        else ""
    )
    help = f"{field.description}{bounds}" + (f" Source: {extra['source']}." if extra.get("source") else "")
    choices = getattr(field.annotation, "__args__", None)
    if choices and isinstance(value, str):
        return where.selectbox(title, choices, index=list(choices).index(value), help=help, key=f"field-{name}")
    if isinstance(value, int):
        return where.number_input(title, low, high, value, help=help, key=f"field-{name}")
    bottom, top = (None if bound is None else float(bound) for bound in (low, high))
    step = value / 10 if value else 0.001
    return where.number_input(title, bottom, top, value, format="%.5g", step=step, help=help, key=f"field-{name}")


def _submit_form(base: RunConfig, chosen: dict[str, Any], control: bool) -> None:
    try:
        config = with_settings(base, chosen)
    except BadInput as error:
        st.error(str(error), icon=":material/error:")
        return
    _start(config)
    if control and (family := st.session_state.get("started")):
        submit(store(), dense_control(config), role="dense control", family=family)
