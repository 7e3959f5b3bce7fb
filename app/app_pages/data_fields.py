"""The choice of a data set, a folder of pictures among them, and how its training images are varied."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.config import RunConfig
from core.data import listing
from core.data.augment import Augment, default_of
from core.data.names import DATASETS, FOLDER, SIDES, folder_named

OWN = "A folder of pictures of your own"


def data_choice(base: RunConfig) -> str:
    """The data set's name; of a folder, `folder:PATH@SIDE`, with a sentence on what it holds; "" while none is named.

    BadInput where the folder cannot be taken.
    """
    known = folder_named(base.dataset)
    choices = [*DATASETS, FOLDER]
    left, middle, right = st.columns([2, 2, 1])
    name = left.selectbox(
        "Data set",
        choices,
        choices.index(FOLDER if known else base.dataset),
        format_func=lambda n: OWN if n == FOLDER else f"{n}: {DATASETS[n].title}",
        key=f"{base.preset}-dataset",
    )
    if name != FOLDER:
        return name
    path = middle.text_input(
        "Folder", str(known.path) if known else "", key=f"{base.preset}-folder", placeholder="~/photos",
        help="It holds train/CLASS/*.jpg, and val/ and test/ beside train/ where you have them; pictures are streamed from there.",
    )  # fmt: skip
    side = right.number_input(
        "Side (pixels)", *SIDES, known.side or 64 if known else 64, step=8, key=f"{base.preset}-side",
        help="Every picture is cut and scaled to a square of this side.",
    )  # fmt: skip
    if not path.strip():
        st.info("Name the folder: it holds the pictures as train/CLASS/*.jpg.", icon=":material/folder:")
        return ""
    folder = folder_named(f"{FOLDER}{path.strip()}@{side}")
    assert folder is not None
    classes = listing.check(folder)
    st.caption(f"{classes} classes in {folder.path / 'train'}; the pictures themselves are read when training starts.")
    return str(folder)


def augment_fields(base: RunConfig, dataset: str) -> dict[str, Any] | None:
    """The widgets of augmentation, at what would act now; None where nothing differs from the data set's own way."""
    own = default_of(dataset)
    now = base.augment if base.augment is not None and dataset == base.dataset else own
    st.markdown("**Training images are varied**")
    columns, key = st.columns(4), f"{base.preset}-{dataset}-augment"
    chosen: dict[str, Any] = {}
    for column, field in zip(columns, ("crop", "cutout", "flip", "area"), strict=True):
        about, value = Augment.model_fields[field], getattr(now, field)
        label, text = f"{about.title}{' (pixels)' if field in ('crop', 'cutout') else ''}", str(about.description)
        if field == "flip":
            column.space("small")
            chosen[field] = column.checkbox(label, value, help=text, key=f"{key}-{field}")
        elif field != "area":
            number = column.number_input(label, 0, 512, value or 0, help=f"{text} 0: none.", key=f"{key}-{field}")
            chosen[field] = number or (None if field == "crop" else 0)
        elif folder_named(dataset):
            share = column.number_input(
                label, 0.0, 1.0, value or 0.0, 0.01, help=f"{text} 0: none.", key=f"{key}-{field}"
            )
            chosen[field] = share or None
    same = Augment(**chosen) == own and (base.augment is None or dataset != base.dataset)
    return None if same else chosen
