"""Small arrays as pictures."""

from __future__ import annotations

import numpy as np

ORANGE, BLUE = np.array([0xE6, 0x9F, 0x00]), np.array([0x00, 0x72, 0xB2])


def picture(array: np.ndarray, at_least: int) -> np.ndarray:
    """An image (H, W, 3) uint8, enlarged without smoothing to 150 pixels or so.

    (H, W, 1 or 3) uint8 is shown as it is; (H, W) in [-1, 1] from blue (against) over white to orange (for).
    """
    if array.ndim == 2:
        strength = np.abs(array)[..., None]
        colour = np.where(array[..., None] > 0, ORANGE, BLUE)
        array = (255 * (1 - strength) + colour * strength).clip(0, 255).astype("u1")
    elif array.shape[-1] == 1:
        array = np.repeat(array, 3, axis=-1)
    times = max(1, 152 // max(at_least, array.shape[0]))
    return array.repeat(times, axis=0).repeat(times, axis=1)
