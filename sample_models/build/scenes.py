"""Eight drawn objects, and scenes of them on textured backgrounds with their true boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sample_models.build.textures import (
    TEXTURES,
    Field,
    Picture,
    Rng,
    finish,
    random_colour,
    render_texture,
)

OBJECTS = ("ball", "crate", "cone", "star", "ring", "cross", "leaf", "moon")
DETECTED = OBJECTS[:6]  # the detector's classes; the classifier knows all eight
Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A picture and what is on it.

    Attributes:
        picture: uint8 [height, width, 3], RGB.
        classes: int64 [objects], indices into ``OBJECTS``.
        boxes: float32 [objects, 4], x1 y1 x2 y2 in pixels.
    """

    picture: Picture
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]


def _polygon(size: int, points: list[tuple[float, float]]) -> Mask:
    """Filled polygon; points in units of the sprite, -1..1."""
    mask = np.zeros((size, size), np.uint8)
    pixels = ((np.array(points) + 1) / 2 * (size - 1)).round().astype(np.int32)
    cv2.fillPoly(mask, [pixels], 255)
    return mask


def _disc(size: int, radius: float, centre: tuple[float, float] = (0.0, 0.0)) -> Mask:
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return np.asarray((np.hypot(x - centre[0], y - centre[1]) <= radius) * 255, np.uint8)


def _ball(size: int) -> tuple[Mask, Mask]:
    band = _polygon(size, [(-1, -0.22), (1, -0.22), (1, 0.22), (-1, 0.22)])
    return _disc(size, 0.92), band


def _crate(size: int) -> tuple[Mask, Mask]:
    outer = _polygon(size, [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)])
    inner = _polygon(size, [(-0.6, -0.6), (0.6, -0.6), (0.6, 0.6), (-0.6, 0.6)])
    brace = _polygon(size, [(-0.85, -0.6), (-0.6, -0.85), (0.85, 0.6), (0.6, 0.85)])
    return outer, (outer - inner) | (brace & outer)


def _cone(size: int) -> tuple[Mask, Mask]:
    body = _polygon(size, [(0, -0.95), (0.62, 0.7), (-0.62, 0.7)])
    foot = _polygon(size, [(-0.9, 0.66), (0.9, 0.66), (0.9, 0.92), (-0.9, 0.92)])
    stripe = _polygon(size, [(-1, -0.25), (1, -0.25), (1, 0.1), (-1, 0.1)])
    return body | foot, (stripe & body) | foot


def _star(size: int) -> tuple[Mask, Mask]:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 0.97, 0.4)
    points = list(zip(radii * np.cos(angles), radii * np.sin(angles), strict=True))
    return _polygon(size, points), _disc(size, 0.22)


def _ring(size: int) -> tuple[Mask, Mask]:
    annulus = _disc(size, 0.93) - _disc(size, 0.5)
    return annulus, (_disc(size, 0.76) - _disc(size, 0.66)) & annulus


def _cross(size: int) -> tuple[Mask, Mask]:
    upright = _polygon(size, [(-0.3, -0.93), (0.3, -0.93), (0.3, 0.93), (-0.3, 0.93)])
    across = _polygon(size, [(-0.93, -0.3), (0.93, -0.3), (0.93, 0.3), (-0.93, 0.3)])
    return upright | across, upright & across


def _leaf(size: int) -> tuple[Mask, Mask]:
    blade = _disc(size, 1.1, (0.62, 0.0)) & _disc(size, 1.1, (-0.62, 0.0))
    rib = _polygon(size, [(-0.05, -0.95), (0.05, -0.95), (0.05, 0.98), (-0.05, 0.98)])
    return blade, rib & blade


def _moon(size: int) -> tuple[Mask, Mask]:
    crescent = _disc(size, 0.93, (-0.05, 0.0)) & ~_disc(size, 0.78, (0.38, 0.0))
    return crescent, _disc(size, 0.16, (-0.66, 0.1)) & crescent


_DRAW: dict[str, Callable[[int], tuple[Mask, Mask]]] = {
    "ball": _ball,
    "crate": _crate,
    "cone": _cone,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
    "leaf": _leaf,
    "moon": _moon,
}


def _sprite(name: str, size: int, rng: Rng) -> tuple[Field, Field]:
    """Colours [size, size, 3], 0..255, and opacity [size, size], 0..1, of one object."""
    shape, detail = _DRAW[name](size)
    base = random_colour(rng, (0.55, 1.0), (0.5, 1.0))
    trim = base * 0.35 if base.mean() > 110 else 255 - 0.4 * (255 - base)
    colours = np.where(detail[..., None] > 0, trim, base).astype(np.float32)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    shade = 1 - 0.28 * (x * rng.uniform(0.4, 1) + y * rng.uniform(0.4, 1))
    return np.asarray(colours * shade[..., None], np.float32), np.asarray(shape / 255, np.float32)


def _paste(
    picture: Field, name: str, centre: tuple[float, float], size: float, rng: Rng
) -> NDArray[np.float32] | None:
    """Paints one object, with a soft shadow; returns its box, None where it is out of view."""
    height, width = picture.shape[:2]
    side = int(np.clip(2 * size, 48, 320))  # twice the size in the scene: the warp then smooths
    colours, opacity = _sprite(name, side, rng)
    stretch = rng.uniform(0.85, 1.18)
    angle = rng.uniform(-0.6, 0.6)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([size / side * stretch, size / side / stretch])
    shift = np.array(centre) - matrix @ np.array([side / 2, side / 2])
    affine = np.hstack([matrix, shift[:, None]])
    alpha = cv2.warpAffine(opacity, affine, (width, height), flags=cv2.INTER_LINEAR)
    columns, rows = np.flatnonzero(alpha.max(0) > 0.5), np.flatnonzero(alpha.max(1) > 0.5)
    if not len(columns) or not len(rows):
        return None
    colour = cv2.warpAffine(
        colours, affine, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    drop = max(2, round(size * 0.06))
    shadow = np.roll(alpha, (drop, drop), (0, 1)) * 0.35
    picture *= 1 - (shadow * (1 - alpha))[..., None]
    picture += alpha[..., None] * (colour - picture)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def background(width: int, height: int, rng: Rng) -> Field:
    """A textured background of low contrast, float32 RGB 0..255."""
    period = max(width, height) * rng.uniform(0.05, 0.3)
    name = TEXTURES[rng.integers(len(TEXTURES))]
    return render_texture(name, width, height, rng, period, rng.uniform(0.15, 0.8))


def render_scene(width: int, height: int, count: int, rng: Rng) -> Scene:
    """A scene of up to ``count`` detectable objects that hardly overlap.

    Args:
        width: pixels.
        height: pixels.
        count: how many objects to try to place; crowded scenes hold fewer.
        rng: the only source of chance.
    """
    picture = background(width, height, rng)
    classes: list[int] = []
    boxes: list[NDArray[np.float32]] = []
    taken: list[tuple[float, float, float]] = []
    for _ in range(count):
        spot = _free_spot(width, height, taken, rng)
        if spot is None:
            continue
        label = int(rng.integers(len(DETECTED)))
        box = _paste(picture, DETECTED[label], spot[:2], spot[2], rng)
        if box is not None:
            taken.append(spot)
            classes.append(label)
            boxes.append(box)
    return Scene(
        finish(picture, rng),
        np.array(classes, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
    )


def _free_spot(
    width: int, height: int, taken: list[tuple[float, float, float]], rng: Rng
) -> tuple[float, float, float] | None:
    """Centre and size of a place that no object holds yet, None after twelve tries."""
    longer = max(width, height)
    for _ in range(12):
        size = float(longer * rng.uniform(0.09, 0.38))
        if size > 0.8 * min(width, height):
            continue
        x = float(rng.uniform(0.45 * size, width - 0.45 * size))
        y = float(rng.uniform(0.45 * size, height - 0.45 * size))
        if all(np.hypot(x - a, y - b) > 0.5 * (size + s) for a, b, s in taken):
            return x, y, size
    return None


def object_picture(name: str, width: int, height: int, rng: Rng) -> Picture:
    """One large object on a background, as the classifier sees it: RGB uint8."""
    picture = background(width, height, rng)
    size = min(width, height) * rng.uniform(0.6, 0.95)
    slack_x, slack_y = 0.5 * (width - 0.8 * size), 0.5 * (height - 0.8 * size)
    centre = (
        width / 2 + float(rng.uniform(-0.5, 0.5)) * slack_x,
        height / 2 + float(rng.uniform(-0.5, 0.5)) * slack_y,
    )
    _paste(picture, name, centre, size, rng)
    return finish(picture, rng)
