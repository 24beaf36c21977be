"""Eight procedural textures: the backgrounds of the scenes, and the transformer's classes.

Every texture is a field of "ink" in 0..1 over pixel coordinates; two colours and a slow change
of light turn it into a picture. Pure numpy and cv2, and only the given generator is random.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Picture = NDArray[np.uint8]
Rng = np.random.Generator

TEXTURES = ("stripes", "checker", "dots", "bricks", "waves", "ripples", "weave", "marble")


def _edge(field: NDArray[np.floating], softness: float) -> Field:
    """A soft step of ``field`` at zero: 0 below, 1 above."""
    return np.asarray(np.clip(field / softness + 0.5, 0, 1), np.float32)


def _stripes(x: Field, _y: Field, _rng: Rng) -> Field:
    return _edge(np.sin(2 * np.pi * x), 0.4)


def _checker(x: Field, y: Field, _rng: Rng) -> Field:
    return _edge(np.sin(np.pi * x) * np.sin(np.pi * y), 0.15)


def _dots(x: Field, y: Field, rng: Rng) -> Field:
    radius = rng.uniform(0.24, 0.36)
    return _edge(radius - np.hypot(x - np.round(x), y - np.round(y)), 0.1)


def _bricks(x: Field, y: Field, _rng: Rng) -> Field:
    row = np.floor(2 * y)
    along = x / 1.2 + 0.5 * np.mod(row, 2)
    joint = np.minimum(np.abs(along - np.round(along)) * 2.4, np.abs(2 * y - np.round(2 * y)))
    return _edge(joint - 0.08, 0.06)


def _waves(x: Field, y: Field, rng: Rng) -> Field:
    bend = rng.uniform(0.3, 0.45) * np.sin(2 * np.pi * y * rng.uniform(0.4, 0.6))
    return _edge(np.sin(2 * np.pi * (x + bend)), 0.4)


def _ripples(x: Field, y: Field, rng: Rng) -> Field:
    centre_x = x.mean() + rng.uniform(-0.25, 0.25) * np.ptp(x)
    centre_y = y.mean() + rng.uniform(-0.25, 0.25) * np.ptp(y)
    return _edge(np.sin(2 * np.pi * np.hypot(x - centre_x, y - centre_y)), 0.5)


def _weave(x: Field, y: Field, _rng: Rng) -> Field:
    line = np.minimum(np.abs(x - np.round(x)), np.abs(y - np.round(y)))
    return _edge(0.13 - line, 0.06)


def _marble(x: Field, _y: Field, rng: Rng) -> Field:
    height, width = x.shape
    total = np.zeros(x.shape, np.float32)
    for octave in range(3):
        cells = 3 * 2**octave
        coarse = rng.standard_normal((cells, cells), np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return _edge(total, 1.6)


_FIELDS: dict[str, Callable[[Field, Field, Rng], Field]] = {
    "stripes": _stripes,
    "checker": _checker,
    "dots": _dots,
    "bricks": _bricks,
    "waves": _waves,
    "ripples": _ripples,
    "weave": _weave,
    "marble": _marble,
}


def random_colour(rng: Rng, saturation: tuple[float, float], value: tuple[float, float]) -> Field:
    """A random RGB colour, 0..255, with saturation and value drawn from the two intervals."""
    drawn = (rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value))
    hsv = np.array([[drawn]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255, np.float32)


def _light(width: int, height: int, rng: Rng) -> Field:
    """A slow change of light over the picture, about 0.75..1.2."""
    corners = rng.uniform(0.75, 1.2, (2, 2)).astype(np.float32)
    return np.asarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR))


def render_texture(
    name: str, width: int, height: int, rng: Rng, period: float, contrast: float = 1.0
) -> Field:
    """Renders one texture.

    Args:
        name: one of ``TEXTURES``.
        width: pixels.
        height: pixels.
        rng: the only source of chance.
        period: length in pixels of one repetition.
        contrast: 0 paints both inks alike, 1 keeps the two drawn colours.

    Returns:
        float32 [height, width, 3], RGB, 0..255.
    """
    angle = rng.uniform(0, 2 * np.pi)
    offset_x, offset_y = rng.uniform(0, 1, 2)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / np.float32(period)
    x = np.cos(angle) * columns + np.sin(angle) * rows + offset_x
    y = np.cos(angle) * rows - np.sin(angle) * columns + offset_y
    ink = _FIELDS[name](x.astype(np.float32), y.astype(np.float32), rng)
    first = random_colour(rng, (0.15, 0.7), (0.3, 0.95))
    second = random_colour(rng, (0.15, 0.7), (0.3, 0.95))
    if np.abs(first - second).mean() < 45:
        second = 255 - first
    second = first + contrast * (second - first)
    picture = first + ink[..., None] * (second - first)
    return np.asarray(picture * _light(width, height, rng)[..., None], np.float32)


def finish(picture: Field, rng: Rng) -> Picture:
    """What a camera adds: sometimes blur, always a little noise. Returns uint8 RGB."""
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.9)), np.float32)
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(1, 6))
    return np.asarray(np.clip(picture + noise, 0, 255).round(), np.uint8)


def texture_picture(name: str, width: int, height: int, rng: Rng) -> Picture:
    """A whole picture of one texture, as the transformer sees it: RGB uint8."""
    period = max(width, height) * rng.uniform(0.13, 0.3)
    return finish(render_texture(name, width, height, rng, period, rng.uniform(0.7, 1)), rng)
