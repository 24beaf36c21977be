"""Sums over a float tensor ``f`` and its error ``e = q - f``, from which every metric follows.

The sums are taken block by block: a block of at most ``COLUMNS`` values a row is multiplied and
added in float32, small enough for the processor's cache and for its rounding to stay below 1e-6;
the block sums are added in float64. A block that float32 does not suffice for (squares that
overflow or underflow, a mean that dwarfs the variance) is redone in float64.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Float64Array = npt.NDArray[np.float64]

COLUMNS = 8192
"""Longest float32 sum. At 8192 terms in SIMD lanes its relative error is below 1e-6."""
BLOCK = 1 << 19
"""Values a block: large enough that threads seldom wait for the interpreter, small enough for the
last cache."""
_FOLD = 256
"""Row length of tensors that are one row: makes a block enough rows for other threads to run."""
_RUN = 64
"""Values added one by one in float32."""
_RELEASED = 501
"""numpy's row-wise products let other threads run from this many rows on."""
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
        return self.grouped(len(self.n)) if len(self.n) else Moments.empty()

    def grouped(self, size: int) -> Moments:
        """The sums over every ``size`` consecutive rows, as one row each."""

        def groups(name: str) -> Float64Array:
            value: Float64Array = getattr(self, name).reshape(-1, size)
            return value

        sums = {n: groups(n).sum(axis=1) for n in ("n", *_FIELDS, "nonfinite_f", "nonfinite_q")}
        highest = {name: groups(name).max(axis=1) for name in ("max_abs_e", "max_f", "max_q")}
        lowest = {name: groups(name).min(axis=1) for name in ("min_f", "min_q")}
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
    pieces = _short_pieces(inner) if channels else 1
    shape = (outer, channels * pieces, inner // pieces)
    slices = zip(reference.reshape(shape), test.reshape(shape), strict=True)
    parts = (_rows(f, q) if pieces == 1 else _rows(f, q).grouped(pieces) for f, q in slices)
    result = next(parts, None) or Moments.empty(channels)
    for part in parts:
        result.add(part)
    return result


@functools.lru_cache(maxsize=1024)
def _short_pieces(columns: int) -> int:
    """Equal parts of a long row, each short enough for float32: a block then holds many rows."""
    if columns <= COLUMNS:
        return 1
    few = -(-columns // COLUMNS)
    return next((n for n in range(few, 8 * few) if columns % n == 0), 1)


def measure_again(reference: Array, test: Array, known: Moments) -> Moments:
    """Moments of a float tensor whose own sums are known, against another counterpart.

    Half the work of ``measure``. The extremes of ``test`` are left out.

    Args:
        reference: float32 array of any shape.
        test: float32 array of the same shape.
        known: one row, ``measure(reference, anything)``.

    Returns:
        One row.
    """
    if known.nonfinite_f[0] or known.nonfinite_q[0] or not _is_tame(known.min_f, known.max_f):
        return measure(reference, test)
    f, q = reference.reshape(-1), test.reshape(-1)
    scratch = _scratch(BLOCK)
    ones = np.ones(_FOLD, np.float32)
    ee = fe = total = largest = 0.0
    for start in range(0, len(f), BLOCK):
        part = slice(start, start + BLOCK)
        e = np.subtract(q[part], f[part], out=scratch[: len(f[part])])
        largest = float(np.max([largest, e.max(), -e.min()]))  # propagates NaN
        if not _tame(largest):
            return measure(reference, test)
        for rows_e, rows_f in _folded(_FOLD, e, f[part]):
            ee += float(np.vecdot(rows_e, rows_e).sum(dtype=np.float64))
            fe += float(np.vecdot(rows_f, rows_e).sum(dtype=np.float64))
            total += float(np.vecdot(rows_e, ones[: rows_e.shape[1]]).sum(dtype=np.float64))
    found = Moments.empty()
    for name in ("n", "ff", "f", "min_f", "max_f"):
        setattr(found, name, getattr(known, name).copy())
    found.ee[0], found.fe[0], found.e[0], found.max_abs_e[0] = ee, fe, total, largest
    return found


_LOCAL = threading.local()


def _scratch(size: int) -> Array:
    """Memory for the error of one block, of this thread; getting it anew costs page faults."""
    known: Array | None = getattr(_LOCAL, "scratch", None)
    if known is None or known.size < size:
        known = _LOCAL.scratch = np.empty(max(size, BLOCK), np.float32)
    return known


def _folded(width: int, *flat: Array) -> Iterator[tuple[Array, ...]]:
    """Flat arrays as rows of some width, and what is left over as one row."""
    full = len(flat[0]) // width * width
    if full:
        yield tuple(part[:full].reshape(-1, width) for part in flat)
    if full < len(flat[0]):
        yield tuple(part[None, full:] for part in flat)


def _whole(reference: Array, test: Array) -> Moments:
    """Moments of flat arrays as one row."""
    result = Moments.empty()
    for f, q in _folded(COLUMNS, reference, test):
        result.add(_rows(f, q).total())
    return result


def _rows(reference: Array, test: Array) -> Moments:
    """Moments with a row of the result for each row of the arguments."""
    if reference.size == 0:
        return Moments.empty(len(reference))
    scratch = _scratch(BLOCK)
    blocks = list(_blocks(reference.shape))
    if len(blocks) == 1:
        return _of_one_block(_block(reference, test, scratch, 1), reference.shape[1])
    result = Moments.empty(len(reference))
    for rows, columns in blocks:
        part = _block(reference[rows, columns], test[rows, columns], scratch, 1)
        for name, value in part.items():
            _merge(getattr(result, name)[rows], name, value)
    result.n += reference.shape[1]
    result.n -= result.nonfinite_f + result.nonfinite_q
    return result


def _of_one_block(part: dict[str, Array], values: int) -> Moments:
    """Moments of rows of so many values that are one block."""
    found = {name: np.asarray(value, np.float64) for name, value in part.items()}
    none = np.zeros(len(found["ff"]))
    bad = {name: found.pop(name, none) for name in ("nonfinite_f", "nonfinite_q")}
    count = values - bad["nonfinite_f"] - bad["nonfinite_q"]
    return Moments(n=count, **found, **{name: value.copy() for name, value in bad.items()})


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    rows, columns = shape
    width = min(columns, COLUMNS)
    height = max(1, BLOCK // width)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, top + height), slice(left, left + width)


def _block(f: Array, q: Array, scratch: Array, axis: int) -> dict[str, Array]:
    """Sums along one axis of a block: 1 for a result a row, 0 for a result a column."""
    lows_f, highs_f = f.min(axis=axis), f.max(axis=axis)
    lows_q, highs_q = q.min(axis=axis), q.max(axis=axis)
    f_rows, q_rows = (f, q) if axis == 1 else (f.T, q.T)
    if not _is_tame(lows_f, highs_f, lows_q, highs_q):
        return _block_float64(f_rows, q_rows)
    e = scratch[: f.size].reshape(f.shape)
    np.subtract(q, f, out=e)
    ones = np.ones(f.shape[axis], np.float32)
    found = {
        "ff": _dot(f, f, ones, axis),
        "ee": _dot(e, e, ones, axis),
        "fe": _dot(f, e, ones, axis),
        "f": _total(f, ones, axis),
        "e": _total(e, ones, axis),
        "max_abs_e": np.maximum(e.max(axis=axis), -e.min(axis=axis)),
        "min_f": lows_f,
        "max_f": highs_f,
        "min_q": lows_q,
        "max_q": highs_q,
    }
    (flat,) = np.nonzero(found["f"] ** 2 > _MOSTLY_MEAN * len(ones) * found["ff"])
    return _with_exact_sums(found, f_rows, q_rows, flat) if len(flat) else found


def _dot(a: Array, b: Array, ones: Array, axis: int) -> Array:
    if axis == 0:
        return _total(a * b, ones, axis)
    shape = (len(a), _pieces(*a.shape), -1)
    product: Array = np.vecdot(a.reshape(shape), b.reshape(shape)).sum(axis=1, dtype=np.float64)
    return product


def _total(a: Array, ones: Array, axis: int) -> Array:
    # A matrix product here would start the linear algebra library's own threads.
    if axis == 0:
        full = len(a) // _RUN * _RUN  # numpy adds along this axis value by value: short runs
        runs = a[:full].reshape(-1, _RUN, a.shape[1]).sum(axis=1)
        summed: Array = runs.sum(axis=0, dtype=np.float64) + a[full:].sum(axis=0)
        return summed
    pieces = a.reshape(len(a), _pieces(*a.shape), -1)
    total: Array = np.vecdot(pieces, ones[: pieces.shape[2]]).sum(axis=1, dtype=np.float64)
    return total


@functools.lru_cache(maxsize=1024)
def _pieces(rows: int, columns: int) -> int:
    """Equal parts to cut each row into, so that numpy's row-wise products run side by side."""
    for pieces in range(-(-_RELEASED // max(rows, 1)), columns // 16 + 1):
        if columns % pieces == 0:
            return pieces
    return 1


def _with_exact_sums(found: dict[str, Array], f: Array, q: Array, rows: Array) -> dict[str, Array]:
    """The sums of some rows taken in float64."""
    f64 = f[rows].astype(np.float64)
    e64 = q[rows] - f64
    exact = {
        "ff": np.vecdot(f64, f64),
        "ee": np.vecdot(e64, e64),
        "fe": np.vecdot(f64, e64),
        "f": f64.sum(axis=1),
        "e": e64.sum(axis=1),
    }
    for name, values in exact.items():
        found[name] = found[name].astype(np.float64)
        found[name][rows] = values
    return found


def _is_tame(*extremes: Array) -> bool:
    """Whether float32 squares of values within these extremes are safe; false for NaN."""
    pairs = zip(extremes[::2], extremes[1::2], strict=True)
    return all(_tame(max(-float(low.min()), float(high.max()))) for low, high in pairs)


def _tame(largest: float) -> bool:
    return largest == 0 or _TINY < largest < _HUGE


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
    result = Moments.empty(reference.shape[1])
    if reference.size == 0:
        return result
    height = min(COLUMNS, max(1, BLOCK // reference.shape[1]))
    scratch = _scratch(height * reference.shape[1])
    for top in range(0, len(reference), height):
        rows = slice(top, top + height)
        for name, value in _block(reference[rows], test[rows], scratch, 0).items():
            _merge(getattr(result, name), name, value)
    result.n += len(reference)
    result.n -= result.nonfinite_f + result.nonfinite_q
    return result
