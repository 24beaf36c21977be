"""Where each pixel of the source picture lies in the tensor, and the sizes of each step.

Coordinates are those of pixel edges: (0, 0) is the top left corner of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from qdebug.errors import InputError
from qdebug.preprocess.steps import Letterbox, ResizeShort, Rounding

Wh = tuple[int, int]

_ROUND: dict[Rounding, Callable[[float], int]] = {"round": round, "floor": floor, "ceil": ceil}


@dataclass(frozen=True)
class Geometry:
    """The affine map from the source picture to the tensor's picture.

    ``x_tensor = a * x + b * y + c`` and ``y_tensor = d * x + e * y + f``.
    """

    source: Wh
    """Width and height of the source picture as it is seen (EXIF orientation applied if at all)."""
    target: Wh
    """Width and height of the tensor's picture."""
    matrix: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    @property
    def scale(self) -> tuple[float, float]:
        """Tensor pixels a source pixel, along the tensor's width and height."""
        a, b, _, d, e, _ = self.matrix
        return (a * a + b * b) ** 0.5, (d * d + e * e) ** 0.5

    @property
    def offset(self) -> tuple[float, float]:
        """Where the source's origin lies in the tensor: the padding of a letterbox."""
        return self.matrix[2], self.matrix[5]

    def then(self, a: float, b: float, c: float, d: float, e: float, f: float) -> Geometry:
        """Append an affine map; the target size stays."""
        p, q, r, s, t, u = self.matrix
        combined = (
            a * p + b * s,
            a * q + b * t,
            a * r + b * u + c,
            d * p + e * s,
            d * q + e * t,
            d * r + e * u + f,
        )
        return Geometry(self.source, self.target, combined)

    def resized(self, target: Wh) -> Geometry:
        """Append a stretch to ``target``."""
        x, y = target[0] / self.target[0], target[1] / self.target[1]
        scaled = self.then(x, 0, 0, 0, y, 0)
        return Geometry(self.source, target, scaled.matrix)

    def moved(self, target: Wh, x: int, y: int) -> Geometry:
        """Append padding (positive ``x``, ``y``) or a crop (negative)."""
        shifted = self.then(1, 0, x, 0, 1, y)
        return Geometry(self.source, target, shifted.matrix)

    def to_source(self, boxes: NDArray[np.floating], *, clip: bool = True) -> NDArray[np.float64]:
        """Move boxes from the tensor back onto the source picture.

        Args:
            boxes: shape [..., 4], ``x1, y1, x2, y2`` in tensor pixels.
            clip: cut what sticks out of the picture.

        Returns:
            The same shape, in source pixels; corners in order where clipped.
        """
        a, b, c, d, e, f = self.matrix
        inverse = np.linalg.inv(np.array([[a, b], [d, e]]))
        corners = np.asarray(boxes, np.float64).reshape(*np.shape(boxes)[:-1], 2, 2)
        source = (corners - (c, f)) @ inverse.T
        if not clip:
            return np.asarray(source.reshape(np.shape(boxes)), np.float64)
        low, high = source.min(axis=-2), source.max(axis=-2)
        limit = np.array(self.source, np.float64)
        clipped = np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=-1)
        return clipped.astype(np.float64)


@dataclass(frozen=True)
class Box:
    """A picture of ``size`` lying at ``origin`` inside a canvas."""

    size: Wh
    origin: Wh
    canvas: Wh


def letterbox_box(source: Wh, step: Letterbox) -> Box:
    """Compute where a letterbox places a picture of size ``source``.

    Formula: Ultralytics ``LetterBox.__call__``, with its rounding rule as one of three.
    """
    if step.size is None:
        raise unresolved()
    ratio = min(step.size[0] / source[0], step.size[1] / source[1])
    if not step.upscale:
        ratio = min(ratio, 1.0)
    rounding = _ROUND[step.rounding]
    size = tuple(
        min(max(1, rounding(side * ratio)), limit)
        for side, limit in zip(source, step.size, strict=True)
    )
    inner = (size[0], size[1])
    if step.pad is None:
        return Box(inner, (0, 0), inner)
    free = [limit - side for limit, side in zip(step.size, inner, strict=True)]
    if step.stride:
        free = [space % step.stride for space in free]
    canvas = (inner[0] + free[0], inner[1] + free[1])
    return Box(inner, anchored(canvas, inner, step.anchor == "center"), canvas)


def anchored(canvas: Wh, inner: Wh, centered: bool) -> Wh:
    """Return the top left corner of ``inner`` in ``canvas``: ``round(space / 2 - 0.1)``, or 0."""
    if not centered:
        return 0, 0
    left = round((canvas[0] - inner[0]) / 2 - 0.1)
    return left, round((canvas[1] - inner[1]) / 2 - 0.1)


def short_side_size(source: Wh, step: ResizeShort) -> Wh:
    """Compute the size after scaling the shorter side to ``step.side``."""
    short, long = min(source), max(source)
    longer = max(1, _ROUND[step.rounding](step.side * long / short))
    return (step.side, longer) if source[0] <= source[1] else (longer, step.side)


def crop_origin(source: Wh, size: Wh, rounding: Rounding) -> Wh:
    """Return the top left corner of a centre crop of a picture at least that large."""
    if rounding == "floor":
        return (source[0] - size[0]) // 2, (source[1] - size[1]) // 2
    return round((source[0] - size[0]) / 2.0), round((source[1] - size[1]) / 2.0)


def unresolved() -> InputError:
    """Make the error for a size that should have come from a model."""
    return InputError(
        "the preprocessing takes its size from the model, and no model gave one",
        "write the size, for instance 'yolo 640' or 'letterbox 640'",
    )
