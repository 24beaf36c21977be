"""Histograms of float and quant values on common bins, for streams whose range is not known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.run.arrays import BINS

Array = npt.NDArray[Any]


class PairHistogram:
    """Counts two streams of values in the same ``BINS`` equal bins.

    The bins are laid over the first values; later values beyond them double the bins' width,
    neighbours merged, as often as needed, so no count is ever lost or moved to a wrong bin.
    """

    def __init__(self) -> None:
        self.low = 0.0
        self.width = 0.0
        self.float = np.zeros(BINS, np.int64)
        self.quant = np.zeros(BINS, np.int64)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest edge."""
        return self.low, self.low + self.width * BINS

    def add(self, float_values: Array, quant_values: Array) -> None:
        """Count further values (one-dimensional); those that are not finite are left out."""
        f = float_values[np.isfinite(float_values)].astype(np.float64)
        q = quant_values[np.isfinite(quant_values)].astype(np.float64)
        if not len(f) and not len(q):
            return
        both = [part for part in (f, q) if len(part)]
        low, high = min(p.min() for p in both), max(p.max() for p in both)
        self._cover(float(low), float(high))
        self.float += self._count(f)
        self.quant += self._count(q)

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

    def _count(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        at = np.minimum((values - self.low) / self.width, BINS - 1).astype(np.int64)
        return np.bincount(np.maximum(at, 0), minlength=BINS).astype(np.int64)


def _merge(counts: npt.NDArray[np.int64], at_start: bool) -> npt.NDArray[np.int64]:
    """Counts on bins twice as wide, in the first or the second half of the new range."""
    pairs = counts.reshape(-1, 2).sum(axis=1)
    empty = np.zeros(BINS // 2, np.int64)
    return np.concatenate([pairs, empty] if at_start else [empty, pairs])


def strided_sample(values: Array, limit: int) -> Array:
    """At most ``limit`` values of a flattened tensor, by a stride coprime to its shape.

    A stride that divides the row length would look at one column only.
    """
    flat = values.reshape(-1)
    stride = -(-len(flat) // limit)
    while stride > 1 and any(np.gcd(stride, dim) > 1 for dim in values.shape if dim > 1):
        stride += 1
    return flat[::stride]
