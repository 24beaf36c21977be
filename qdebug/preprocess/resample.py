"""Resizing pictures exactly as cv2, Pillow or TensorFlow do.

A picture is an array [height, width, channels]; the result has the same layout and, except for
the ``float`` library, the same data type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.steps import Resampler

Picture = NDArray[Any]


def resize(picture: Picture, size: Wh, resampler: Resampler) -> Picture:
    """Resize to ``size`` (width, height); unchanged if it has that size already."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    if resampler.library == "cv2":
        return _cv2_resize(picture, size, resampler.filter)
    if resampler.library == "pil":
        return _pil_resize(picture, size, resampler.filter)
    return _float_resize(picture, size, resampler.filter)


def _cv2_resize(picture: Picture, size: Wh, name: str) -> Picture:
    import cv2

    flags = {
        "linear": cv2.INTER_LINEAR,
        "nearest": cv2.INTER_NEAREST,
        "cubic": cv2.INTER_CUBIC,
        "area": cv2.INTER_AREA,
        "lanczos": cv2.INTER_LANCZOS4,
        "nearest-exact": cv2.INTER_NEAREST_EXACT,
        "linear-exact": cv2.INTER_LINEAR_EXACT,
    }
    resized = cv2.resize(picture, size, interpolation=flags[name])
    return resized.reshape(size[1], size[0], picture.shape[2])


def _pil_resize(picture: Picture, size: Wh, name: str) -> Picture:
    from PIL import Image

    method = Image.Resampling[name.upper()]
    if picture.dtype == np.uint8 and picture.shape[2] == 3:
        return np.asarray(Image.fromarray(picture).resize(size, method))
    planes = (Image.fromarray(np.ascontiguousarray(picture[..., c])) for c in _each(picture))
    resized = [np.asarray(plane.resize(size, method)) for plane in planes]
    return np.stack(resized, axis=-1).astype(picture.dtype)


def _each(picture: Picture) -> range:
    return range(picture.shape[2])


def _float_resize(picture: Picture, size: Wh, name: str) -> NDArray[np.float32]:
    """Bilinear in float32 on one of three sampling grids, not rounded."""
    height, width = picture.shape[:2]
    x0, x1, fx = _grid(width, size[0], name)
    y0, y1, fy = _grid(height, size[1], name)
    values = picture.astype(np.float32)
    weight = fx[None, :, None]
    upper = values[y0][:, x0] * (1 - weight) + values[y0][:, x1] * weight
    lower = values[y1][:, x0] * (1 - weight) + values[y1][:, x1] * weight
    mix = fy[:, None, None]
    return (upper * (1 - mix) + lower * mix).astype(np.float32)


def _grid(
    source: int, target: int, name: str
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return both neighbours and the weight of the second, for each target position."""
    positions = np.arange(target, dtype=np.float64)
    if name == "align-corners":
        positions = positions * ((source - 1) / max(target - 1, 1))
    elif name == "asymmetric":
        positions = positions * (source / target)
    else:
        positions = (positions + 0.5) * (source / target) - 0.5
    positions = np.clip(positions, 0, source - 1)
    low = np.floor(positions).astype(np.intp)
    high = np.minimum(low + 1, source - 1)
    return low, high, (positions - low).astype(np.float32)
