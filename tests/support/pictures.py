"""Tiny deterministic PNGs for synthetic runs."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]


def scene(seed: int, width: int = 64, height: int = 48) -> Picture:
    """A coloured, non-square scene: uint8 ``[height, width, 3]`` in RGB."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    picture = np.stack([rows * 255 // height, columns * 255 // width, 0 * rows + 90], axis=-1)
    for _ in range(3):
        x, y = int(rng.integers(0, width - 16)), int(rng.integers(0, height - 12))
        picture[y : y + 12, x : x + 16] = rng.integers(0, 256, 3)
    return picture.astype(np.uint8)


def letterboxed(picture: Picture, pad: int = 114) -> Picture:
    """The picture on a square canvas, as the model's input shows it."""
    height, width = picture.shape[:2]
    side = max(height, width)
    canvas = np.full((side, side, 3), pad, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    canvas[top : top + height, left : left + width] = picture
    return canvas


def png(picture: Picture) -> bytes:
    """The picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
