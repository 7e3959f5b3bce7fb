"""Inspect: the cut, towards a target or of exact zeros alone, its certificate and its price, and the files to take away."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import inspect_charts, jobs, proof_words, sentences, theme
from app.app_pages import parts, run_tiles
from app.app_pages.inspecting_bring import Brought
from app.app_pages.take_forms import FORMS, Form, checked
from app.asking import BUSY, WAKING
from app.guard import guarded
from app.inspect_words import accuracy_note, cut_rows, cut_sentence
from app.offering import offer
from app.runs import store
from core.errors import WrongMoment
from core.runs.folder import write_atomically
from core.runs.lane_client import ask

BATCH = 32  # images a batch when it is timed
AIMS = {"zeros": "Exact zeros", "macs": "MACs", "params": "Parameters", "ms": "Milliseconds", "weak": "Weak units"}  # fmt: skip
IMPORTANCE = {
    "l1": "l1: sum of absolute weights (Li et al., 2017)", "l2": "l2: Euclidean norm (Wen et al., 2016)",
    "scale": "scale: of the batch norm behind (Liu et al., 2017)", "effect": "effect: norm as the batch norm lets it through",
}  # fmt: skip
WANTED = "inspect-form"
MEASURE = "cut-measure-kept"  # the toggle is not drawn while a cut is made, and would forget


def cut_card(found: Brought, look: dict[str, Any]) -> None:
    """The choice of a cut, the wait for it, and every cut made of this network so far."""
    with theme.card(
        "Cut it",
        "Exact zeros leave for free. Anything more is chosen by importance: the removal is proved, and its price is the accuracy.",
        key="inspect-cut",
    ):
        options = _aim(look)
        place = found.folder / f"cut-{hashlib.sha256(json.dumps(options).encode()).hexdigest()[:10]}"
        job = f"cut {found.key} {place.name}"
        st.fragment(guarded(_make), run_every=1.0 if jobs.begun(job) else None)(found, options, place, job)
    cut = cut_in(place)
    if cut is not None:
        _result(found, look, cut, place)
    _so_far(found, place)


def _aim(look: dict[str, Any]) -> tuple[str, ...]:
    """The options of `cut` that a person chose."""
    aim = st.segmented_control(
        "How far", list(AIMS), default="macs", format_func=AIMS.__getitem__, key="cut-aim", required=True, bind="query-params"
    )  # fmt: skip
    if aim == "zeros":
        return ()
    middle, right = st.columns([3, 2], vertical_alignment="top")
    with middle:
        if aim == "ms":
            now = look.get("speed", {}).get("dense_ms")
            known = f" A batch of {BATCH} takes {sentences.milliseconds(now)} now; one input less." if now else ""
            limit = st.number_input(
                "At most, in ms, for one input", 0.05, 10_000.0, 5.0, key="cut-ms", bind="query-params",
                help=f"The median on this machine, as it is now; found by trying.{known}",
            )  # fmt: skip
            target = f"ms={limit:g}"
        elif aim == "weak":
            share = st.slider(
                "Units go up to this share of their layer's mean importance", 1, 60, 10, 1, format="%d %%", key="cut-weak", bind="query-params"
            )  # fmt: skip
            target = f"{share / 100:g}"
        else:
            percent = st.slider(
                f"Share of the {'MACs' if aim == 'macs' else 'parameters'} that may remain", 5, 95, 60, 5, format="%d %%",
                key=f"cut-{aim}", bind="query-params",
            )  # fmt: skip
            target = f"{aim}={percent / 100:g}"
    importance = right.selectbox(
        "What matters is told by", list(IMPORTANCE), format_func=IMPORTANCE.__getitem__, key="cut-importance", bind="query-params"
    )  # fmt: skip
    return ("--threshold" if aim == "weak" else "--target", target, "--importance", importance)


def _make(found: Brought, options: tuple[str, ...], place: Path, job: str) -> None:
    left, middle, right = st.columns([3, 4, 7], vertical_alignment="center")
    if jobs.at_work(job) is not None:
        left.button("Cutting…", key="cut", disabled=True, icon=":material/content_cut:", width="stretch")
        right.caption(
            "Planning, cutting, proving in double precision, timing, asking the test images before and after."
        )
        return
    if jobs.begun(job):
        document = jobs.take(job)
        if document is not None:
            write_atomically(place / "cut.json", json.dumps(document))
        st.rerun()
    if failed := jobs.failure(job):
        st.error(f"{failed[0].upper()}{failed[1:]}", icon=":material/error:")
    measure = middle.toggle("Measure the speed", value=st.session_state.get(MEASURE, True), key="cut-measure", on_change=_keep_choice, help=f"Dense against compact on this machine, in batches of {BATCH}; a few seconds.")  # fmt: skip
    done = cut_in(place) is not None
    if left.button("Cut again" if done else "Cut", key="cut", icon=":material/content_cut:", type="secondary" if done else "primary", width="stretch"):  # fmt: skip
        place.mkdir(parents=True, exist_ok=True)
        output = place / f"compact_{re.sub(r'[^A-Za-z0-9]+', '_', Path(found.name).stem)}.safetensors"
        more = ("--measure", str(BATCH)) if measure else ()
        jobs.start(job, "cut", found.source, *found.options, *options, *more, "-o", str(output), "--runs", str(store().root))  # fmt: skip
        st.rerun()
    with right.popover("By command", type="tertiary", icon=":material/terminal:"):
        st.code(found.command("cut", *options, "-o", "compact.safetensors"), language="bash")


def _keep_choice() -> None:
    st.session_state[MEASURE] = st.session_state["cut-measure"]


def cut_in(place: Path) -> dict[str, Any] | None:
    """The document of a cut whose file is still there."""
    try:
        document = json.loads((place / "cut.json").read_text())
        return document if Path(document["file"]).is_file() else None
    except (OSError, ValueError, KeyError):
        return None


def _result(found: Brought, look: dict[str, Any], cut: dict[str, Any], place: Path) -> None:
    left, right = st.columns([5, 4])
    rows = cut_rows(cut, look)
    with left:
        spec = inspect_charts.layers_left(rows, _where(rows))
        parts.chart("Where it was cut", spec, rows.round(4), key="inspect-cut-layers", height=max(240, 19 * min(inspect_charts.AT_MOST, len(rows)) + 100), conditions=lambda: f"{found.name}: {cut_sentence(cut)}")  # fmt: skip
    with right:
        with theme.card("The cut", cut_sentence(cut), key="inspect-result"):
            theme.kpi_row(_tiles(cut))
            st.caption(proof_words.certificate(cut["certificate"]))
            with st.expander("Certificate, number by number", icon=":material/verified:"):
                st.dataframe(pd.DataFrame(proof_words.certificate_rows(cut["certificate"])), hide_index=True, key="inspect-certificate")  # fmt: skip
        _take(cut, place)


def _where(rows: pd.DataFrame) -> str:
    """How many units were cut, and which layer lost most of its own."""
    gone, units = int(rows["leave"].sum()), int(rows["units"].sum())
    if not gone:
        return f"None of {sentences.plural(units, 'unit')} was cut."
    worst = rows.loc[rows["stay"].idxmin()]
    return f"{gone} of {sentences.plural(units, 'unit')} were cut, most from {worst['layer']} ({int(worst['leave'])} of {int(worst['units'])})."


def _tiles(cut: dict[str, Any]) -> list[tuple[str, str, str]]:
    macs, params, proof = cut["macs"], cut["params"], cut["certificate"]
    tiles = [
        ("MACs left", sentences.percent(macs["compact"] / macs["dense"]), f"{sentences.amount(macs['compact'])} of {sentences.amount(macs['dense'])}, batch 1"),
        ("parameters left", sentences.percent(params["compact"] / params["dense"]), f"{sentences.amount(params['compact'])} of {sentences.amount(params['dense'])}"),
        ("removal", proof_words.VERDICTS[proof["verdict"]], "against the masked network" if proof["reference"] == "masked" else "against the network as it was"),
    ]  # fmt: skip
    if "accuracy" in cut:
        share = cut["accuracy"]["compact"]
        note = f"before {sentences.percent(cut['accuracy']['dense'], 1)}; {accuracy_note(share, cut['test_images'])}"
        tiles.append(("accuracy after", sentences.percent(share, 1), note))
    elif proof["reference"] == "masked":
        tiles.append(("accuracy after", "not known", "exact says that the removal is right, not that it is free"))
    if "milliseconds" in cut:
        one = cut["milliseconds"]
        tiles.append(
            (
                "one input",
                sentences.milliseconds(one["compact"]),
                f"median; before {sentences.milliseconds(one['dense'])}; asked for at most {sentences.milliseconds(one['limit'])}",
            )
        )
    if "speed" in cut:
        tiles.append(run_tiles.speed_tile(cut["speed"], macs["compact"]))
    return tiles


# take it away


def _take(cut: dict[str, Any], place: Path) -> None:
    file = Path(cut["file"])
    with theme.card(
        "Take it away", "An ordinary small network, with its certificate inside; no pickle.", key="inspect-take"
    ):
        left, right = st.columns(2)
        with left:
            offer(
                "Compact network", file, file_name=file.name, key="get-cut", icon=":material/download:", type="primary"
            )
        right.download_button("Certificate", json.dumps(cut["certificate"], indent=1), file_name=f"{file.stem}-certificate.json", mime="application/json", key="get-cut-certificate", icon=":material/verified:", width="stretch")  # fmt: skip
        waiting = st.session_state.get(WANTED, ("", ""))[0] == place.name
        st.fragment(guarded(_forms), run_every=1.0 if waiting else None)(file, cut["input"], place.name)
        st.code(f'from core.structure import load\n\nnetwork = load("{file.name}")', language="python")
        if scale := cut.get("normalised"):
            st.caption(sentences.normalised(scale["mean"], scale["std"]))


def _forms(file: Path, shape: list[int], name: str) -> None:
    """ONNX and Python source, written and compared when asked for."""
    for form, column in zip(FORMS, st.columns(2), strict=True):
        with column:
            _form(file, form, name)
    wanted = st.session_state.get(WANTED, ("", ""))
    if wanted[0] != name:
        return
    output = place_of(file, wanted[1])
    output.parent.mkdir(exist_ok=True)
    try:
        told = ask(store().root, "reshape", file=str(file), output=str(output), shape=shape, timeout_s=20.0)
    except WrongMoment:
        st.session_state.pop(WANTED, None)
        raise
    if told is None or told.get("busy"):
        st.caption(WAKING if told is None else BUSY)
        return
    st.session_state.pop(WANTED, None)
    st.rerun()


def _form(file: Path, form: Form, name: str) -> None:
    output = place_of(file, form.suffix)
    note = Path(f"{output}.json")
    if output.exists() and note.exists() and note.stat().st_mtime >= file.stat().st_mtime:
        offer(form.get, output, read=form.read, file_name=f"{output.stem}{form.download}", key=f"get-cut{form.suffix}", icon=":material/download:", help=form.help)  # fmt: skip
        st.caption(checked(json.loads(note.read_text())))
    elif st.button(form.make, key=f"make-cut{form.suffix}", icon=":material/build:", width="stretch", help=form.help):
        st.session_state[WANTED] = (name, form.suffix)
        st.rerun()


def place_of(file: Path, suffix: str) -> Path:
    """Where a form of a cut is written: a folder of its own, as Python source keeps its weights beside it."""
    return file.parent / suffix.removeprefix(".") / f"{file.stem}{suffix}"


def _so_far(found: Brought, now: Path) -> None:
    """Every cut made of this network, beside each other; nothing where there is at most one."""
    cuts = [(place, cut) for place in sorted(found.folder.glob("cut-*")) if (cut := cut_in(place)) is not None]
    if len(cuts) < 2:
        return
    rows = [
        {"shown": "●" if place == now else "", "MACs left": cut["macs"]["compact"] / cut["macs"]["dense"], "parameters left": cut["params"]["compact"] / cut["params"]["dense"],
         "accuracy": cut.get("accuracy", {}).get("compact"), "measured ×": cut.get("speed", {}).get("measured"), "removal": cut["certificate"]["verdict"]}
        for place, cut in cuts
    ]  # fmt: skip
    table = pd.DataFrame(rows).sort_values("MACs left", ascending=False).dropna(axis=1, how="all")
    with theme.card("Cuts so far", f"{len(cuts)} cuts of this network, from the gentlest.", key="inspect-cuts"):
        share = st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")
        st.dataframe(table, hide_index=True, key="inspect-cut-rows", column_config={"MACs left": share, "parameters left": share, "accuracy": st.column_config.NumberColumn(format="percent"), "measured ×": st.column_config.NumberColumn(format="%.2f", help=f"times as fast as dense, median of interleaved pairs, batch {BATCH}, on this machine")})  # fmt: skip
