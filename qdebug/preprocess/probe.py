"""A picture on which every preprocessing mistake shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError

SIZE = (1013, 757)
"""(width, height): not square, and no common target is a whole fraction of it."""
_SEED = 20240607
_SHAPES = 40


def render_probe(size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Paint the picture.

    A colour gradient tells the channel order, an arrow the orientation, fine stripes the
    resampling filter, black and white the range; the size tells the geometry.

    Returns:
        uint8 [height, width, 3], RGB, the same for the same size.
    """
    width, height = size
    rng = np.random.default_rng(_SEED)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = x / max(width - 1, 1), y / max(height - 1, 1)
    canvas = np.stack([60 + 150 * u, 40 + 120 * v, 220 - 160 * (u + v) / 2], axis=-1)
    for _ in range(_SHAPES):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        radius = rng.uniform(0.02, 0.12) * min(size)
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(3, 12)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / pitch))
        color = rng.uniform(0, 255, 3)
        canvas[inside] = (color * (1 + 0.4 * wave[..., None]))[inside]
    canvas += rng.normal(0, 2, canvas.shape)
    codes = np.asarray(np.clip(np.rint(canvas), 0, 255), np.uint8)
    return _marked(codes)


def _marked(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add an arrow to the upper left, and black and white corners of different size."""
    height, width = codes.shape[:2]
    unit = max(4, min(width, height) // 24)
    codes[:unit, :unit] = 0
    codes[: 2 * unit, -3 * unit :] = 255
    codes[2 * unit : 3 * unit, 2 * unit : 8 * unit] = (255, 0, 0)
    for row in range(unit):
        codes[2 * unit + row, 2 * unit - row : 3 * unit] = (0, 255, 0)
    return codes


def write_probe(path: Path, size: tuple[int, int] = SIZE) -> tuple[Path, Path]:
    """Write the picture, and beside it a JPEG twin that is stored turned, with EXIF orientation 6.

    Args:
        path: a ``.png`` file.
        size: (width, height).

    Returns:
        The two files. Read with its orientation applied, the twin shows the same picture.

    Raises:
        InputError: the size is too small, or the file cannot be written.
    """
    from PIL import Image

    if min(size) < 64:
        raise InputError(f"a probe of {size[0]}x{size[1]} is too small", "give at least 64x64")
    picture = render_probe(size)
    twin = path.with_name(f"{path.stem}_exif.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    try:
        Image.fromarray(picture).save(path, "PNG")
        turned = np.ascontiguousarray(np.rot90(picture, 1))
        Image.fromarray(turned).save(twin, "JPEG", quality=98, subsampling=0, exif=exif)
    except OSError as error:
        raise InputError(f"{path.name} cannot be written: {error.strerror or error}") from error
    return path, twin
