"""A figure as files: CSV and HTML at once, PNG, SVG and PDF by a browser without a window, in a process of its own."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import jobs
from app.components.figure_parts import figure_html
from app.components.talk import talk_html
from app.guard import guarded
from app.talk.slide import Slide, write

SIZES = {"slide": "For a slide", "column": "For a paper's column"}
LOOKS = {"light": "Light", "dark": "Dark"}
KINDS = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation", "html": "text/html"}  # fmt: skip
MADE = "files-made"
"""Session state: of each figure or talk the newest file that a job wrote, by the job's key: (name, bytes, what it is of)."""
MOST = 16 << 20  # bytes of made files that a session keeps: the newest; an older one is made again when it is asked for


def files(slide: Slide, *, key: str, table: pd.DataFrame | None = None) -> None:
    """The buttons of a figure; where a job is at work they look again every second."""
    waiting = any(jobs.begun(_job(key, kind)) for kind in ("png", "svg", "pdf"))
    st.fragment(_buttons, run_every=1.0 if waiting else None)(slide, key, table)


@guarded
def _buttons(slide: Slide, key: str, table: pd.DataFrame | None) -> None:
    with st.container(horizontal=True, gap="medium"):
        size = _choice("Size", SIZES, f"{key}-size")
        look = _choice("Look", LOOKS, f"{key}-look")
    name = named(slide.title)
    with st.container(horizontal=True):
        if table is not None:
            st.download_button(
                "CSV",
                csv(slide, table),
                file_name=f"{name}.csv",
                mime="text/csv",
                key=f"{key}-csv",
                icon=":material/table:",
            )
        st.download_button(
            "HTML", _html(slide, look), file_name=f"{name}.html", mime=KINDS["html"], key=f"{key}-html", icon=":material/language:",
            help="One file; opens from disk, without a network.",
        )  # fmt: skip
        for kind in ("png", "svg", "pdf"):
            made_by(
                _job(key, kind),
                kind.upper(),
                lambda: [slide],
                f"{name}.{kind}",
                ("--size", size, *(("--dark",) if look == "dark" else ())),
            )


@guarded
def made_by(
    job: str,
    label: str,
    slides: Callable[[], list[Slide]],
    name: str,
    options: tuple[str, ...] = (),
    icon: str = ":material/image:",
) -> None:
    """A button that has a file made; while it is made, that; and when it is there and of these very slides, the button that saves it."""
    failed = jobs.failure(job)
    if jobs.at_work(job) is not None:
        st.button(f"{label}…", key=f"{job}-busy", icon=":material/hourglass_top:", disabled=True)
        return
    if jobs.begun(job):
        if (document := jobs.take(job)) is not None:
            _keep(job, (name, Path(document["file"]).read_bytes(), st.session_state[f"{job}-wanted"]))
        shutil.rmtree(st.session_state.pop(f"{job}-folder"), ignore_errors=True)
        st.rerun()
    kept = st.session_state.get(MADE, {}).get(job)
    if kept and kept[2] == _mark(slides(), options):
        st.download_button(
            f"Save {label}", kept[1], file_name=name, mime=KINDS[Path(name).suffix[1:]], key=f"{job}-get", icon=":material/download:", type="primary"
        )  # fmt: skip
        return
    if st.button(label, key=f"{job}-make", icon=icon):
        now = slides()
        st.session_state[f"{job}-wanted"] = _mark(now, options)
        folder = st.session_state[f"{job}-folder"] = Path(tempfile.mkdtemp(prefix="espalier-"))
        jobs.start(
            job,
            str(write(now, folder / "slides.json")),
            "-o",
            str(folder / f"made{Path(name).suffix}"),
            *options,
            module="app.talk",
        )
        st.rerun()
    if failed:
        st.error(f"{failed[0].upper()}{failed[1:]}", icon=":material/error:")


def _keep(job: str, made: tuple[str, bytes, int]) -> None:
    """Keep a file as the newest, and as many before it as there is room for."""
    files = st.session_state.setdefault(MADE, {})
    files.pop(job, None)
    files[job] = made
    while sum(len(content) for _, content, _ in files.values()) > MOST and len(files) > 1:
        files.pop(next(iter(files)))


def _mark(slides: list[Slide], options: tuple[str, ...]) -> int:
    """What a file was made of, to tell whether it still holds."""
    return hash((tuple(map(str, slides)), options))


def csv(slide: Slide, table: pd.DataFrame) -> str:
    """The numbers, with title, sentence, conditions and citations in lines that begin with #."""
    said = dict.fromkeys([slide.title, slide.sentence, *slide.footer.splitlines(), *slide.notes.splitlines()])
    plain = table.index.name is None and isinstance(table.index, pd.RangeIndex)
    return "".join(f"# {line}\n" for line in said if line) + table.to_csv(index=not plain)


def named(title: str) -> str:
    """A title as the name of a file."""
    return re.sub(r"[^\w-]+", "-", title).strip("-").lower()[:60] or "figure"


def _job(key: str, kind: str) -> str:
    return f"files-{key}-{kind}"


def _choice(label: str, options: dict[str, str], key: str) -> str:
    got = st.segmented_control(
        label, list(options), default=next(iter(options)), format_func=options.__getitem__, key=key, required=True
    )
    return got if got in options else next(iter(options))


def _html(slide: Slide, look: str) -> bytes:
    """One slide as an HTML file; kept between looks while it does not change."""
    kept: dict[str, tuple[Any, bytes]] = st.session_state.setdefault("files-html", {})
    wanted = (hash(str(slide)), look)
    if kept.get("newest", (None, b""))[0] != wanted:
        alt = (slide.figure or {}).get("alt")
        told = "\n".join(
            line for line in dict.fromkeys([*slide.footer.splitlines(), *slide.notes.splitlines()]) if line != alt
        )
        page = figure_html(slide.figure, slide.title, told) if slide.figure else talk_html([slide], slide.title, look)
        kept["newest"] = (wanted, page.encode())
    return kept["newest"][1]
