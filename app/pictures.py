"""Pictures from outside as a data set's pixels, and kernels as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from app.app_pages.heat import BLUE, ORANGE
from core.errors import BadInput

MAX_PIXELS = 50_000_000
GAP, FRAME = 5, (139, 149, 142, 255)


def pixels_of(file: bytes, shape: tuple[int, int, int], swapped: bool = False) -> np.ndarray:
    """The middle square of a picture file at a data set's `shape` (C, H, W): (H, W, C), uint8. `swapped`: dark for light.

    Upright by its EXIF orientation, transparent parts white. BadInput for what is no picture, or too large a one.
    """
    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(file)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadInput(
                    f"an uploaded picture must have at most {MAX_PIXELS // 1_000_000} million pixels; got {image.width} x {image.height}; make it smaller"
                )
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                layers = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
            fitted = ImageOps.fit(
                upright.convert("L" if channels == 1 else "RGB"), (width, height), Image.Resampling.BILINEAR
            )
    except BadInput:
        raise
    except Exception as error:  # decoders of broken files raise whatever they meet
        raise BadInput(
            f"an uploaded file must be a picture that can be decoded, such as PNG or JPEG; this one cannot ({type(error).__name__}); choose another"
        ) from None
    pixels = np.asarray(fitted, "u1").reshape(height, width, channels)
    return 255 - pixels if swapped else pixels


def kernel_sheet(kernels: Sequence[np.ndarray], scale: int, columns: int = 16) -> np.ndarray:
    """Kernels (C, h, w) in [-1, 1], NaN for what is not there, framed, side by side in rows: (H, W, 4) uint8, clear between them.

    Three channels are colours (grey is 0); any other number is averaged and goes from blue over white to orange.
    """
    _, height, width = kernels[0].shape
    columns = min(columns, len(kernels))
    rows, tall, wide = -(-len(kernels) // columns), height * scale + 2, width * scale + 2  # with a frame of one pixel
    sheet = np.zeros((rows * (tall + GAP) - GAP, columns * (wide + GAP) - GAP, 4), "u1")
    for i, kernel in enumerate(kernels):
        top, left = i // columns * (tall + GAP), i % columns * (wide + GAP)
        sheet[top : top + tall, left : left + wide] = FRAME
        drawn = kernel_picture(kernel).repeat(scale, axis=0).repeat(scale, axis=1)
        sheet[top + 1 : top + tall - 1, left + 1 : left + wide - 1] = drawn
    return sheet


def kernel_picture(kernel: np.ndarray) -> np.ndarray:
    """One kernel (C, h, w) as (h, w, 4), uint8; weights that are not there are clear."""
    there = ~np.isnan(kernel)
    values = np.where(there, kernel, 0.0)
    if len(values) == 3:
        colours = 127.5 * (1 + values.transpose(1, 2, 0))
    else:
        mean = values.sum(0) / np.maximum(1, there.sum(0))
        strength = np.abs(mean)[..., None]
        colours = 255 * (1 - strength) + np.where(mean[..., None] > 0, ORANGE, BLUE) * strength
    return np.concatenate([colours, 255 * there.any(0)[..., None]], axis=2).clip(0, 255).astype("u1")
