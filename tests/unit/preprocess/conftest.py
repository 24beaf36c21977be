"""Rendered pictures: coloured, textured, not square, with an orientation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def render(seed: int, width: int = 810, height: int = 607) -> Picture:
    """Paint gradients, textured discs, stripes and noise in RGB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    weights = rng.uniform(-0.25, 0.25, (2, 3))
    canvas = (
        128 + weights[0] * (x[..., None] - width / 2) + weights[1] * (y[..., None] - height / 2)
    )
    for _ in range(24):
        cx, cy, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(15, 130)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        stripes = 1 + 0.35 * np.sin(x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1))
        canvas[inside] = (rng.uniform(0, 255, 3) * stripes[..., None])[inside]
    canvas += rng.normal(0, 6, canvas.shape)
    return np.asarray(np.clip(np.rint(canvas), 0, 255), np.uint8)


@pytest.fixture(scope="session")
def picture() -> Picture:
    """One rendered picture, uint8 [height, width, 3], RGB."""
    return render(0)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write an RGB picture to a file; further arguments go to Pillow."""

    def write(rgb: Picture, name: str = "scene.png", **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgb).save(path, **options)  # type: ignore[arg-type]
        return path

    return write
