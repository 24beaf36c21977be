"""What fills the border around the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.recover.candidates import Rect
from qdebug.preprocess.spec import Affine

_LEAST_PIXELS = 16  # of a border that is judged; by judgement
_INTEGER = 0.3
"""Pixel codes by which a border's value may miss a whole code: more than a fit is off, less than
the half code between two. By judgement."""
_HALVES = 0.05
"""Pixel codes within which a border's value is taken for a multiple of a half. By judgement."""


@dataclass(frozen=True)
class Border:
    """The border of a fed tensor."""

    constant: bool
    value: tuple[float, ...] = ()
    """In tensor units, by tensor channel."""
    codes: tuple[float, ...] = ()
    """As pixel codes, by tensor channel."""

    @property
    def is_pixel(self) -> bool:
        """Whether it was filled in before the normalization, going by the codes."""
        uniform = max(self.codes) - min(self.codes) <= _INTEGER
        whole = all(abs(c - round(c)) <= _INTEGER for c in self.codes)
        inside = all(-0.5 <= c <= 255.5 for c in self.codes)
        return inside and (whole or uniform)


def read_border(
    upright: NDArray[Any], content: Rect, affine: Affine, noise: float, signed_read: bool
) -> Border | None:
    """Read the border of a tensor [height, width, channels].

    Args:
        upright: the fed values.
        content: where the picture lies.
        affine: the gain and offset found inside the picture.
        noise: what remains unexplained inside the picture, rms in pixel codes.
        signed_read: whether codes from 128 on were read as negative.

    Returns:
        None if there is no border.
    """
    outside = np.ones(upright.shape[:2], bool)
    x0, y0, x1, y1 = content
    outside[y0:y1, x0:x1] = False
    if outside.sum() < _LEAST_PIXELS:
        return None
    values = upright[outside].astype(np.float64)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < _LEAST_PIXELS:
        return None
    gain, offset = np.array(affine.gain), np.array(affine.offset)
    median = np.median(values, axis=0)
    spread = np.percentile(np.abs(values - median) / np.abs(gain), 95, axis=0)
    if (spread > max(1.0, 3 * noise)).any():
        return Border(constant=False)
    codes = (median - offset) / gain
    if signed_read:
        codes = np.where(codes < -0.5, codes + 256, codes)
    value = tuple(float(v) for v in median)
    return Border(True, value, tuple(float(c) for c in _plain(codes)))


def _plain(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to halves where that is within the fit's accuracy."""
    halves = np.rint(codes * 2) / 2
    return np.where(np.abs(codes - halves) < _HALVES, halves, codes)
