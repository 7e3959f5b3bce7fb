"""Attribution: where every network of a run looks, at the same images and on one colour scale."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import attribution_words as words
from app import sentences, theme
from app.app_pages import parts
from app.app_pages.heat import BLUE, ORANGE, picture
from app.app_pages.image_source import image_source
from app.asking import answer, looking
from app.level_words import level_name
from app.picture_charts import Row, data_url, pictures
from app.runs import control_of, row_of, store, view_of

MAX_IMAGES = 4
ROWS = (("integrated", "integrated gradients"), ("cam", "Grad-CAM"))
SIDE, SMALL = 116, 88  # pixels of a drawn map, and where there are more networks than MANY
LEAST = 8  # pixels from which a picture is enlarged by whole numbers
MANY, ABREAST = 5, 4  # networks beyond which maps are small, and up to which the maps of both measures stand in one row
FULL = 0.995  # quantile of all shown sizes that is drawn in full colour
STYLE = """<style>
.looks { overflow-x: auto } .looks table { border-collapse: collapse; font-size: 12.5px; color: var(--tile-soft) }
.looks th { font-weight: 600; text-align: left; padding: 2px 12px 4px 0; vertical-align: bottom } .looks td { padding: 0 12px 10px 0; vertical-align: top }
.looks img { width: var(--side); height: var(--side); image-rendering: pixelated; border: 1px solid var(--tile-line); border-radius: 4px; display: block }
.looks .none { width: var(--side); height: var(--side); border: 1px dashed var(--tile-line); border-radius: 4px; padding: 6px; box-sizing: border-box; font-size: 11px; overflow: hidden }
.looks .first td, .looks .first th { border-top: 1px solid var(--tile-line); padding-top: 8px }
.looks tbody th { vertical-align: middle } .looks > div { font-size: 12.5px; color: var(--tile-soft); padding-top: 4px }
.looks .bar { display: inline-block; width: 150px; height: 10px; border-radius: 3px; vertical-align: middle; margin: 0 6px }
</style>"""


def looks(run: str) -> None:
    """The card; it looks again while the lane works, and now and then while the run trains."""
    looking(_card, run, "attribution", living_s=6.0)


def _card(run: str) -> None:
    view, row = view_of(run), row_of(run)
    with theme.card(
        "Where does it look?",
        "Every network is asked about the same class, the one that the first network names. Orange spoke for it, blue against it.",
        key="looks",
    ):
        left, right = st.columns([2, 3], gap="medium")
        with left:
            asked = image_source(view, "attribution", _numbers)
        control = None if row is None else control_of(row)
        with right:
            if asked is None:
                st.caption("Give an image on the left: every network answers as soon as it is there.")
                return
            more: dict[str, Any] = {} if control is None else {"control": str(store().root / control.id)}
            told = answer(run, "attribution", "attributions", **asked, **more)
            if told is not None:
                theme.takeaway(words.looks(told, names_of(told)))
        if told is not None:
            show(told)


def _numbers() -> dict[str, Any] | None:
    """Up to MAX_IMAGES test images, by number."""
    text = st.text_input(
        "Numbers of test images", "7, 12", key="attribution-images", bind="query-params",
        help=f"Up to {MAX_IMAGES}, with commas. Counting starts over behind the last.",
    )  # fmt: skip
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or len(found) > MAX_IMAGES or not all(part.isdecimal() for part in found):
        st.error(
            f"Take one to {MAX_IMAGES} whole numbers with commas, such as 7, 12; got {text!r}.", icon=":material/error:"
        )
        return None
    return {"indices": [int(part) for part in found]}


def show(told: dict[str, Any]) -> None:
    """The maps, their scale, the numbers behind."""
    names = names_of(told)
    limits = {key: limit_of(told, key) for key, _ in ROWS}
    side = SIDE if len(names) <= 3 or ABREAST < len(names) <= MANY else SMALL
    st.html(f'{STYLE}<div class="looks" style="--side: {side}px">{_grid(told, names, limits)}{_legend(limits)}</div>')
    if told["note"]:
        st.caption(told["note"])
    parts.table_behind(
        lambda: table_of(told, names), key="table-looks", figure=("Where does it look?", lambda: _as_figure(told, names, limits)), note=_conditions(told)
    )  # fmt: skip
    st.caption(_conditions(told))


def names_of(told: dict[str, Any]) -> list[str]:
    """What each network is called: `level 0 core`, `trained`."""
    rows = told["shown"][0]["networks"]
    levels = sum(row["level"] is not None for row in rows)
    return [row["name"] if row["level"] is None else f"level {level_name(row['level'], levels)}" for row in rows]


def limit_of(told: dict[str, Any], key: str) -> float:
    """The size that is drawn in full colour: of all maps of one measure that are shown."""
    sizes = [np.abs(row[key]).ravel() for image in told["shown"] for row in image["networks"] if row[key] is not None]
    return float(np.quantile(np.concatenate(sizes), FULL)) if sizes else 0.0


def _grid(told: dict[str, Any], names: list[str], limits: dict[str, float]) -> str:
    """A table: a row an image with the maps of both measures, or, of many networks, a row for each measure."""
    abreast = len(names) <= ABREAST
    measures = "".join(f'<th scope="colgroup" colspan="{len(names)}">{called}</th>' for _, called in ROWS)
    above = f"<tr><td></td>{measures}</tr>" if abreast else ""
    columns = ("image", *names, *names) if abreast else ("image", "", *names)
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    body = ""
    for image in told["shown"]:
        parts_of_row = []
        for key, called in ROWS:
            cells = "".join(
                _cell(row, name, key, called, limits[key]) for row, name in zip(image["networks"], names, strict=True)
            )
            parts_of_row.append(cells if abreast else f'<th scope="row">{called.replace(" ", "<br>")}</th>{cells}')
        if abreast:
            body += f"<tr class=first><td>{_seen(told, image)}</td>{''.join(parts_of_row)}</tr>"
        else:
            first, second = parts_of_row
            body += f'<tr class=first><td rowspan="2">{_seen(told, image)}</td>{first}</tr><tr>{second}</tr>'
    return f"<table><thead>{above}<tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _seen(told: dict[str, Any], image: dict[str, Any]) -> str:
    named = (
        "yours, as it is seen"
        if image["index"] is None
        else f"test image {image['index']}: {told['class_names'][image['label']]}"
    )
    return f"{_img(picture(np.array(image['pixels'], 'u1'), SIDE), named)}{html.escape(named)}"


def _cell(row: dict[str, Any], name: str, key: str, called: str, limit: float) -> str:
    if row[key] is None:
        return f'<td><div class="none">{html.escape(row["cam_why"])}</div></td>'
    drawn = _map(row[key], limit, SIDE)
    like = row[f"{key}_like"]
    alike = "" if like is None else f"<br>like the first: ρ {like:.2f}".replace("-", sentences.MINUS)
    target = html.escape(row["names"][row["target"]])
    said = html.escape(row["names"][row["said"]])
    spoken = (
        f"{said}, {sentences.percent(row['sure'])}"
        if key == "integrated"
        else html.escape(f"{row['cam_layer']}, {row['cam_size'][0]} × {row['cam_size'][1]}")
    )
    about = (
        f" (explained: {target}, {sentences.percent(row['probability'])})"
        if key == "integrated" and row["said"] != row["target"]
        else ""
    )
    alt = f"{called} of {name} for {row['names'][row['target']]}"
    return f"<td>{_img(drawn, alt)}{spoken}{about}{alike}</td>"


def _img(array: np.ndarray, alt: str) -> str:
    return f'<img alt="{html.escape(alt)}" src="{data_url(array)}">'


def _as_figure(told: dict[str, Any], names: list[str], limits: dict[str, float]) -> dict[str, Any]:
    """The same maps as a figure, to leave as files: a row for each image, or, of many networks, for each image and measure."""
    rows: list[Row] = []
    for number, image in enumerate(told["shown"]):
        seen = (
            "your image"
            if image["index"] is None
            else f"test image {image['index']}: {told['class_names'][image['label']]}"
        )
        cells = [(seen, picture(np.array(image["pixels"], "u1"), LEAST))]
        for key, called in ROWS:
            cells += [
                (
                    f"{'' if number else f'{called}, {name}, '}says {row['names'][row['said']]}",
                    _map(row[key], limits[key], LEAST),
                )
                for row, name in zip(image["networks"], names, strict=True)
                if row[key] is not None
            ]
            if len(names) > ABREAST:
                rows.append(("", cells))
                cells = []
        rows += [("", cells)] if cells else []
    return pictures(rows, words.looks(told, names))


def _map(values: list[list[float]], limit: float, at_least: int) -> np.ndarray:
    return picture(np.clip(np.array(values) / (limit or 1.0), -1, 1), at_least)


def _legend(limits: dict[str, float]) -> str:
    against, toward = ("rgb({},{},{})".format(*colour) for colour in (BLUE, ORANGE))
    bar = f'<span class="bar" style="background: linear-gradient(to right, {against}, white, {toward})"></span>'
    sizes = "; ".join(f"{called} ±{limits[key]:.2g}" for key, called in ROWS if limits[key])
    return f"<div>against {bar} for · one scale for all images and networks, full colour at {html.escape(sizes)}</div>"


def table_of(told: dict[str, Any], names: list[str]) -> pd.DataFrame:
    """One row for each image and network."""
    return pd.DataFrame([
        {
            "image": "yours" if image["index"] is None else str(image["index"]), "network": name, "says": row["names"][row["said"]], "probability": row["sure"],
            "explained": row["names"][row["target"]], "its probability": row["probability"], "score over baseline's": row["gained"],
            "sum of attributions off by": row["delta"], "integrated gradients, ρ with the first": row["integrated_like"],
            "Grad-CAM, ρ with the first": row["cam_like"], "Grad-CAM at": row["cam_layer"],
        }
        for image in told["shown"] for row, name in zip(image["networks"], names, strict=True)
    ])  # fmt: skip


def _conditions(told: dict[str, Any]) -> str:
    rows = [row for image in told["shown"] for row in image["networks"]]
    worst = max(abs(row["delta"]) for row in rows) / (sum(abs(row["gained"]) for row in rows) / len(rows) or 1.0)
    return (
        f"After epoch {told['epoch']}. Integrated gradients: baseline the mean image, {told['steps']} steps; their sums are off by at most "
        f"{sentences.percent(worst, 1)} of the mean difference of the scores. "
        "Grad-CAM at the last convolution that counts and has 16 positions or more (where there is one), named below each map with its size, drawn larger; signed (the paper leaves out what is below 0); maps of fewer than 16 positions are not compared. "
        "In units of the class score (logit): integrated gradients a pixel, Grad-CAM a position of that layer."
    )
