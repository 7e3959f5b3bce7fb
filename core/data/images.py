"""Image files as they are asked for: decoded, cut and resized by Pillow, a few batches ahead, never all in memory.

For testing, the middle of a picture: a square of 7/8 of its shorter side, or of SIDE where that is larger, or of all
the shorter side where it is smaller than SIDE; resized to SIDE. (At 224 that is the usual "resize to 256, crop 224".)
For training, a box of random area, shape and place (Szegedy et al., CVPR 2015), resized to SIDE, as torchvision does.
"""

from __future__ import annotations

import math
import random
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps

from core.errors import DamagedFile

AHEAD = 2  # batches that are decoded before they are asked for
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)

Box = tuple[int, int, int, int]  # left, top, width, height


@dataclass(frozen=True)
class Streamed:
    """Images in files, decoded when they are asked for, to ``side`` x ``side`` pixels in three colours on ``device``.

    Stands where a tensor of images (N, C, H, W), uint8, stands for data in memory.
    """

    files: tuple[str, ...]
    side: int
    device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As if they were one tensor."""
        return len(self.files), 3, self.side, self.side

    def to(self, device: torch.device | str) -> Streamed:
        """The same, arriving on another device."""
        return replace(self, device=device)

    def __getitem__(self, chosen: slice | torch.Tensor) -> torch.Tensor:
        """Images (B, C, H, W), uint8, channels last in memory, cut as for testing."""
        return next(self.read([chosen]))

    def read(
        self,
        parts: Iterable[slice | torch.Tensor],
        area: float | None = None,
        seeds: Iterable[torch.Tensor] | None = None,
    ) -> Iterator[torch.Tensor]:
        """The images of every part in turn, (B, C, H, W), uint8, channels last in memory.

        With ``area`` and ``seeds`` (one whole number an image) they are cut as for training. As many threads decode as
        torch may use; which and how many changes nothing.
        """
        waiting: deque[list[Future[np.ndarray]]] = deque()
        with ThreadPoolExecutor(max(1, torch.get_num_threads()), "decode") as pool:
            try:
                for part, some in zip(parts, repeat(None) if seeds is None else seeds, strict=False):
                    indices = range(*part.indices(len(self))) if isinstance(part, slice) else part.tolist()
                    drawn = [None] * len(indices) if some is None else some.tolist()
                    waiting.append(
                        [
                            pool.submit(decoded, self.files[i], self.side, area, seed)
                            for i, seed in zip(indices, drawn, strict=True)
                        ]
                    )
                    if len(waiting) > AHEAD:
                        yield self._gathered(waiting.popleft())
                while waiting:
                    yield self._gathered(waiting.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _gathered(self, batch: list[Future[np.ndarray]]) -> torch.Tensor:
        pixels = np.empty((len(batch), self.side, self.side, 3), dtype=np.uint8)
        for row, future in zip(pixels, batch, strict=True):
            row[:] = future.result()
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device)


def decoded(file: str, side: int, area: float | None = None, seed: int | None = None) -> np.ndarray:
    """The picture in ``file``, (side, side, 3), uint8: a random box of it by ``area`` and ``seed``, or its middle.

    Upright by its EXIF orientation, transparent parts white. Raises ``DamagedFile`` for what cannot be decoded.
    """
    try:
        with Image.open(file) as image:
            width, height = upright_size(image)
            if area is None or seed is None:
                left, top, wide, high = middle(width, height, side)
            else:
                left, top, wide, high = random_box(width, height, area, random.Random(seed))
            shrink = max(1.0, min(wide, high) / (2 * side))  # what is left is at least twice as fine as it must be
            image.draft(None, (int(image.width / shrink) or 1, int(image.height / shrink) or 1))  # JPEG: less work
            picture = _in_colour(ImageOps.exif_transpose(image))
            scale = round(width / picture.width)  # 1, 2, 4 or 8; where it does not divide, the last pixel covers less
            right, bottom = min((left + wide) / scale, picture.width), min((top + high) / scale, picture.height)
            box = (left / scale, top / scale, right, bottom)
            return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box))
    except _BROKEN as error:
        raise undecodable(file, error) from error


def size_of(file: str) -> tuple[int, int]:
    """Width and height of the picture in ``file``, upright, from its header."""
    try:
        with Image.open(file) as image:
            return upright_size(image)
    except _BROKEN as error:
        raise undecodable(file, error) from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height once the EXIF orientation is followed."""
    turned = image.getexif().get(ExifTags.Base.Orientation) in TURNED
    return (image.height, image.width) if turned else image.size


def middle(width: int, height: int, side: int) -> Box:
    """The square that testing looks at; see the top of this file."""
    shorter = min(width, height)
    edge = min(shorter, max(side, round(shorter * 7 / 8)))
    return (width - edge) // 2, (height - edge) // 2, edge, edge


def random_box(width: int, height: int, area: float, source: random.Random) -> Box:
    """A box of ``area`` to all of the picture and of shape 3:4 to 4:3; the largest middle one if ten tries do not fit."""
    for _ in range(10):
        target = width * height * (area + (1 - area) * source.random())
        shape = math.exp(math.log(3 / 4) + math.log(16 / 9) * source.random())  # width over height
        wide, high = round(math.sqrt(target * shape)), round(math.sqrt(target / shape))
        if 0 < wide <= width and 0 < high <= height:
            left, top = (int(source.random() * (room + 1)) for room in (width - wide, height - high))
            return left, top, wide, high
    wide, high = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (width - wide) // 2, (height - high) // 2, wide, high


def undecodable(file: str, error: BaseException) -> DamagedFile:
    """The sentence for a file that should be a picture."""
    reason = "no such file" if isinstance(error, FileNotFoundError) else str(error).replace(repr(file), "it")
    return DamagedFile(
        f"{file} must be a picture that can be decoded; got {reason or type(error).__name__}; repair it or take it away"
    )


def _in_colour(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # 16-bit grey: the upper 8 bits, which convert() would not take
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose white is not known")
    elif image.has_transparency_data:
        layers = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return image.convert("RGB")
