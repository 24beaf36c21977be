"""The loops over every value of every tensor, compiled.

A tensor comes as ``[outer, rows, inner]``, the rows being what is summed apart. Sums are float64,
in which no square of a float32 overflows or vanishes. Extremes are found among the values' bits:
integers in the same order, of which the processor compares many at a time, NaN or not.

The kernels let other Python threads run. They are compiled once, in some seconds, and kept beside
this file or in the user's cache for the next process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from qdebug.metrics.metric import FIELDS, Sums, terms
from qdebug.metrics.tuples import add_to_column, plus

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])

_N, _FIRST = 0, 1
_BAD_F, _BAD_Q, _MAX_E, _MAX_F, _MAX_Q, _MIN_F, _MIN_Q = range(-7, 0)
"""The columns of a table as ``FIELDS`` has them: the count, sums, and these."""
_SUMS = len(Sums._fields)
_ZERO = (0.0,) * _SUMS

_BLOCK = 2048
"""Values read from memory once, and then from the first cache."""
_SIGN = np.int32(31)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_LARGE = np.float32(1.5e38).view(np.int32)
"""The bits of a value up to which errors do not overflow; infinity's and NaN's are beyond."""

_CONST_3D = numba.types.Array(numba.float32, 3, "C", readonly=True)
_CONST_2D = numba.types.Array(numba.float32, 2, "C", readonly=True)
_CONST_1D = numba.types.Array(numba.float32, 1, "C", readonly=True)
_STRIDED = numba.types.Array(numba.float32, 1, "A", readonly=True)
_PAIR: Any = numba.types.UniTuple(numba.float64, 2)  # type: ignore[no-untyped-call]
_TABLE, _FLOAT = numba.float64[:, ::1], numba.float64


_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    # Sums may be taken in any order, or they could not be taken side by side.
    "fastmath": {"reassoc", "contract", "nsz"},
}


_CODE = terms.__code__
_KEY = hashlib.sha256(repr((FIELDS, _CODE.co_code, _CODE.co_consts, _CODE.co_names)).encode())
"""Tells what is summed: kernels that were compiled and kept for other sums are not used."""


def _part(function: F) -> F:
    """Compiled into the kernels that call it."""
    part: F = register_jitable(**_OPTIONS)(function)
    return part


def _kernel(signature: Any) -> Callable[[F], F]:
    """Compiled for one signature, when this module is imported."""

    def compile_function(function: F) -> F:
        function.__qualname__ += f"_{_KEY.hexdigest()[:12]}"  # of which the kept file has its name
        try:
            kernel: F = numba.njit(signature, nogil=True, cache=True, **_OPTIONS)(function)
        except (RuntimeError, OSError):  # no folder that can be written to, or a full disk
            kernel = numba.njit(signature, nogil=True, **_OPTIONS)(function)
        return kernel

    return compile_function


_terms = _part(terms)


@_part
def _add_sums_to(row: Array, sums: Any) -> None:
    for at in range(_SUMS):
        row[_FIRST + at] += sums[at]


@_part
def _ordered(bits: Any) -> Any:
    """The bits of a float32 as an integer that is larger for a larger value, and back again."""
    return bits ^ ((bits >> _SIGN) & _MAGNITUDE)


@_part
def _extremes(bits: Array) -> Any:
    low = _ordered(bits[0])
    high = low
    for i in range(1, bits.size):
        key = _ordered(bits[i])
        low, high = min(low, key), max(high, key)
    return low, high


@_part
def _largest(bits: Array) -> Any:
    found = np.int32(0)
    for i in range(bits.size):
        found = max(found, bits[i] & _MAGNITUDE)
    return found


@_part
def _add_value(f: float, q: float, row: Array) -> None:
    """Include one pair of finite values."""
    error = q - f
    row[_N] += 1
    _add_sums_to(row, _terms(f, error))
    row[_MAX_E] = max(row[_MAX_E], abs(error))
    row[_MAX_F], row[_MAX_Q] = max(row[_MAX_F], f), max(row[_MAX_Q], q)
    row[_MIN_F], row[_MIN_Q] = min(row[_MIN_F], f), min(row[_MIN_Q], q)


@_part
def _add_values(f: Array, q: Array, row: Array) -> None:
    """Include values one by one; a pair that is not finite is counted and left out."""
    for i in range(f.size):
        if not np.isfinite(f[i]):
            row[_BAD_F] += 1
        elif not np.isfinite(q[i]):
            row[_BAD_Q] += 1
        else:
            _add_value(np.float64(f[i]), np.float64(q[i]), row)


@_part
def _add_sums(f: Array, q: Array, e: Array, row: Array) -> None:
    """Include the sums over finite values; leaves their errors in ``e``."""
    sums = _ZERO
    for i in range(f.size):
        value = np.float64(f[i])
        error = np.float64(q[i]) - value
        e[i] = error
        sums = plus(sums, _terms(value, error))
    row[_N] += f.size
    _add_sums_to(row, sums)


@_part
def _add_extremes(keys: Array, row: Array) -> None:
    """Include the largest ``|e|``, ``f`` and ``q`` and the least ``f`` and ``q``."""
    bits = np.empty(5, np.int32)
    for i in range(5):
        bits[i] = _ordered(keys[i])
    values = bits.view(np.float32)
    for i in range(3):
        row[_MAX_E + i] = max(row[_MAX_E + i], np.float64(values[i]))
    for i in range(2):
        row[_MIN_F + i] = min(row[_MIN_F + i], np.float64(values[3 + i]))


@_part
def _add_block(f: Array, q: Array, e: Array, keys: Array, row: Array) -> None:
    """Include a block of one row; ``e`` and ``keys`` are memory for its errors and extremes."""
    low_f, high_f = _extremes(f.view(np.int32))
    low_q, high_q = _extremes(q.view(np.int32))
    if max(high_f, high_q) >= _LARGE or min(low_f, low_q) <= ~_LARGE:
        _add_values(f, q, row)
        return
    _add_sums(f, q, e, row)
    keys[0] = _largest(e[: f.size].view(np.int32))
    keys[1], keys[2], keys[3], keys[4] = high_f, high_q, low_f, low_q
    _add_extremes(keys, row)


@_kernel(numba.void(_CONST_3D, _CONST_3D, _TABLE))
def add_rows(f: Array, q: Array, table: Array) -> None:
    """Include a tensor's values in its rows.

    Args:
        f: float32 ``[outer, rows, inner]``.
        q: the same shape.
        table: float64 ``[rows, len(FIELDS)]``, added to.
    """
    outer, rows, inner = f.shape
    e, keys = np.empty(min(inner, _BLOCK), np.float32), np.empty(5, np.int32)
    for o in range(outer):
        for row in range(rows):
            for start in range(0, inner, _BLOCK):
                block = slice(start, start + _BLOCK)
                _add_block(f[o, row, block], q[o, row, block], e, keys, table[row])


@_part
def _add_line(f: Array, q: Array, e: Array, sums: Array, keys: Array) -> None:
    """Include one value of every column in its sums and its five extremes."""
    for i in range(f.size):
        value = np.float64(f[i])
        error = np.float64(q[i]) - value
        e[i] = error
        add_to_column(sums, 0, i, _terms(value, error))
    bits_f, bits_q, bits_e = f.view(np.int32), q.view(np.int32), e.view(np.int32)
    for i in range(f.size):
        keys[0, i] = max(keys[0, i], bits_e[i] & _MAGNITUDE)
    for i in range(f.size):
        key = _ordered(bits_f[i])
        keys[1, i], keys[3, i] = max(keys[1, i], key), min(keys[3, i], key)
    for i in range(f.size):
        key = _ordered(bits_q[i])
        keys[2, i], keys[4, i] = max(keys[2, i], key), min(keys[4, i], key)


@_kernel(numba.void(_CONST_2D, _CONST_2D, _TABLE))
def add_columns(f: Array, q: Array, table: Array) -> None:
    """Include a tensor's values in its columns, which lie side by side in memory.

    Args:
        f: float32 ``[outer, columns]``.
        q: the same shape.
        table: float64 ``[columns, len(FIELDS)]``, added to.
    """
    outer, columns = f.shape
    sums, keys = np.zeros((_SUMS, columns)), np.zeros((5, columns), np.int32)
    keys[1:3], keys[3:] = ~_MAGNITUDE, _MAGNITUDE
    e = np.empty(columns, np.float32)
    for o in range(outer):
        _add_line(f[o], q[o], e, sums, keys)
    for i in range(columns):
        if max(keys[1, i], keys[2, i]) >= _LARGE or min(keys[3, i], keys[4, i]) <= ~_LARGE:
            _add_values(f[:, i], q[:, i], table[i])
        elif outer:
            table[i, _N] += outer
            table[i, _FIRST : _FIRST + _SUMS] += sums[:, i]
            _add_extremes(keys[:, i], table[i])


@_kernel(_PAIR(_CONST_1D, _CONST_1D, _FLOAT, _FLOAT))
def clipped(f: Array, q: Array, low: float, high: float) -> tuple[float, float]:
    """Float values outside two limits: how many, and the sum of their squared errors.

    Args:
        f: float32, flat.
        q: as long.
        low: the lowest value that is not outside.
        high: the highest one.
    """
    count = ee = 0.0
    for i in range(f.size):
        value = np.float64(f[i])
        if value < low or value > high:
            error = np.float64(q[i]) - value
            count += 1
            ee += error * error
    return count, ee


@_kernel(_PAIR(_STRIDED))
def finite_range(values: Array) -> tuple[float, float]:
    """Lowest and highest of the finite values of a flat float32 array; infinities of none."""
    low, high = np.inf, -np.inf
    for value in values:
        if np.isfinite(value):
            low, high = min(low, np.float64(value)), max(high, np.float64(value))
    return low, high


@_kernel(numba.void(_STRIDED, _FLOAT, _FLOAT, numba.int64[::1]))
def count_in_bins(values: Array, low: float, width: float, counts: Array) -> None:
    """Count the finite values of a flat float32 array in bins of one width.

    Args:
        values: to count; those beyond the bins go to the first or the last one.
        low: where the first bin begins.
        width: of a bin.
        counts: int64, added to.
    """
    for value in values:
        if np.isfinite(value):
            place = int(min((np.float64(value) - low) / width, np.float64(counts.size - 1)))
            counts[max(place, 0)] += 1


@_kernel(numba.void(_CONST_1D, _CONST_1D, _FLOAT, _TABLE, numba.float64[::1]))
def add_weighted(values: Array, weights: Array, radius: float, sums: Array, zeros: Array) -> None:
    """Add flat float32 values to bins over ``[-radius, radius)``, and their squared weights.

    Args:
        values: none beyond the bins.
        weights: of the values; where either is not finite, the value is left out.
        radius: where the bins end.
        sums: float64 ``[4, bins]``, added to: counts, squared weights, and those times the value
            and times its square.
        zeros: float64 ``[3]``, added to: the count and the squared weights of exact zeros, and
            how many values were left out.
    """
    bins = sums.shape[1]
    scale = bins / (2 * radius)
    for at in range(values.size):
        value, weight = np.float64(values[at]), np.float64(weights[at])
        if not (np.isfinite(value) and np.isfinite(weight)):
            zeros[2] += 1
            continue
        place = min(max(int((value + radius) * scale), 0), bins - 1)
        squared = weight * weight
        sums[0, place] += 1
        sums[1, place] += squared
        sums[2, place] += squared * value
        sums[3, place] += squared * value * value
        if value == 0:
            zeros[0] += 1
            zeros[1] += squared


@_kernel(numba.void(_STRIDED, _FLOAT, _FLOAT, numba.boolean[::1]))
def mark_codes(values: Array, low: float, step: float, seen: Array) -> None:
    """Mark the codes that finite values of a flat float32 array are nearest to.

    Args:
        values: real values.
        low: the real value of the lowest code.
        step: between the values of two codes.
        seen: one for each code.
    """
    for value in values:
        if np.isfinite(value):
            code = np.rint((np.float64(value) - low) / step)
            seen[int(max(0.0, min(code, np.float64(seen.size - 1))))] = True
