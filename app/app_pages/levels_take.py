"""Levels: every level as a network of its own, written and proved when asked for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import streamlit as st

from app import sentences, theme
from app.app_pages.take_forms import FORMS, Form
from app.asking import WAITING, ask_now, looking, wait
from app.level_words import kilobytes, level_name
from app.offering import offer
from app.runs import RunView, config_of, is_living, row_of, store, view_of

LEVEL_FORMS = (
    Form(".safetensors", "", "", "A file that `core.structure.load` opens, without pickle.", ".safetensors", Path.read_bytes),
    *FORMS,
)  # fmt: skip
WORDS = {".safetensors": "Espalier", ".onnx": "ONNX", ".py": "Python source"}
WANTED = "levels-wanted"


def take_levels(run: str) -> None:
    """The card; looks again every second while a level is being written."""
    looking(_card, run, "levels-take", living_s=None)


def _card(run: str) -> None:
    row, view = row_of(run), view_of(run)
    count = len(config_of(row, view)["phases"][-1]["levels"])
    with theme.card(
        "Take a level away",
        "Each level leaves as an ordinary small network, compared with the level inside the nested one before it is offered.",
        key="levels-take",
    ):
        suffix = (
            st.segmented_control(
                "Form", list(WORDS), default=".safetensors", format_func=WORDS.__getitem__, key="levels-form"
            )
            or ".safetensors"
        )
        form = next(form for form in LEVEL_FORMS if form.suffix == suffix)
        st.caption(form.help)
        for level in range(count):
            _row(view, form, level, count)
        wanted = st.session_state.get(WANTED)
        if wanted and wanted[0] == run:
            _write(view, *wanted[1:])
        st.caption("By command, level 0 as an example; `--level` takes any, and the suffix names the form:")
        st.code(f"python -m core levels {run}\npython -m core extract {run} --level 0 -o core{suffix}", language="bash")


def _row(view: RunView, form: Form, level: int, count: int) -> None:
    left, right = st.columns([3, 2], vertical_alignment="center")
    file = place(view, level, form.suffix)
    told = written(view, file)
    name = f"level {level_name(level, count)}"
    with left:
        st.markdown(f"**{name}** · {_words(view, level)}" + (f"  \n:small[{_proof(told)}]" if told else ""))
    with right:
        if told is None:
            busy = st.session_state.get(WANTED) == (view.name, level, form.suffix)
            st.button(
                "Writing…" if busy else f"Prepare {name}", key=f"levels-make-{level}", icon=":material/build:", width="stretch", disabled=busy,
                on_click=lambda: st.session_state.update({WANTED: (view.name, level, form.suffix)}),
            )  # fmt: skip
        else:
            offer(
                f"Get {name}", file, read=form.read, file_name=f"{file.stem}{form.download}", key=f"levels-get-{level}",
                icon=":material/download:", type="primary",
            )  # fmt: skip


def _words(view: RunView, level: int) -> str:
    rows = (view.result or {}).get("levels")
    if not rows:
        return "as it stands at the newest checkpoint"
    row, full = rows[level], rows[-1]
    scattered = row["macs"] == full["macs"] and row["density"] < 1
    zeros = f" ({sentences.percent(row['density'])} of the weights not zero)" if scattered else ""
    return f"{sentences.amount(row['params'])} parameters{zeros}, {kilobytes(row['bytes'])}, {sentences.percent(row['accuracy']['test'], 1)} test"


def _proof(told: dict[str, Any]) -> str:
    found = told["certificate"]
    apart = (
        f", largest difference {sentences.scientific(found['max_rel'])} in double precision"
        if found["max_rel"] is not None
        else ""
    )
    return f"after epoch {told['epoch']}; removal: {found['verdict']}{apart}"


def _write(view: RunView, level: int, suffix: str) -> None:
    """Ask for the file; it is there when its note is."""
    file = place(view, level, suffix)
    if written(view, file) is None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if ask_now(view.name, "levels-take", "extract", level=level, output=str(file)) is None:
            if "levels-take" not in st.session_state[WAITING]:  # it cannot be: the reason stands above
                st.session_state.pop(WANTED, None)
            return
    st.session_state.pop(WANTED, None)
    wait("levels-take", False)
    st.rerun()


def place(view: RunView, level: int, suffix: str) -> Path:
    """Where a level of a run is written: a name that Python can import."""
    name = re.sub(r"\W", "_", view.name, flags=re.ASCII)
    return store().root / "forms" / view.name / f"level{level}_{name}{suffix}"


def written(view: RunView, file: Path) -> dict[str, Any] | None:
    """What is known of a written level; None if it is not there, or older than the last checkpoint of a run that has ended."""
    newest = max(view.folder.checkpoints.glob("[0-9]*.safetensors"), default=None)
    try:
        note = Path(f"{file}.json")
        older = newest is not None and note.stat().st_mtime < newest.stat().st_mtime
        if not file.exists() or (older and not is_living(row_of(view.name))):
            return None
        return json.loads(note.read_text())
    except (OSError, ValueError):
        return None
