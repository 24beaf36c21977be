"""What another calibration would give for a tensor: ranges, and the SQNR each predicts.

The prediction needs only a histogram of the float values: what lies beyond a range's ends is moved
to them, what lies within is rounded to a step, with an error spread evenly over half a step to
each side (power ``step^2 / 12``); values that are exactly zero have no error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.graph.pairs import Quantizer
from qdebug.metrics.histogram import PairHistogram
from qdebug.metrics.sqnr import level_db

Array = npt.NDArray[Any]
Float64Array = npt.NDArray[np.float64]

BINS = 2048
"""Bins of a distribution: as many as ONNX Runtime's percentile calibration takes."""
PERCENTILE = 99.99
"""Values in percent that a range by percentile holds: one of four that Wu et al. (2020, *Integer
Quantization for Deep Learning Inference*) compare."""
_SHRINK = np.geomspace(1.0, 0.02, 80)
"""Shares of the whole range among which the one of least error is looked for: 5 % apart."""


@dataclass(frozen=True)
class Distribution:
    """How the values of a tensor are spread.

    Attributes:
        centers: of the bins, float64.
        counts: values in each.
        width: of a bin.
        low: smallest value.
        high: largest.
        zeros: values that are exactly zero; they are in ``counts`` too.
    """

    centers: Float64Array
    counts: Float64Array
    width: float
    low: float
    high: float
    zeros: int = 0

    @classmethod
    def of(cls, parts: Iterable[Array]) -> Distribution | None:
        """Of the finite values of some arrays; None where there are none."""
        kept = [part[np.isfinite(part)].astype(np.float64) for part in parts]
        values = np.concatenate([np.zeros(0), *kept])
        if not len(values):
            return None
        low, high = float(values.min()), float(values.max())
        counts, edges = np.histogram(values, BINS, (low, high if high > low else low + 1e-30))
        centers = (edges[:-1] + edges[1:]) / 2
        zeros = int(np.count_nonzero(values == 0))
        return cls(centers, counts.astype(np.float64), edges[1] - edges[0], low, high, zeros)

    @classmethod
    def of_histogram(cls, histogram: PairHistogram, low: float, high: float) -> Distribution:
        """Of the float side of a layer's histogram; coarse.

        Args:
            histogram: counts of a part of the values.
            low: smallest of all values.
            high: largest.
        """
        first, last = histogram.range
        edges = np.linspace(first, last, len(histogram.float) + 1)
        centers = np.clip((edges[:-1] + edges[1:]) / 2, low, high)
        return cls(centers, histogram.float.astype(np.float64), histogram.width, low, high)

    def percentile(self, share: float) -> tuple[float, float]:
        """Ends that leave ``(100 - share) / 2`` per cent of the values outside on each side."""
        total = np.cumsum(self.counts) / max(self.counts.sum(), 1)
        tail = (1 - share / 100) / 2
        first = int(np.searchsorted(total, tail))
        last = min(int(np.searchsorted(total, 1 - tail)), len(total) - 1)
        half = self.width / 2
        return (
            max(self.low, float(self.centers[first]) - half),
            min(self.high, float(self.centers[last]) + half),
        )


class Spread:
    """A distribution gathered from arrays one by one: first their extremes, then their counts."""

    def __init__(self) -> None:
        self._low, self._high = np.inf, -np.inf
        self._counts: Float64Array = np.zeros(BINS)
        self._zeros = 0

    def reach(self, part: Array) -> None:
        """Take an array's extremes in."""
        values = part[np.isfinite(part)]
        if values.size:
            self._low = min(self._low, float(values.min()))
            self._high = max(self._high, float(values.max()))

    def count(self, part: Array) -> None:
        """Count an array's values, after all have been reached."""
        values = part[np.isfinite(part)]
        self._counts += np.histogram(values, BINS, self._ends())[0]
        self._zeros += int(np.count_nonzero(values == 0))

    def distribution(self) -> Distribution | None:
        """The distribution; None where no value was finite."""
        if self._high < self._low:
            return None
        edges = np.linspace(*self._ends(), BINS + 1)
        centers, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
        return Distribution(centers, self._counts, width, self._low, self._high, self._zeros)

    def _ends(self) -> tuple[float, float]:
        if self._high < self._low:
            return 0.0, 1.0
        return self._low, self._high if self._high > self._low else self._low + 1e-30


@dataclass(frozen=True)
class Threshold:
    """A range and what it would give.

    Attributes:
        method: how it is chosen.
        low: lower end, zero or less.
        high: upper end, zero or more.
        sqnr_db: predicted for the tensor alone, dB.
    """

    method: str
    low: float
    high: float
    sqnr_db: float


def predicted_error(
    values: Distribution, low: float, high: float, codes: int
) -> tuple[float, float]:
    """Mean squared error by clipping and by rounding, for a range of so many codes."""
    clipping, rounding = _predicted_errors(values, np.array([[low, high]]), codes)
    return float(clipping[0]), float(rounding[0])


def _predicted_errors(
    values: Distribution, ranges: Float64Array, codes: int
) -> tuple[Float64Array, Float64Array]:
    """The two errors for each of some ranges, float64 ``[ranges, 2]``."""
    low, high = ranges[:, :1], ranges[:, 1:]
    step = (high - low) / max(codes - 1, 1)
    count = max(float(values.counts.sum()), 1.0)
    beyond = np.maximum(values.centers - high, low - values.centers)
    outside = beyond > step / 2
    inside = np.maximum(~outside @ values.counts - values.zeros, 0.0)
    clipping = np.where(outside, beyond, 0.0) ** 2 @ values.counts / count
    return clipping, step[:, 0] ** 2 / 12 * inside / count


def predicted_sqnr(values: Distribution, low: float, high: float, codes: int) -> float:
    """SQNR in dB of the tensor quantized to a range; ``inf`` where no error is predicted."""
    power = float(values.counts @ values.centers**2) / max(float(values.counts.sum()), 1.0)
    error = min(sum(predicted_error(values, low, high, codes)), max(power, 0.0)) if power else 0.0
    return level_db(power, max(error, 0.0))


def thresholds(values: Distribution, codes: int, *, symmetric: bool = False) -> list[Threshold]:
    """What calibration by extremes, by percentile and by least error would give.

    Args:
        values: of the tensor.
        codes: how many there are.
        symmetric: ranges reach as far below zero as above it, whatever the values do.
    """
    ends = {
        "max": (values.low, values.high),
        f"percentile {PERCENTILE:g}": values.percentile(PERCENTILE),
    }
    spans = {method: _span(*pair, symmetric) for method, pair in ends.items()}
    spans["least squared error"] = _least_error(values, codes, *spans["max"])
    return [
        Threshold(method, low, high, predicted_sqnr(values, low, high, codes))
        for method, (low, high) in spans.items()
        if high > low
    ]


def _span(low: float, high: float, symmetric: bool) -> tuple[float, float]:
    """A range that holds these ends and zero."""
    reach = max(-low, high, 0.0)
    return (-reach, reach) if symmetric else (min(low, 0.0), max(high, 0.0))


def _least_error(values: Distribution, codes: int, low: float, high: float) -> tuple[float, float]:
    errors = sum(_predicted_errors(values, np.outer(_SHRINK, (low, high)), codes))
    best = float(_SHRINK[np.argmin(errors)])
    return best * low, best * high


def quantizer_for(low: float, high: float, like: Quantizer) -> Quantizer:
    """A per-tensor quantizer over a range, of the same data type as another; zero has a code."""
    span = max(high, 0.0) - min(low, 0.0)
    codes = like.high - like.low
    symmetric = like.dtype.startswith("int") and not np.any(like.zero_point)
    if symmetric:
        scale = max(abs(low), abs(high)) / like.high
        zero = 0
    else:
        scale = span / codes
        zero = round(like.low - min(low, 0.0) / scale) if scale else 0
    return Quantizer(
        like.dtype,
        np.asarray(scale, np.float32),
        np.asarray(zero, np.int64),
        None,
        like.low,
        like.high,
    )
