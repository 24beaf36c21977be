"""Turning an input tensor back into a picture that people can look at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.apply import unarrange
from qdebug.preprocess.color import reorder
from qdebug.preprocess.resample import resize
from qdebug.preprocess.spec import PreprocessSpec
from qdebug.preprocess.steps import Layout, Resampler


def picture_of_tensor(tensor: NDArray[Any], spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Undo a spec's arithmetic and layout.

    Args:
        tensor: one input in the layout that ``spec`` makes.
        spec: the pipeline that made it.

    Returns:
        uint8 [height, width, 3], RGB: what the tensor shows.
    """
    layout = spec.find(Layout) or Layout("nchw")
    affine = spec.affine
    values = unarrange(tensor, layout)[..., : len(affine.gain)]
    pixels = np.subtract(values, np.array(affine.offset, np.float32), dtype=np.float32)
    pixels /= np.array(affine.gain, np.float32)
    return _as_rgb(reorder(pixels, spec.order, "rgb"))


def picture_of_values(tensor: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Show a tensor of unknown origin, stretched from its smallest to its largest value.

    Returns:
        uint8 [height, width, 3], or None if the tensor does not have the shape of a picture.
    """
    values = np.squeeze(tensor)
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim != 3 or not {1, 3, 4} & {values.shape[0], values.shape[2]}:
        return None
    elif values.shape[2] not in (1, 3, 4):
        values = values.transpose(1, 2, 0)
    numbers = values[..., :3].astype(np.float32)
    low, high = float(numbers.min()), float(numbers.max())
    if not np.isfinite([low, high]).all():
        return None
    return _as_rgb((numbers - low) * (255.0 / (high - low) if high > low else 0.0))


def thumbnail(picture: NDArray[np.uint8], longest: int = 320) -> NDArray[np.uint8]:
    """Shrink a picture so that its longer side is at most ``longest`` pixels."""
    height, width = picture.shape[:2]
    ratio = longest / max(height, width)
    if ratio >= 1:
        return picture
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(resize(picture, size, Resampler("cv2", "area")), np.uint8)


def _as_rgb(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round to codes, in place first; a single channel is repeated."""
    rounded = np.rint(pixels, out=pixels)
    if np.isnan(rounded.max(initial=0)):
        np.nan_to_num(rounded, copy=False)
    codes = np.clip(rounded, 0, 255, out=rounded).astype(np.uint8)
    if codes.shape[2] < 3:
        codes = np.repeat(codes[..., :1], 3, axis=2)
    return np.ascontiguousarray(codes[..., :3])
