"""Histograms of float and quant values on common bins, for streams whose range is not known."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
BINS = 64
"""Bins of every histogram."""


class PairHistogram:
    """Counts two streams of values in the same ``BINS`` equal bins.

    The bins are laid over the first values; later values beyond them double the bins' width,
    neighbours merged, as often as needed, so no count is ever lost or moved to a wrong bin.

    Args:
        low: where the bins begin, if that is known.
        high: where they end; the same for bins that are laid over the first values.
    """

    def __init__(self, low: float = 0.0, high: float = 0.0) -> None:
        self.low = low
        self.width = (high - low) / BINS
        self.float = np.zeros(BINS, np.int64)
        self.quant = np.zeros(BINS, np.int64)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest edge."""
        return self.low, self.low + self.width * BINS

    def add(self, float_values: Array, quant_values: Array) -> None:
        """Count further values, float32 ``[n]``; those that are not finite are left out."""
        from qdebug.metrics import kernels  # compiled when first imported

        lows, highs = zip(*map(kernels.finite_range, (float_values, quant_values)), strict=True)
        if min(lows) > max(highs):
            return  # not one of them is finite
        self._cover(min(lows), max(highs))
        kernels.count_in_bins(float_values, self.low, self.width, self.float)
        kernels.count_in_bins(quant_values, self.low, self.width, self.quant)

    def _cover(self, low: float, high: float) -> None:
        if self.width == 0:
            self.low = low
            self.width = max((high - low) / BINS, abs(low) * 1e-6, np.finfo(np.float32).tiny)
        while low < self.low:
            self.low -= self.width * BINS
            self.float, self.quant = _merge(self.float, False), _merge(self.quant, False)
            self.width *= 2
        while high > self.range[1]:
            self.float, self.quant = _merge(self.float, True), _merge(self.quant, True)
            self.width *= 2


def _merge(counts: npt.NDArray[np.int64], at_start: bool) -> npt.NDArray[np.int64]:
    """Counts on bins twice as wide, in the first or the second half of the new range."""
    pairs = counts.reshape(-1, 2).sum(axis=1)
    empty = np.zeros(BINS // 2, np.int64)
    return np.concatenate([pairs, empty] if at_start else [empty, pairs])


def strided_sample(values: Array, limit: int) -> Array:
    """At most ``limit`` values of a flattened tensor, by a stride coprime to its shape.

    A stride that divides the row length would look at one column only.
    """
    return values.reshape(-1)[:: _stride(values.shape, limit)]


@functools.lru_cache(maxsize=4096)
def _stride(shape: tuple[int, ...], limit: int) -> int:
    stride = max(1, -(-math.prod(shape) // limit))
    while stride > 1 and any(math.gcd(stride, dim) > 1 for dim in shape if dim > 1):
        stride += 1
    return stride
