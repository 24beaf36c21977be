"""Priors of published detectors of the SSD family, which their graphs seldom hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Sides = tuple[float, float]
"""Width and height of a prior in 0..1 of the picture."""


@dataclass(frozen=True)
class KnownPriors:
    """Priors level by level, cell by cell, shape by shape.

    Attributes:
        name: of who published them.
        strides: pixels a cell of each level.
        pixels: sides of the square priors of each level in pixels; empty where ``shares`` is given.
        shares: sides of the priors of each level as shares of the picture's.
        y_first: offsets are written ``y, x, height, width``.
    """

    name: str
    strides: tuple[int, ...]
    pixels: tuple[tuple[int, ...], ...] = ()
    shares: tuple[tuple[Sides, ...], ...] = ()
    y_first: bool = False

    def table(self, size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """``[n, 4]``: centre and size in 0..1 of a picture of this width and height."""
        parts = []
        for stride, sides in zip(self.strides, self._sides(size), strict=True):
            width, height = (-(-side // stride) for side in size)
            y, x = np.mgrid[:height, :width]
            cells = (width, height) if self.shares else (size[0] / stride, size[1] / stride)
            centers = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
            spread = np.broadcast_to(np.array(sides)[None], (len(centers), len(sides), 2))
            repeated = np.broadcast_to(centers[:, None], spread.shape)
            parts.append(np.concatenate([repeated, spread], axis=-1).reshape(-1, 4))
        return np.concatenate(parts)

    def _sides(self, size: tuple[int, int]) -> Iterator[list[Sides]]:
        for shares in self.shares:
            yield list(shares)
        for pixels in self.pixels:
            yield [(side / size[0], side / size[1]) for side in pixels]


def _tensorflow_shares() -> Iterator[tuple[Sides, ...]]:
    """``create_ssd_anchors`` of TensorFlow's Object Detection API, as its SSDs use it."""
    scales = [0.2 + (0.95 - 0.2) * level / 5 for level in range(6)] + [1.0]
    for level, scale in enumerate(scales[:-1]):
        if level == 0:
            forms = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            forms = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)]
            forms.append((math.sqrt(scale * scales[level + 1]), 1.0))
        yield tuple((s * math.sqrt(ratio), s / math.sqrt(ratio)) for s, ratio in forms)


_PUBLISHED = (
    KnownPriors("UltraFace", (8, 16, 32, 64), ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))),
    KnownPriors("RetinaFace", (8, 16, 32), ((16, 32), (64, 128), (256, 512))),
    KnownPriors(
        "TensorFlow SSD",
        (16, 32, 64, 128, 256, 512),
        shares=tuple(_tensorflow_shares()),
        y_first=True,
    ),
)
"""``min_boxes`` of Ultra-Light-Fast-Generic-Face-Detector's ``fd_config``, ``min_sizes`` of
Pytorch_Retinaface's ``cfg_mnet``, and the SSD configurations of TensorFlow's Object Detection API,
whose box coder writes ``ty, tx, th, tw``."""


def published(size: tuple[int, int], count: int) -> Iterator[tuple[KnownPriors, np.ndarray]]:
    """Published priors of which an input of this size has so many, with their table."""
    for known in _PUBLISHED:
        table = known.table(size)
        if len(table) == count:
            yield known, table
