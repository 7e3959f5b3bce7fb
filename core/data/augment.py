"""How training images are varied: which augmentations act, as settings, and what each data set does by default. No torch."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.data.names import folder_named


def _field(default: Any, title: str, help: str, *, unit: str = "", source: str = "", **rules: Any) -> Any:
    return Field(default, title=title, description=help, json_schema_extra={"unit": unit, "source": source}, **rules)


class Augment(BaseModel):
    """Which augmentations act on training images; without arguments none does. They act in the order area, crop, flip, cutout."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    crop: int | None = _field(
        None,
        "Padded crop",
        "Pad with black by so many pixels on every side and cut the image's size out at a random place.",
        unit="pixels",
        ge=1,
        le=512,
        source="He et al., CVPR 2016: 4 for CIFAR",
    )
    flip: bool = _field(False, "Mirror", "Mirror every other image, by chance, left to right.")
    cutout: int = _field(
        0,
        "Cutout",
        "Side of a square of the mean colour, its centre anywhere in the image; 0 for none.",
        unit="pixels",
        ge=0,
        le=512,
        source="DeVries & Taylor, 2017, arXiv 1708.04552: 16 for CIFAR-10, 8 for CIFAR-100",
    )
    area: float | None = _field(
        None,
        "Resized crop",
        "Least fraction of a picture's area in a crop of random place, size and shape (3:4 to 4:3); of image folders only.",
        gt=0,
        le=1,
        source="Szegedy et al., CVPR 2015: 0.08",
    )


DEFAULTS: dict[str, Augment] = {
    "digits": Augment(crop=1),
    "shapes": Augment(crop=2, flip=True),
    "shapes-coarse": Augment(crop=2, flip=True),
    "cifar10": Augment(crop=4, flip=True),
    "cifar100": Augment(crop=4, flip=True),
    "cifar100-coarse": Augment(crop=4, flip=True),
    "mnist": Augment(),
    "fashion-mnist": Augment(),
}
FOLDER_DEFAULT = Augment(area=0.08, flip=True)


def default_of(name: str) -> Augment:
    """What data set ``name`` does where nothing else is asked for."""
    return DEFAULTS[name] if folder_named(name) is None else FOLDER_DEFAULT
