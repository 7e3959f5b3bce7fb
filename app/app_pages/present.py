"""Present: the slides that a run or a comparison has to tell, arranged by a person, shown over the whole screen, and taken along as files."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from app import jobs, theme
from app.app_pages import parts
from app.app_pages.files import LOOKS, files, made_by, named
from app.components.live_chart import plotly_loader
from app.components.talk import talk
from app.glossary import glossary_row
from app.guard import guarded
from app.runs import is_living
from app.talk import sources
from app.talk.slide import Slide, arranged
from core.networks.names import shown

WHOLE, AT, ORDER, TITLES, KIND = "present", "slide", "slides", "titles", "talk"
KINDS = {"run": "This run", "comparison": "All runs of its network and data set"}
TALK = "the-talk"
FORMS = (
    ("pptx", "PowerPoint", ":material/slideshow:"),
    ("html", "HTML story", ":material/language:"),
    ("pdf", "PDF", ":material/picture_as_pdf:"),
)


def page() -> None:
    """The talk of the selected run, or of its comparison."""
    plotly_loader(key="plotly-loader-present")
    found = parts.run_or_invitation("a talk about it")
    if found is None:
        return
    row, view = found
    parts.header(row, view)
    if not view.epochs:
        st.caption("Nothing is recorded yet; the first slides come within a few seconds of the start.")
        return
    if is_living(row):
        st.caption(
            "It is still training: the talk tells what is recorded by now, and is made anew whenever the page is."
        )
    config = view.started["config"]
    with st.container(horizontal=True, gap="medium"):
        kind = st.segmented_control(
            "About", list(KINDS), default="run", key=KIND, format_func=KINDS.__getitem__, required=True, bind="query-params"
        )  # fmt: skip
        look = st.segmented_control("Look", list(LOOKS), default="light", key="talk-look", format_func=LOOKS.__getitem__, required=True, bind="query-params")  # fmt: skip
    proposed = (
        sources.of_comparison(config["network"], config["dataset"])
        if kind == "comparison"
        else sources.of_run(view.name)
    )
    topic = f"{kind}:{view.name if kind == 'run' else (config['network'], config['dataset'])}"
    slides = arranged(proposed, _order(topic), _titles(topic))
    _show(slides, str(look or "light"))
    left, right = st.columns([3, 2])
    with left:
        _arrange(proposed, slides, topic)
    with right:
        _take(
            slides,
            str(look or "light"),
            f"{shown(config['network'])} on {config['dataset']}" if kind == "comparison" else view.name,
        )
    glossary_row("MAC", "certificate", "exact", "measured speed", "seed", "dense control", "epoch")


# The talk's own state is in the address, and, when a page change has cleared that, kept here for each topic.


def _kept(topic: str) -> dict[str, Any]:
    return st.session_state.setdefault("talks", {}).setdefault(topic, {})


def _order(topic: str) -> list[str]:
    """The names of the slides in a person's own order; empty: as proposed."""
    kept = _kept(topic)
    if ORDER in st.query_params and "order" not in kept:
        kept["order"] = [name for name in st.query_params[ORDER].split(",") if name]
    return kept.get("order", [])


def _titles(topic: str) -> dict[str, str]:
    """A person's own titles, by slide."""
    kept = _kept(topic)
    if TITLES in st.query_params and "titles" not in kept:
        try:
            told = json.loads(st.query_params[TITLES])
            kept["titles"] = (
                {str(key): str(title)[:80] for key, title in told.items()} if isinstance(told, dict) else {}
            )
        except ValueError:
            kept["titles"] = {}
    return kept.get("titles", {})


def _keep(topic: str, order: list[str], titles: dict[str, str]) -> None:
    kept = _kept(topic)
    kept["order"], kept["titles"] = order, titles
    st.query_params[ORDER] = ",".join(order)
    if titles:
        st.query_params[TITLES] = json.dumps(titles, ensure_ascii=False)
    elif TITLES in st.query_params:
        del st.query_params[TITLES]


def _at(slides: list[Slide]) -> int:
    """The slide that the address names, from 0."""
    text = st.query_params.get(AT, "1")
    return min(max(1, int(text)), len(slides)) - 1 if text.isdigit() else 0


def _show(slides: list[Slide], look: str) -> None:
    """The slides in place, and the button that fills the screen with them."""
    whole = st.query_params.get(WHOLE) == "1"
    with theme.card(
        "The talk",
        f"{len(slides)} slides; arrow keys walk, space plays a tree, F fills the screen, Escape comes back here.",
        key="talk",
    ):
        st.button("Present", key="start-talk", icon=":material/slideshow:", type="primary", on_click=_present)
        talk(
            slides,
            key=TALK,
            at=_at(slides),
            present=whole,
            look=look,
            on_at=_walked,
            on_entered=_entered,
            on_left=_left,
        )


def _present() -> None:
    st.query_params[WHOLE] = "1"
    st.query_params.setdefault(AT, "1")


def _entered() -> None:
    st.query_params[WHOLE] = "1"
    st.query_params[AT] = str(int(st.session_state[TALK].entered) + 1)


def _walked() -> None:
    st.query_params[AT] = str(int(st.session_state[TALK].at) + 1)


def _left() -> None:
    st.query_params.pop(WHOLE, None)
    if (at := st.session_state[TALK].left) is not None:
        st.query_params[AT] = str(int(at) + 1)


def _arrange(proposed: list[Slide], slides: list[Slide], topic: str) -> None:
    """A row for each slide: its title to change, up, down, out; those left out below, to take back."""
    order = [slide.key for slide in slides]
    with theme.card(
        "Arrange",
        "Change a title, move a slide, leave one out; the address keeps it, so that a link opens the same talk.",
        key="arrange",
    ):
        for place, slide in enumerate(slides):
            with st.container(horizontal=True, vertical_alignment="bottom", key=f"row-{slide.key}"):
                st.text_input(
                    f"Slide {place + 1}", value=slide.title, key=f"title-{topic}-{slide.key}", max_chars=80, on_change=_retitle, args=(topic, order, slide.key)
                )  # fmt: skip
                st.button("Up", key=f"up-{slide.key}", icon=":material/arrow_upward:", type="tertiary", disabled=place == 0, on_click=_move, args=(topic, order, place, -1), help=f"Move slide {place + 1} up")  # fmt: skip
                st.button("Down", key=f"down-{slide.key}", icon=":material/arrow_downward:", type="tertiary", disabled=place == len(slides) - 1, on_click=_move, args=(topic, order, place, 1), help=f"Move slide {place + 1} down")  # fmt: skip
                st.button("Leave out", key=f"drop-{slide.key}", icon=":material/close:", type="tertiary", disabled=len(slides) == 1, on_click=_reorder, args=(topic, [key for key in order if key != slide.key]))  # fmt: skip
        gone = [slide for slide in proposed if slide.key not in order]
        if gone:
            with st.container(horizontal=True, key="gone"):
                for slide in gone:
                    st.button(f"Take back: {slide.title}", key=f"back-{slide.key}", icon=":material/add:", on_click=_reorder, args=(topic, [*order, slide.key]))  # fmt: skip


def _retitle(topic: str, order: list[str], key: str) -> None:
    titles = {**_titles(topic), key: st.session_state[f"title-{topic}-{key}"].strip()}
    _keep(topic, order, {name: title for name, title in titles.items() if title})


def _reorder(topic: str, order: list[str]) -> None:
    _keep(topic, order, _titles(topic))


def _move(topic: str, order: list[str], place: int, by: int) -> None:
    moved = list(order)
    moved[place], moved[place + by] = moved[place + by], moved[place]
    _keep(topic, moved, _titles(topic))


def _take(slides: list[Slide], look: str, name: str) -> None:
    """The whole talk as files, and one slide as a picture."""
    with theme.card(
        "Take it along", "Each opens without a network; conditions and citations are in it.", key="take-talk"
    ):
        st.fragment(_talk_files, run_every=1.0 if any(jobs.begun(f"talk-{form}") for form, _, _ in FORMS) else None)(
            slides, look, f"talk-{named(name)}"
        )
        st.caption(
            "PowerPoint: titles, sentences and trade-offs to edit, notes with all conditions. HTML story: one file, arrow keys, prints a slide a page. "
            "By command: `python -m app.talk RUN -o talk.pptx`."
        )
        number = st.selectbox(
            "One slide", range(len(slides)), format_func=lambda k: f"{k + 1}. {slides[k].title}", key="one-slide"
        )
        files(slides[number or 0], key="slide-files")


@guarded
def _talk_files(slides: list[Slide], look: str, name: str) -> None:
    with st.container(horizontal=True):
        for form, label, icon in FORMS:
            made_by(
                f"talk-{form}",
                label,
                lambda: slides,
                f"{name}.{form}",
                ("--dark",) if look == "dark" and form != "pptx" else (),
                icon,
            )
