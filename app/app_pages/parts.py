"""What several pages show: the header of a run, its espalier, a chart with its sentence and its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from app import proof_words, theme
from app.app_pages.files import files
from app.asking import known
from app.components.espalier import espalier
from app.components.live_chart import live_chart
from app.espalier_data import died, espalier_data
from app.runs import RunView, methods_of, newest_run, row_of, view_of
from app.selection import select, selection
from app.talk.conditions import of_run
from app.talk.slide import Slide, brief
from core.networks.names import shown
from core.runs.recorded import DEMO, recorded
from core.runs.tables import Run

STATES = {
    "queued": "waits for a free slot", "starting": "is starting", "running": "is training", "paused": "is paused", "finished": "is finished",
    "stopped": "was stopped", "failed": "failed", "lost": "is lost: its process ended without a word",
}  # fmt: skip


def chosen_run() -> str | None:
    """The selected run; otherwise the newest; None where there is none of one's own yet."""
    run = selection().get("run")
    if run:
        return run
    return newest_run()


def run_or_invitation(what: str) -> tuple[Run | None, RunView] | None:
    """The selected run's row and records, or a page that says what would fill it, with the button that does."""
    run = chosen_run()
    if run is None:
        invitation(f"No run yet: {what} appears here as soon as one trains.")
        return None
    return row_of(run), records_of(run)


def records_of(run: str) -> RunView:
    """What the run recorded, for a page about it. DamagedFile where its whole folder is gone."""
    view = view_of(run)
    if not view.folder.path.is_dir():
        raise view.folder.lacks("a record")
    return view


def invitation(sentence: str) -> None:
    """An empty page with the two ways on."""
    with theme.card("Nothing here yet", sentence, key="invitation"):
        left, right, _ = st.columns([1, 1, 2])
        if left.button("Start a run", key="go-start", icon=":material/potted_plant:", type="primary", width="stretch"):
            st.switch_page(st.session_state["pages"]["start"])
        right.button(
            "Look at the recorded demo",
            key="go-demo",
            icon=":material/movie:",
            width="stretch",
            on_click=select,
            kwargs={"run": DEMO},
        )


def said() -> None:
    """What a callback had to say, once: a control that came too late, a run that cannot be deleted."""
    if text := st.session_state.pop("said", None):
        st.warning(f"{text[0].upper()}{text[1:]}", icon=":material/error:")


def header(row: Run | None, view: RunView) -> None:
    """Name, state, settings in a line, and the error of a run that ended badly."""
    if row is None:
        st.subheader(recorded()[view.name].title, anchor=False)
        st.caption(f"A real run of this program, recorded. {about(view.started.get('config', {}))}")
        return
    st.subheader(row.name or row.id, anchor=False)
    st.caption(
        f"{row.id} {STATES[row.state]}. {about(row.config)}" + (f" Attempt {row.attempt}." if row.attempt > 1 else "")
    )
    if row.state in ("failed", "lost") and row.error:
        st.error(f"{row.error[0].upper()}{row.error[1:]}", icon=":material/error:")


def about(config: dict[str, Any]) -> str:
    """Settings in one line."""
    if not config:
        return ""
    epochs = sum(p["epochs"] for p in config["phases"])
    return f"{shown(config['network'])} on {config['dataset']}, {methods_of(config)}, {epochs} epochs, batch {config['batch_size']}, seed {config['seed']}."


def clock(seconds: float) -> str:
    """`1 min 5 s` of 65."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def tree(view: RunView, *, key: str, follow: bool, playing: bool = False, ghost: dict[str, Any] | None = None) -> None:
    """The espalier of a run, linked to the selection; behind it, where given, another run as its `ghost`."""
    if not view.started or not len(view.alive):
        st.skeleton(height=260)
        return
    chosen = selection()
    shown = {k: v for k, v in chosen.items() if k != "epoch"} if follow else chosen
    data = espalier_data(
        view,
        selected=shown,
        follow=follow,
        playing=playing,
        whole=not follow,
        bands=(view.result or {}).get("bands") or (known(view.name, "nesting") or {}).get("bands"),
    ) | ({"ghost": ghost} if ghost else {})
    espalier(data, key=key, on_picked=lambda: _picked(key, follow), on_epoch=lambda: None if follow else _scrubbed(key))


def _scrubbed(key: str) -> None:
    """The epoch the view was scrubbed to becomes the selected one; None is the newest."""
    epoch = st.session_state[key].epoch
    select(epoch=None if epoch is None else int(epoch))


def _picked(key: str, follow: bool) -> None:
    """A click: its site and unit, and where the view does not follow the newest epoch, the epoch it stands at."""
    picked = st.session_state[key].picked
    if picked:
        epoch = {} if follow else {"epoch": picked.get("epoch")}
        select(site=picked.get("site"), unit=picked.get("unit"), **epoch)


def chart(
    title: str, spec: dict[str, Any], table: Callable[[], pd.DataFrame] | pd.DataFrame, *, key: str, height: int = 300, note: str = "",
    on_picked: Callable[[dict[str, Any]], None] | None = None, conditions: Callable[[], str] | None = None,
) -> None:  # fmt: skip
    """A figure in a card: its sentence above, its table and files behind. `on_picked` is given a click: {curve, x, y, customdata};
    `conditions`: what the numbers hold for, in lines, where that is not the selected run."""
    with st.container(border=True, key=f"card-{key}", height="stretch"):
        picking(spec, key=f"chart-{key}", height=height, on_picked=on_picked, title=title, note=note)
        table_behind(table, key=f"table-{key}", figure=(title, spec), conditions=conditions)


def table_behind(
    table: Callable[[], pd.DataFrame] | pd.DataFrame,
    *,
    key: str,
    config: dict[str, Any] | None = None,
    label: str = "",
    note: str = "",
    figure: tuple[str, dict[str, Any] | Callable[[], dict[str, Any]]] | None = None,
    conditions: Callable[[], str] | None = None,
    slide: Callable[[], Slide] | None = None,
) -> None:
    """The numbers of a figure and a note on them behind a button; made, and sent, only when it is pressed. With `figure` (title, spec or what
    makes it) or its `slide`, also as files; `conditions`: what the figure's numbers hold for, in lines, where that is not the selected run."""
    behind = st.popover(
        label or ("Table and files" if figure or slide else "Table"),
        type="tertiary",
        icon=":material/table:",
        key=f"{key}-behind",
        on_change="rerun",
    )
    if not behind.open:
        return
    with behind:
        rows = table() if callable(table) else table
        hidden = rows.index.name is None and isinstance(rows.index, pd.RangeIndex)
        st.dataframe(rows, hide_index=hidden, key=key, column_config=config, width="content")
        if note:
            st.caption(note)
        if figure:
            title, spec = figure[0], figure[1]() if callable(figure[1]) else figure[1]
            about = (conditions or of_selected_run)()
            files(
                Slide(key, title, brief(spec["alt"]), about, f"{spec['alt']}\n{note}".strip(), figure=spec),
                key=key,
                table=rows,
            )
        elif slide:
            files(slide(), key=key, table=rows)


def of_selected_run() -> str:
    """The conditions of the selected run's numbers."""
    run = chosen_run()
    return of_run(view_of(run)) if run else ""


def picking(
    spec: dict[str, Any], *, key: str, height: int, on_picked: Callable[[dict[str, Any]], None] | None = None,
    title: str = "", note: str = "",
) -> None:  # fmt: skip
    """A figure; `on_picked` is given each click on it."""

    def picked() -> None:
        click = st.session_state[key].picked
        if click and on_picked:
            on_picked(click)

    live_chart(spec, key=key, height=height, on_picked=picked, title=title, note=note)


def selected_site(view: RunView) -> str | None:
    """The selected site where values of it are recorded; else the one that lost most; None where there is none."""
    known = [s["site"] for s in view.sites]
    wanted = selection().get("site")
    if wanted in known:
        return wanted
    return view.thinnest()


def warn_if_empty(view: RunView) -> None:
    """A warning above the numbers of a run whose network computes nothing any more."""
    if proof_words.is_empty(view.result):
        st.warning(proof_words.EMPTY, icon=":material/potted_plant:")


def short(site: str) -> str:
    """`1.1 conv1` of `stage1.0.conv1/filter`, and of `features.stage1.0.conv1/filter`."""
    path, _, kind = site.removeprefix("features.").partition("/")
    parts = path.split(".")
    more = "" if kind in ("", "filter", "neuron") else f" {kind}"
    if parts[0].startswith("stage") and len(parts) > 1 and parts[1].isdigit():
        block = f"{parts[0].removeprefix('stage')}.{int(parts[1]) + 1}"
        return f"{block} {kind}" if len(parts) == 2 else f"{block} {'.'.join(parts[2:])}{more}"
    return f"{path}{more}"


def stage_rows(view: RunView) -> list[tuple[str, int]]:
    """(stage, number of rows) of the survival table, from the top."""
    rows: list[tuple[str, int]] = []
    for site in view.survival().index:
        stage = next((s["name"] for s in view.layout["stages"] if str(site).startswith(f"{s['path']}.")), "")
        if rows and rows[-1][0] == stage:
            rows[-1] = (stage, rows[-1][1] + 1)
        else:
            rows.append((stage, 1))
    return rows


def stage_shares(view: RunView) -> tuple[pd.DataFrame, str]:
    """Share alive, epochs x stages, and of what: filters (neurons among them), or conv groups where those alone are learned."""
    kinds = {s["kind"] for s in view.sites if view.learns(s["site"])}
    counted = ("group",) if "group" in kinds and "filter" not in kinds else ("filter", "neuron")
    counts, totals = view.counts(), {s["site"]: s["total"] for s in view.sites if s["kind"] in counted}
    columns = {}
    for stage in view.layout["stages"]:
        sites = [s for s in totals if s.startswith(f"{stage['path']}.")]
        if sites:
            columns[stage["name"]] = counts.loc[sites].sum() / sum(totals[s] for s in sites)
    return pd.DataFrame(columns), "conv groups" if counted == ("group",) else "filters"


def block_deaths(view: RunView) -> list[dict[str, Any]]:
    """{label, epoch, stage} of every block that is dead now, at the epoch it died for good."""
    counts, deaths = view.counts(), []
    for stage in view.layout["stages"]:
        for block in stage["blocks"]:
            site = block["block_site"]
            if site in counts.index and (epoch := died(counts.loc[site].to_numpy())) is not None:
                deaths.append({"label": block["label"], "epoch": epoch, "stage": stage["name"]})
    return deaths
