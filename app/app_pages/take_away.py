"""Take away: the compact network, its certificate, the numbers, the figures."""

from __future__ import annotations

import io
import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import charts, sentences, speed_charts, theme
from app.app_pages import parts, run_tiles
from app.app_pages.beside_paper import beside_paper
from app.app_pages.files import files
from app.app_pages.structure_layers import layer_table
from app.app_pages.take_forms import forms
from app.asking import known
from app.components.espalier import standalone_html
from app.components.figure_parts import figure_html
from app.espalier_data import espalier_data, newest_sentence
from app.glossary import glossary_row
from app.offering import offer
from app.runs import RunView
from app.selection import selection
from app.talk.conditions import of_run
from app.talk.slide import Slide, brief
from app.talk.story import tree_of
from core.data.names import DATASETS
from core.runs.tables import Run

LOAD = """from core.structure import load

# a plain torch network, no pickle
network = load("{name}")
# images: (N, {shape}), as said above
answer = network(images)
"""


def page() -> None:
    """The selected run's results as files."""
    found = parts.run_or_invitation("what a run leaves to take away")
    if found is None:
        return
    row, view = found
    parts.header(row, view)
    if not view.epochs:
        st.caption("Nothing is recorded yet; the first numbers come within a few seconds of the start.")
        return
    left, right = st.columns(2)
    with left:
        _network(row, view)
        _numbers(view)
    with right:
        if view.result is not None and view.folder.compact.exists():
            forms(view)
        _figures(view)
        _folder(view)
    beside_paper(row, view)
    glossary_row("compact", "certificate", "exact", "MAC", "parameter", "epoch")


def _network(row: Run | None, view: RunView) -> None:
    result, file = view.result, view.folder.compact
    sentence = run_tiles.proof(view) if result else "Not cut yet: the compact network is written when training ends."
    with theme.card("The compact network", sentence, key="take-network"):
        if result is None or not file.exists():
            command = f"python -m core compact {view.name} -o compact.safetensors"
            st.markdown("A run that ended early can be cut at its newest checkpoint from the command line:")
            st.code(command, language="bash")
            return
        macs, params = result["macs_per_image"], result["params"]
        st.markdown(
            f"{sentences.amount(params['compact'])} of {sentences.amount(params['dense'])} parameters, "
            f"{sentences.amount(macs['compact'])} of {sentences.amount(macs['dense'])} MACs per image, {file.stat().st_size / 1024:.0f} KiB."
        )
        name = f"{view.name}-compact.safetensors"
        one, two = st.columns(2)
        with one:
            offer(
                "Compact network",
                file,
                file_name=name,
                mime="application/octet-stream",
                key="get-compact",
                icon=":material/download:",
                type="primary",
            )
        two.download_button(
            "Certificate",
            json.dumps(result["certificate"], indent=1),
            file_name=f"{view.name}-certificate.json",
            mime="application/json",
            key="get-certificate",
            icon=":material/verified:",
            width="stretch",
        )
        data = view.started.get("data") or {}
        shape = data.get("shape") or DATASETS[view.started["config"]["dataset"]].shape
        st.caption(f"To use it, in the Espalier folder with its environment active. {normalisation(view)}")
        st.code(LOAD.format(name=name, shape=", ".join(str(n) for n in shape)), language="python")


def normalisation(view: RunView) -> str:
    """How images must be prepared, in a sentence; empty for runs recorded before it was kept."""
    data = view.started.get("data") or {}
    if not data:
        return ""
    return sentences.normalised(data["mean"], data["std"])


def _numbers(view: RunView) -> None:
    table = view.table()
    with theme.card(
        "The numbers",
        f"{sentences.plural(len(table), 'row')}, one an epoch; every layer; every unit of every epoch.",
        key="take-numbers",
    ):
        one, two, three = st.columns(3)
        one.download_button(
            "Epochs (CSV)",
            table.to_csv(index=False),
            file_name=f"{view.name}-epochs.csv",
            mime="text/csv",
            key="get-epochs",
            icon=":material/table:",
            width="stretch",
        )
        layers = layer_table(view, view.newest_epoch).drop(columns=["alive over epochs", "dead"])
        two.download_button(
            "Layers (CSV)",
            layers.to_csv(index=False),
            file_name=f"{view.name}-layers.csv",
            mime="text/csv",
            key="get-layers",
            icon=":material/table:",
            width="stretch",
        )
        three.download_button(
            "Units (CSV)",
            lambda: _units(view).to_csv(index=False),
            file_name=f"{view.name}-units.csv",
            mime="text/csv",
            key="get-units",
            icon=":material/table:",
            width="stretch",
        )
        st.dataframe(table.tail(5), hide_index=True, key="last-epochs")


def _units(view: RunView) -> pd.DataFrame:
    """Every unit's value and whether it lives, one row for each epoch and unit."""
    frames = []
    for site in view.sites:
        values = view.values[:, site["offset"] : site["offset"] + site["total"]]
        alive = view.alive[:, site["offset"] : site["offset"] + site["total"]]
        epochs, units = values.shape
        frames.append(pd.DataFrame({
            "epoch": [e for e in range(epochs) for _ in range(units)], "site": site["site"], "unit": list(range(units)) * epochs,
            "value": values.ravel(), "alive": alive.ravel(),
        }))  # fmt: skip
    return pd.concat(frames) if frames else pd.DataFrame(columns=["epoch", "site", "unit", "value", "alive"])


def _figures(view: RunView) -> None:
    data = espalier_data(
        view, selected=selection(), follow=False, whole=True, bands=(known(view.name, "nesting") or {}).get("bands")
    )
    title = f"{view.layout['network']} on {view.started['config']['dataset']}: {view.name}"
    with theme.card("The figures", newest_sentence(view), key="take-figures"):
        st.download_button(
            "The espalier, one HTML file",
            lambda: standalone_html(data, title),
            file_name=f"{view.name}-espalier.html",
            mime="text/html",
            key="get-espalier",
            icon=":material/park:",
            width="stretch",
        )
        markers, table = view.markers(), view.table()
        specs = {"accuracy": charts.accuracy_and_loss(table, markers)}
        if not view.survival().empty:
            names = {site: parts.short(site) for site in view.survival().index}
            specs["survival"] = charts.survival_heatmap(view.survival(), parts.stage_rows(view), markers, names)
        if view.speeds:
            specs["speed"] = speed_charts.speed_curve(pd.DataFrame(view.speeds), markers)
        for name, spec in specs.items():
            st.download_button(
                f"{name.capitalize()}, one HTML file",
                partial(figure_html, spec, f"{title}: {name}", of_run(view)),
                file_name=f"{view.name}-{name}.html",
                mime="text/html",
                key=f"get-{name}",
                icon=":material/show_chart:",
                width="stretch",
            )
        st.caption("Each file works without a network and can be zoomed. A whole talk of this run: Present.")
        _pictures(view, specs)


def _pictures(view: RunView, specs: dict[str, Any]) -> None:
    """One of the figures as a picture, behind a button; made only when it is pressed."""
    behind = st.popover("As a picture: PNG, SVG, PDF", icon=":material/image:", key="take-pictures", on_change="rerun")
    if not behind.open:
        return
    with behind:
        name = st.selectbox("Figure", ["espalier", *specs], format_func=str.capitalize, key="take-picture")
        if name in specs:
            said = specs[name]["alt"]
            slide = Slide(
                name, f"{name.capitalize()} of {view.name}", brief(said), of_run(view), said, figure=specs[name]
            )
        else:
            slide = tree_of(view)
        files(slide, key=f"take-{slide.key}")


def _folder(view: RunView) -> None:
    with theme.card(
        "The whole run",
        "Settings, events, every unit's history, the newest checkpoint, the compact network: a folder like any run's.",
        key="take-folder",
    ):
        st.download_button(
            "Run folder (.zip)",
            lambda: _zipped(view.folder.path),
            file_name=f"{view.name}.zip",
            mime="application/zip",
            key="get-folder",
            icon=":material/folder_zip:",
            width="stretch",
        )


def _zipped(folder: Path) -> bytes:
    """The folder without its older checkpoints."""
    out = io.BytesIO()
    newest = max(folder.glob("checkpoints/[0-9]*.safetensors"), default=None)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if (
                file.is_file()
                and not file.name.startswith(".")
                and (file.parent.name != "checkpoints" or file == newest)
            ):
                archive.write(file, f"{folder.name}/{file.relative_to(folder)}")
    return out.getvalue()
