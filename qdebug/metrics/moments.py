"""Sums over a float tensor ``f`` and its error ``e = q - f``, from which every metric follows.

The sums are taken block by block: a block of at most ``COLUMNS`` values a row is multiplied and
added in float32, small enough for the processor's cache and for its rounding to stay below 1e-6;
the block sums are added in float64. A block that float32 does not suffice for (squares that
overflow or underflow, a mean that dwarfs the variance) is redone in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64Array = npt.NDArray[np.float64]

COLUMNS = 8192
"""Longest float32 sum. At 8192 terms in SIMD lanes its relative error is below 1e-6."""
BLOCK = 131072
"""Values a block: large enough to hide the cost of a call, small enough for the caches."""
_TINY, _HUGE = 1e-15, 1e15
_MOSTLY_MEAN = 0.99
"""A row whose power is its mean's to this share would lose its variance to float32 rounding."""
_FIELDS = ("ff", "ee", "fe", "f", "e")


@dataclass
class Moments:
    """Sums over rows of values; each field is float64 ``[rows]``, a row being a channel.

    Attributes:
        n: values in each row.
        ff: sum of ``f^2``.
        ee: sum of ``e^2``.
        fe: sum of ``f e``.
        f: sum of ``f``.
        e: sum of ``e``.
        max_abs_e: largest ``|e|``.
        min_f: smallest ``f``; likewise ``max_f``, ``min_q`` and ``max_q``.
        nonfinite_f: NaN and infinite values of ``f``; likewise ``nonfinite_q``. They are left out
            of all sums, together with their counterpart.
    """

    n: Float64Array
    ff: Float64Array
    ee: Float64Array
    fe: Float64Array
    f: Float64Array
    e: Float64Array
    max_abs_e: Float64Array
    min_f: Float64Array
    max_f: Float64Array
    min_q: Float64Array
    max_q: Float64Array
    nonfinite_f: Float64Array
    nonfinite_q: Float64Array

    @classmethod
    def empty(cls, rows: int = 1) -> Moments:
        """The sums over nothing."""
        zeros = {name: np.zeros(rows) for name in ("n", *_FIELDS, "nonfinite_f", "nonfinite_q")}
        low = {name: np.full(rows, np.inf) for name in ("min_f", "min_q")}
        high = {name: np.full(rows, -np.inf) for name in ("max_f", "max_q")}
        return cls(max_abs_e=np.zeros(rows), **zeros, **low, **high)

    def add(self, other: Moments) -> None:
        """Include the sums over further values, row by row."""
        for name in ("n", *_FIELDS, "nonfinite_f", "nonfinite_q"):
            getattr(self, name).__iadd__(getattr(other, name))
        for name in ("max_abs_e", "max_f", "max_q"):
            np.maximum(getattr(self, name), getattr(other, name), out=getattr(self, name))
        for name in ("min_f", "min_q"):
            np.minimum(getattr(self, name), getattr(other, name), out=getattr(self, name))

    def total(self) -> Moments:
        """The sums over all rows, as one row."""
        if len(self.n) == 0:
            return Moments.empty()
        sums = {
            name: getattr(self, name).sum(keepdims=True)
            for name in ("n", *_FIELDS, "nonfinite_f", "nonfinite_q")
        }
        highest = {
            name: getattr(self, name).max(keepdims=True) for name in ("max_abs_e", "max_f", "max_q")
        }
        lowest = {name: getattr(self, name).min(keepdims=True) for name in ("min_f", "min_q")}
        return Moments(**sums, **highest, **lowest)

    @property
    def qq(self) -> Float64Array:
        """Sum of ``q^2``, without the cancellation of summing it apart."""
        return np.maximum(self.ff + 2 * self.fe + self.ee, 0)

    @property
    def fq(self) -> Float64Array:
        """Sum of ``f q``."""
        return self.ff + self.fe


def measure(reference: Array, test: Array, channel_axis: int | None = None) -> Moments:
    """Moments of a float tensor and its quant counterpart.

    Args:
        reference: float32 array of any shape.
        test: float32 array of the same shape.
        channel_axis: axis whose entries become the rows of the result; None for one row.

    Returns:
        Moments with ``shape[channel_axis]`` rows, or one.
    """
    if channel_axis is None or reference.ndim == 0:
        return _whole(reference.reshape(-1), test.reshape(-1))
    outer = int(np.prod(reference.shape[:channel_axis]))
    channels = reference.shape[channel_axis]
    inner = int(np.prod(reference.shape[channel_axis + 1 :]))
    if inner == 1:
        return _columns(reference.reshape(outer, channels), test.reshape(outer, channels))
    result = Moments.empty(channels)
    shape = (outer, channels, inner)
    for f, q in zip(reference.reshape(shape), test.reshape(shape), strict=True):
        result.add(_rows(f, q))
    return result


def _whole(reference: Array, test: Array) -> Moments:
    """Moments of flat arrays as one row, summed in rows short enough for float32."""
    full = len(reference) // COLUMNS * COLUMNS
    parts = [part.reshape(-1, COLUMNS) for part in (reference[:full], test[:full])]
    result = _rows(parts[0], parts[1]).total()
    result.add(_rows(reference[None, full:], test[None, full:]))
    return result


def _rows(reference: Array, test: Array) -> Moments:
    """Moments with a row of the result for each row of the arguments."""
    result = Moments.empty(len(reference))
    if reference.size == 0:
        return result
    scratch = np.empty(min(reference.size, BLOCK), np.float32)
    for rows, columns in _blocks(reference.shape):
        part = _block(reference[rows, columns], test[rows, columns], scratch)
        for name, value in part.items():
            _merge(getattr(result, name)[rows], name, value)
    result.n += reference.shape[1]
    result.n -= result.nonfinite_f + result.nonfinite_q
    return result


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    rows, columns = shape
    width = min(columns, COLUMNS)
    height = max(1, BLOCK // width)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, top + height), slice(left, left + width)


def _block(f: Array, q: Array, scratch: Array) -> dict[str, Array]:
    lows_f, highs_f = f.min(axis=1), f.max(axis=1)
    lows_q, highs_q = q.min(axis=1), q.max(axis=1)
    if not _is_tame(lows_f, highs_f, lows_q, highs_q):
        return _block_float64(f, q)
    e = scratch[: f.size].reshape(f.shape)
    np.subtract(q, f, out=e)
    ones = np.ones(f.shape[1], np.float32)
    ff, sums = np.vecdot(f, f), f @ ones
    if np.any(sums * sums > _MOSTLY_MEAN * f.shape[1] * ff):
        return _block_float64(f, q)
    return {
        "ff": ff,
        "ee": np.vecdot(e, e),
        "fe": np.vecdot(f, e),
        "f": sums,
        "e": e @ ones,
        "max_abs_e": np.maximum(e.max(axis=1), -e.min(axis=1)),
        "min_f": lows_f,
        "max_f": highs_f,
        "min_q": lows_q,
        "max_q": highs_q,
    }


def _is_tame(*extremes: Array) -> bool:
    """Whether float32 squares of values within these extremes are safe; false for NaN."""
    largest = max(max(float(-part.min()), float(part.max())) for part in extremes[:2])
    other = max(max(float(-part.min()), float(part.max())) for part in extremes[2:])
    return all(value == 0 or _TINY < value < _HUGE for value in (largest, other))


def _block_float64(f: Array, q: Array) -> dict[str, Array]:
    """The same in float64, leaving out what is not finite."""
    f, q = f.astype(np.float64), q.astype(np.float64)
    bad_f, bad_q = ~np.isfinite(f), ~np.isfinite(q)
    keep = ~(bad_f | bad_q)
    f0, q0 = np.where(keep, f, 0.0), np.where(keep, q, 0.0)
    e = q0 - f0
    return {
        "ff": np.vecdot(f0, f0),
        "ee": np.vecdot(e, e),
        "fe": np.vecdot(f0, e),
        "f": f0.sum(axis=1),
        "e": e.sum(axis=1),
        "max_abs_e": np.abs(e).max(axis=1),
        "min_f": np.where(keep, f, np.inf).min(axis=1),
        "max_f": np.where(keep, f, -np.inf).max(axis=1),
        "min_q": np.where(keep, q, np.inf).min(axis=1),
        "max_q": np.where(keep, q, -np.inf).max(axis=1),
        "nonfinite_f": bad_f.sum(axis=1),
        "nonfinite_q": (bad_q & ~bad_f).sum(axis=1),
    }


def _merge(into: Array, name: str, value: Array) -> None:
    if name.startswith("min_"):
        np.minimum(into, value, out=into)
    elif name.startswith("max_"):
        np.maximum(into, value, out=into)
    else:
        into += value


def _columns(reference: Array, test: Array) -> Moments:
    """Moments with a row of the result for each column of the arguments."""
    height = max(1, BLOCK // max(1, reference.shape[1]))
    result = Moments.empty(reference.shape[1])
    for top in range(0, len(reference), height):
        rows = slice(top, top + height)
        f, q = np.ascontiguousarray(reference[rows].T), np.ascontiguousarray(test[rows].T)
        result.add(_rows(f, q))
    return result
