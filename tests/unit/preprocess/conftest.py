"""Rendered pictures: coloured, textured, not square, with an orientation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.support.preprocess_faults import Picture, render

__all__ = ["Picture", "render"]


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
