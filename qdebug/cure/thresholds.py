"""Ranges of a tensor from its histogram, by the methods that toolchains offer.

Every method sees the same histogram, so that they are compared on equal terms; names are those of
the toolchains. ``G2`` is the one that looks at the network's outputs: the error is weighted with
the squared gradient there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from qdebug.cure.histogram import GradientHistogram

Array = npt.NDArray[Any]
Range = tuple[float, float]
Method = Callable[[GradientHistogram, int], Range]

_SHARES = np.concatenate([np.linspace(1, 0.3, 36), np.geomspace(0.29, 0.02, 28)])
"""Ends that are tried, as shares of the range seen; by judgement."""
_GAUSS = {4: 2.55, 8: 3.92, 16: 5.6}
_LAPLACE = {4: 5.03, 8: 9.89, 16: 20.0}
"""Best clipping in standard deviations and in mean distances from the median (Banner, Nahshon and
Soudry, "Post-training 4-bit quantization", 2019, table of ACIQ); 16 bits by judgement."""
_ONE_SIDED = 1.05
"""A half distribution has one more bit for its side: 4.12 / 3.92 and about 11.16 / 9.89."""
_ONE_SIDED_LAPLACE = 1.128
_ROUNDS = 60
"""Most steps of a fixed point; OCTAV settles in about ten."""


def full(histogram: GradientHistogram, _bits: int = 8) -> Range:
    """``MAX``: everything that was seen, and zero."""
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def percentile(share: float) -> Method:
    """``PERCENT``: the given share of all values, the rest cut from the ends that have tails."""

    def method(histogram: GradientHistogram, _bits: int) -> Range:
        low, high = full(histogram)
        cumulated = np.cumsum(histogram.counts) / max(float(histogram.counts.sum()), 1.0)
        tail = (1 - share) / 2 if low < 0 < high else 1 - share
        width = _width(histogram)
        first = int(np.searchsorted(cumulated, tail)) * width - histogram.radius
        last = (int(np.searchsorted(cumulated, 1 - tail)) + 1) * width - histogram.radius
        return max(min(first, 0.0), low), min(max(last, 0.0), high)

    return method


def least_squares(histogram: GradientHistogram, bits: int) -> Range:
    """``MSE``: least squared error of the tensor, both ends shrunk by one factor."""
    low, high = full(histogram)
    costs = np.asarray(histogram.plain().cost(low * _SHARES, high * _SHARES, bits))
    best = float(_SHARES[int(np.argmin(costs))])
    return low * best, high * best


def two_ended(histogram: GradientHistogram, bits: int) -> Range:
    """``MSE2``: the same, each end by a factor of its own."""
    return _grid(histogram.plain(), bits)


def weighted(histogram: GradientHistogram, bits: int) -> Range:
    """``G2``: least error at the network's outputs, to first order."""
    return _grid(histogram, bits)


def octav(histogram: GradientHistogram, bits: int) -> Range:
    """``OCTAV``: Newton's step for the least squared error (Sakr et al. 2022, equation 6)."""
    magnitudes, counts = _magnitudes(histogram)
    inner = 1 / (12 * _levels(histogram, bits) ** 2)
    limit = _limit(histogram)
    end = limit / 2
    for _ in range(_ROUNDS):
        outside = magnitudes > end
        beyond = float((magnitudes * counts)[outside].sum())
        within = float(counts[~outside].sum()) - histogram.zeros
        divisor = inner * within + float(counts[outside].sum())
        if divisor <= 0 or beyond <= 0:
            return _cut(histogram, limit if beyond <= 0 else end)
        if abs(beyond / divisor - end) < 1e-5 * end:
            break
        end = beyond / divisor
    return _cut(histogram, end)


def admm(histogram: GradientHistogram, bits: int) -> Range:
    """``ADMM``: scale and codes in turn, each the best for the other."""
    magnitudes, counts = _magnitudes(histogram)
    levels = _levels(histogram, bits)
    scale = _limit(histogram) / levels
    for _ in range(_ROUNDS):
        codes = np.minimum(np.rint(magnitudes / scale), levels)
        power = float((counts * codes * codes).sum())
        if power <= 0:
            break
        new = float((counts * magnitudes * codes).sum()) / power
        if abs(new - scale) < 1e-6 * scale:
            break
        scale = new
    return _cut(histogram, scale * levels)


def gauss(histogram: GradientHistogram, bits: int) -> Range:
    """``ACIQ Gauss``: the best clipping of a normal distribution of this variance."""
    low, high = full(histogram)
    centers, counts = _centers(histogram), histogram.counts
    total = max(float(counts.sum()), 1.0)
    if not low < 0 < high:
        spread = math.sqrt(float((counts * centers**2).sum()) / total)
        return _cut(histogram, _GAUSS[bits] * _ONE_SIDED * spread)
    mean = float((counts * centers).sum()) / total
    spread = math.sqrt(max(float((counts * centers**2).sum()) / total - mean**2, 0.0))
    return _around(histogram, mean, _GAUSS[bits] * spread)


def laplace(histogram: GradientHistogram, bits: int) -> Range:
    """``ACIQ Laplace``: the best clipping of a Laplace distribution of this mean distance."""
    low, high = full(histogram)
    centers, counts = _centers(histogram), histogram.counts
    total = max(float(counts.sum()), 1.0)
    if not low < 0 < high:
        distance = float((counts * np.abs(centers)).sum()) / total
        return _cut(histogram, _LAPLACE[bits] * _ONE_SIDED_LAPLACE * distance)
    median = float(centers[int(np.searchsorted(np.cumsum(counts) / total, 0.5))])
    distance = float((counts * np.abs(centers - median)).sum()) / total
    return _around(histogram, median, _LAPLACE[bits] * distance)


def _divergence(kind: int) -> Method:
    def method(histogram: GradientHistogram, _bits: int) -> Range:
        if histogram not in _DIVERGENT:
            _DIVERGENT[histogram] = _least_divergent(histogram)
        ends = _DIVERGENT[histogram]
        return full(histogram) if ends is None else _cut(histogram, ends[kind])

    return method


_DIVERGENT: MutableMapping[GradientHistogram, tuple[float, ...] | None] = WeakKeyDictionary()
"""All three divergences come of one scan."""


def _least_divergent(histogram: GradientHistogram) -> tuple[float, ...] | None:
    """Thresholds of least divergence, by kind; None where there is too little to divide."""
    # Compiled with numba, which takes long to import: sensitivity has no use of it.
    from qdebug.cure.divergence import LEVELS, divergences

    if histogram.radius == 0:
        return None
    _, counts = _magnitudes(histogram)
    limit, width = _limit(histogram), _width(histogram)
    bins = min(math.ceil(limit / width), counts.size)
    seen = counts[:bins].copy()
    seen[:1] = np.maximum(seen[:1] - histogram.zeros, 0.0)  # an exact zero costs nothing
    if bins < 2 * LEVELS or seen.sum() <= 0:
        return None
    step = max(bins // 256, 1)
    best = np.argmin(divergences(seen, step), axis=1)
    return tuple((LEVELS + int(at) * step + 0.5) * width for at in best)


METHODS: dict[str, Method] = {
    "MAX": full,
    "PERCENT99.9": percentile(0.999),
    "PERCENT99.99": percentile(0.9999),
    "PERCENT99.999": percentile(0.99999),
    "PERCENT99.9999": percentile(0.999999),
    "MSE": least_squares,
    "MSE2": two_ended,
    "OCTAV": octav,
    "ACIQ Gauss": gauss,
    "ACIQ Laplace": laplace,
    "ADMM": admm,
    "KL": _divergence(0),
    "SYMKL": _divergence(1),
    "JSD": _divergence(2),
    "G2": weighted,
}
"""By the name that toolchains give them; TPU-MLIR's PERCENTILE9999 is ``PERCENT99.99``."""


def _grid(histogram: GradientHistogram, bits: int) -> Range:
    """The best of 64 by 64 pairs of ends."""
    low, high = full(histogram)
    if low == 0.0 or high == 0.0:
        lows, highs = low * _SHARES, high * _SHARES
    else:
        lows, highs = (g.ravel() for g in np.meshgrid(low * _SHARES, high * _SHARES, indexing="ij"))
    best = int(np.argmin(np.asarray(histogram.cost(lows, highs, bits))))
    return float(lows[best]), float(highs[best])


def _width(histogram: GradientHistogram) -> float:
    return 2 * histogram.radius / histogram.counts.size


def _centers(histogram: GradientHistogram) -> Array:
    return (np.arange(histogram.counts.size) + 0.5) * _width(histogram) - histogram.radius


def _magnitudes(histogram: GradientHistogram) -> tuple[Array, Array]:
    """Bins of magnitudes: their centres and counts."""
    half = histogram.counts.size // 2
    counts = histogram.counts[half:] + histogram.counts[:half][::-1]
    return (np.arange(half) + 0.5) * _width(histogram), counts


def _limit(histogram: GradientHistogram) -> float:
    low, high = full(histogram)
    return max(-low, high, 1e-12)


def _levels(histogram: GradientHistogram, bits: int) -> int:
    """Steps from zero to the far end: half of them where the values have both signs."""
    low, high = full(histogram)
    limit = _limit(histogram)
    both = low < -1e-6 * limit and high > 1e-6 * limit
    return int(2 ** (bits - 1) - 1 if both else 2**bits - 1)


def _cut(histogram: GradientHistogram, end: float) -> Range:
    low, high = full(histogram)
    return max(low, -end), min(high, end)


def _around(histogram: GradientHistogram, middle: float, reach: float) -> Range:
    low, high = full(histogram)
    return max(low, min(middle - reach, 0.0)), min(high, max(middle + reach, 0.0))
