"""The grids of cells that one-stage detectors divide their input into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32), (4, 8, 16), (8, 16, 32, 64, 128))
"""Pixels a cell, level by level: of YOLO's usual heads, P6 heads, tiny heads, P2 heads."""
_SLACK = 0.02
"""Quantized probabilities may leave 0..1 by rounding of the range's ends."""


@dataclass(frozen=True)
class Grid:
    """All cells of all levels, in the order in which YOLO writes them: rows of each level.

    Attributes:
        cells: float64 ``[n, 2]``, column and row of each cell.
        strides: float64 ``[n]``, pixels a cell.
    """

    cells: npt.NDArray[np.float64]
    strides: npt.NDArray[np.float64]

    @classmethod
    def of(cls, levels: Sequence[tuple[int, int, float]]) -> Grid:
        """The cells of levels given as width, height and stride."""
        cells, strides = [], []
        for width, height, stride in levels:
            y, x = np.mgrid[:height, :width]
            cells.append(np.stack([x, y], axis=-1).reshape(-1, 2))
            strides.append(np.full(width * height, stride))
        return cls(np.concatenate(cells).astype(np.float64), np.concatenate(strides) * 1.0)


def grids_with(
    size: tuple[int, int], boxes: int, per_cell: Sequence[int]
) -> tuple[int, Grid] | None:
    """The grids of an input that have as many boxes.

    Args:
        size: width and height of the input.
        boxes: number of boxes.
        per_cell: possible numbers of boxes a cell.

    Returns:
        Boxes a cell, and the grid; None where no grid fits.
    """
    for strides in STRIDES:
        levels = [(-(-size[0] // s), -(-size[1] // s), float(s)) for s in strides]
        cells = sum(width * height for width, height, _ in levels)
        for count in per_cell:
            if cells * count == boxes:
                return count, Grid.of(levels)
    return None


def likely_probabilities(values: Array) -> bool:
    """Whether all values are in 0..1, give or take a rounding step."""
    finite = values[np.isfinite(values)]
    return bool(finite.size) and bool(finite.min() >= -_SLACK and finite.max() <= 1 + _SLACK)


def sigmoid(values: Array) -> npt.NDArray[np.float64]:
    """``1 / (1 + exp(-x))`` in float64, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * np.asarray(values, np.float64))))


def softmax(values: Array, axis: int) -> npt.NDArray[np.float64]:
    """Softmax in float64."""
    shifted = np.asarray(values, np.float64) - np.max(values, axis=axis, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))
