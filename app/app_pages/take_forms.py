"""Take away: the compact network for other tools, an ONNX file or Python source, written and checked when asked for."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from app import sentences, theme
from app.guard import guarded
from app.offering import offer
from app.runs import RunView, store, view_of
from core.errors import WrongMoment
from core.runs.lane_client import ask


class Form(NamedTuple):
    """A form: the suffix of its file, what the buttons say, what a download is called, and its bytes."""

    suffix: str
    make: str
    get: str
    help: str
    download: str
    read: Callable[[Path], bytes]


def _script(file: Path) -> bytes:
    """The script and its weights, zipped."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in (file, file.with_suffix(".safetensors")):
            archive.write(part, part.name)
    return out.getvalue()


FORMS = (
    Form(".onnx", "Make ONNX file", "ONNX file", "For ONNX Runtime and other engines.", ".onnx", Path.read_bytes),
    Form(".py", "Make Python source", "Python source", "A readable file for torch alone, and its weights.", ".zip", _script),
)  # fmt: skip
WANTED = "form-wanted"


def forms(view: RunView) -> None:
    """The card; looks again every second while a form is being written."""
    with theme.card(
        "For other tools",
        "The same network as ONNX or as Python source; each is compared with the compact network before it is offered.",
        key="take-forms",
    ):
        waiting = st.session_state.get(WANTED, ("", ""))[0] == view.name
        st.fragment(_rows, run_every=1.0 if waiting else None)(view.name)


@guarded
def _rows(run: str) -> None:
    view = view_of(run)
    for form, column in zip(FORMS, st.columns(2), strict=True):
        with column:
            _row(view, form)
    name, suffix = st.session_state.get(WANTED, ("", ""))
    if name == run:
        _ask(view, suffix)


def _row(view: RunView, form: Form) -> None:
    file = place(view, form.suffix)
    told = made(view, file)
    if told is None:
        if st.button(form.make, key=f"make{form.suffix}", icon=":material/build:", width="stretch", help=form.help):
            st.session_state[WANTED] = (view.name, form.suffix)
            st.rerun()
        return
    offer(
        form.get,
        file,
        read=form.read,
        file_name=f"{file.stem}{form.download}",
        key=f"get{form.suffix}",
        icon=":material/download:",
        help=form.help,
    )
    st.caption(checked(told))


def _ask(view: RunView, suffix: str) -> None:
    try:
        with st.spinner("Writing and comparing it"):
            answer = ask(
                store().root, "form", folder=str(view.folder.path), output=str(place(view, suffix)), timeout_s=60
            )
    except WrongMoment:
        st.session_state.pop(WANTED, None)
        raise
    if answer is None:
        st.caption("The inference lane is waking up; it writes in a few seconds.")
    elif answer.get("busy"):
        st.caption("The inference lane is busy with another question; it writes next.")
    else:
        st.session_state.pop(WANTED, None)
        st.rerun()


def place(view: RunView, suffix: str) -> Path:
    """Where a form of a run is written: a name that Python can import."""
    name = "compact_" + re.sub(r"\W", "_", view.name, flags=re.ASCII)
    return store().root / "forms" / view.name / f"{name}{suffix}"


def made(view: RunView, file: Path) -> dict[str, Any] | None:
    """What was checked when the form was written; None if it is not there, or older than the compact network."""
    note = Path(f"{file}.json")
    try:
        if note.stat().st_mtime < view.folder.compact.stat().st_mtime or not file.exists():
            return None
        return json.loads(note.read_text())
    except (OSError, ValueError):
        return None


def checked(told: dict[str, Any]) -> str:
    """What was compared, in a sentence."""
    check = told["check"]
    if told["form"] == "Python source":
        return f"Imported again, it gives the compact network's own bits, for batches of {sentences.listing([str(n) for n in check['batches']])}."
    pairs = zip(check["batches"], check["sizes"], strict=True)
    inputs = sentences.listing([f"{sentences.plural(n, 'image')} of {' × '.join(map(str, size))}" for n, size in pairs])
    double, single = (sentences.scientific(check[f"float{bits}_max_rel"]) for bits in (64, 32))
    free = sentences.listing(next(iter(check["dynamic"].values())))
    fixed = f" Height and width are fixed: {check['fixed_size']}." if check["fixed_size"] else ""
    return (
        f"Compared on {inputs}: at most {double} of the output's scale apart in float64, {single} in float32 with ONNX "
        f"Runtime; the same top-1 for {sentences.percent(check['top1_agreement'])}. Free: {free}.{fixed}"
    )
