"""The form of all settings, generated from their own rules: title, unit, range, help and source come from the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import streamlit as st
from pydantic.fields import FieldInfo

from app.app_pages.data_fields import augment_fields, data_choice
from app.app_pages.how_many import family_fields, queue, way_of_training
from app.runs import METHOD_WORDS
from core.config import Phase, RunConfig, with_settings
from core.errors import BadInput
from core.level_settings import levels_written, written
from core.networks.names import SPECS
from core.overlaps import overlap_note
from core.phases import JOINT, METHOD_KINDS, METHOD_SOLVERS
from core.presets import PRESETS, preset

COMMON = ("epochs", "lr", "lr_schedule", "lr_floor", "lr_drops", "warmup")
OF_METHOD = {
    "sss": ("kinds", "solver", "strength_schedule", "ramp_from", "ramp"),
    "ssl": (
        "kinds",
        "solver",
        "strength_schedule",
        "ramp_from",
        "ramp",
        "splitting",
        "joint",
        "cut_below",
        "size_weights",
    ),
    "slimming": ("slim_below", "strength_schedule", "ramp_from", "ramp"),
    "l1": ("solver", "strength_schedule", "ramp_from", "ramp", "cut_below"),
    "prune": ("kinds", "ranking", "keep", "gradual"),
    "masks": ("compression", "tau", "mask_gradient", "gradual"),
    "nested": (
        "levels",
        "first_whole",
        "own_heads",
        "level_norms",
        "order",
        "masks",
        "distill",
        "sandwich",
        "level_mean",
    ),
    "dense": ("freeze", "ema"),
}
RUN_FIELDS = (
    "seed",
    "batch_size",
    "label_smoothing",
    "weight_decay",
    "momentum",
    "measure_every",
    "precision",
    "device",
    "threads",
    "deterministic",
)
LEVELS_HELP = (
    "With commas: 0.5 x 1 is half of the channels and all blocks, 1/3 a third of the weights, tau 0.015 the weights above it; behind it "
    "coarse (labels), labels FILE, data NAME, weight 2 (in the loss)."
)
OVERLAPS = (
    "Groups inside each other (2-D filters in filters, filter shapes in channels) are thresholded exactly; rows that cross "
    "columns (filters with channels or filter shapes, 2-D filters with filter shapes) only by the splitting named above."
)


def settings_form(begin: Callable[[RunConfig, Callable[[], str]], None]) -> None:
    """Choose a preset, change what you like, train. `begin` checks the data, calls what queues the runs, and goes to them."""
    with st.expander("All settings", expanded="form-preset" in st.session_state, icon=":material/tune:"):
        name = st.selectbox(
            "Preset", [p.name for p in PRESETS], key="form-preset", format_func=lambda n: preset(n).title
        )
        base = preset(name).config
        try:
            dataset = data_choice(base)
        except BadInput as error:
            st.error(str(error), icon=":material/error:")
            return
        if not dataset:
            return
        way = way_of_training()
        with st.form(f"settings-{name}", border=False):
            family = family_fields(way, name)
            try:
                chosen = _fields(base, dataset)
            except BadInput as error:
                chosen = {}
                st.error(str(error), icon=":material/error:")
            pressed = st.form_submit_button("Train with these settings", type="primary", icon=":material/potted_plant:")
            if pressed and chosen:
                _submit(base, chosen, way, family, begin)


def _fields(base: RunConfig, dataset: str) -> dict[str, Any]:
    columns = st.columns(4)
    networks = list(SPECS)
    chosen: dict[str, Any] = {
        "network": columns[0].selectbox(
            "Network", networks, networks.index(base.network), format_func=lambda n: SPECS[n].title
        ),
        "dataset": dataset,
    }
    for i, field in enumerate(RUN_FIELDS):
        value = getattr(base, field)
        chosen[field] = _widget(
            columns[(i + 1) % 4], field, RunConfig.model_fields[field], value, f"{base.preset}-{field}"
        )
    chosen["augment"] = augment_fields(base, dataset)
    for index, phase in enumerate(base.phases):
        st.markdown(
            f"**Phase {index + 1}: {phase.name}** ({METHOD_WORDS[phase.method] if phase.method != 'dense' else 'no penalty'})"
        )
        columns = st.columns(4)
        for i, field in enumerate(phase_fields(phase)):
            where, value = columns[i % 4], getattr(phase, field)
            key = f"{base.preset}-{index}-{field}"
            chosen[f"phases.{index}.{field}"] = _widget(
                where, field, Phase.model_fields[field], value, key, phase.method
            )
        if phase.method == "ssl":
            st.caption(f"{OVERLAPS} {overlap_note(phase)}".strip())
    return chosen


def phase_fields(phase: Phase) -> tuple[str, ...]:
    """What a person may set in a phase of this method: a strength for each kind that it can learn, among others."""
    strengths = (
        () if phase.method in ("prune", "dense") else tuple(f"strength_{kind}" for kind in METHOD_KINDS[phase.method])
    )
    return (*COMMON, *strengths, *OF_METHOD[phase.method])


def _widget(where: Any, name: str, field: FieldInfo, value: Any, key: str, method: str = "") -> Any:
    """The widget of one setting."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    title = f"{field.title} ({extra['unit']})" if extra.get("unit") else str(field.title)
    low, above, high = (
        next((getattr(m, a) for m in field.metadata if hasattr(m, a)), None) for a in ("ge", "gt", "le")
    )
    help = f"{field.description}{_range(low, above, high)}" + (
        f" Source: {extra['source']}." if extra.get("source") else ""
    )
    if name in ("kinds", "joint"):
        choices = METHOD_KINDS[method] if name == "kinds" else JOINT
        return where.multiselect(title, choices, list(value), help=help, key=key)
    if name == "levels":
        shown = ", ".join(written(level) for level in value)
        text = where.text_input(title, shown, help=f"{help} {LEVELS_HELP}", key=key)
        return levels_written(text)
    if isinstance(value, tuple):
        shown = ", ".join(f"{v:.4g}" for v in value)
        text = where.text_input(title, shown, help=f"{help} Rising numbers, with commas.", key=key)
        return list(value) if text == shown else _numbers(title, text)
    if isinstance(value, bool):
        return where.checkbox(title, value, help=help, key=key)
    choices = ("default", *METHOD_SOLVERS[method]) if name == "solver" else get_args(field.annotation)
    if choices and isinstance(value, str):
        return where.selectbox(title, choices, list(choices).index(value), help=help, key=key)
    if isinstance(value, int):
        return where.number_input(title, low, high, value, help=help, key=key)
    bottom, top = (None if bound is None else float(bound) for bound in (low, high))
    return where.number_input(
        title, bottom, top, value, format="%.5g", step=value / 10 if value else 0.001, help=help, key=key
    )


def _numbers(title: str, text: str) -> list[float]:
    """Numbers between commas; BadInput in the words of the form."""
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise BadInput(f"{title} must be rising numbers between 0 and 1, with commas; got {text!r}") from None


def _range(low: float | None, above: float | None, high: float | None) -> str:
    start = f"From {low:g}" if low is not None else f"Above {above:g}" if above is not None else ""
    return f" {start}{f' to {high:g}' if high is not None else ''}." if start else ""


def _submit(
    base: RunConfig,
    chosen: dict[str, Any],
    way: str,
    family: dict[str, Any],
    begin: Callable[[RunConfig, Callable[[], str]], None],
) -> None:
    try:
        config = with_settings(base, chosen)
    except BadInput as error:
        st.error(str(error), icon=":material/error:")
        return
    begin(config, lambda: queue(way, config, family))
