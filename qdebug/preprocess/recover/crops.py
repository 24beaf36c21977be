"""Estimating from which size a centre crop was cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.geometry import Wh
from qdebug.preprocess.recover.fit import correlation

_SOURCE_SIDE, _GRID = 256, 64
"""Sides of the source and of the crop while they are compared. By judgement, for time; the few
pixels that this misses are tried afterwards."""
_LARGEST = 2.5
"""Shorter side at most, in sides of the crop. By judgement: known pipelines keep 0.8 and more."""
_STEPS = 60  # sides tried in each of three rounds; by judgement, for time


def shorter_side(brightness: NDArray[np.float32], upright: NDArray[Any], target: Wh) -> int:
    """Estimate the shorter side to which a picture was scaled before its centre was cut out.

    Both are compared small, where a few pixels of misplacement do not matter.

    Args:
        brightness: of the source, [height, width].
        upright: the fed values, [height, width, channels].
        target: (width, height) of the crop.
    """
    import cv2

    shrink = _SOURCE_SIDE / min(brightness.shape)
    small = cv2.resize(brightness, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    mean = np.ascontiguousarray(upright.mean(axis=2, dtype=np.float32))
    goal = cv2.resize(mean, (_GRID, _GRID), interpolation=cv2.INTER_AREA).ravel()

    def score(side: float) -> float:
        return correlation(goal, _cut(np.asarray(small), target, side).ravel())

    low, high = float(max(target)), _LARGEST * max(target)
    best = low
    for _ in range(3):
        sides = np.linspace(low, high, _STEPS)
        best = max(sides, key=score)
        width = (high - low) / _STEPS
        low, high = max(float(max(target)), best - width), best + width
    return round(best)


def _cut(small: NDArray[Any], target: Wh, side: float) -> NDArray[Any]:
    """Cut the part of the small source that a crop shows and bring it to the grid."""
    import cv2

    height, width = small.shape
    x, y = (t / side * _SOURCE_SIDE / _GRID for t in target)
    left, top = width / 2 - x * _GRID / 2, height / 2 - y * _GRID / 2
    matrix = np.array([[x, 0, left + x / 2 - 0.5], [0, y, top + y / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, matrix, (_GRID, _GRID), flags=flags))
