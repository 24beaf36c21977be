"""The loops over every value of every tensor, as numba compiles them; called through ``kernels``.

A tensor comes as ``[outer, rows, inner]``, the rows being what is summed apart. Sums are float64,
in which no square of a float32 overflows or vanishes. Extremes are found among the values' bits:
integers in the same order, of which the processor compares many at a time, NaN or not.

Their machine code runs in processes without numba (``machine_code``). So they take addresses and
lengths, for which the caller answers, allocate nothing and raise nothing: memory that they need is
handed in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import carray  # type: ignore[attr-defined, unused-ignore]
from numba.extending import register_jitable

from qdebug.metrics.addresses import ask_for, behind
from qdebug.metrics.metric import FIELDS, Sums, terms
from qdebug.metrics.tuples import add_to_column, plus

Array = npt.NDArray[Any]
Address = Any
"""Where values begin; of which type and shape they are is said where they are read."""

OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    # Sums may be taken in any order, or they could not be taken side by side.
    "fastmath": {"reassoc", "contract", "nsz"},
}
"""What numba is told for all of them."""

_COLUMNS = len(FIELDS)
_N, _FIRST = 0, 1
_BAD_F, _BAD_Q, _MAX_E, _MAX_F, _MAX_Q, _MIN_F, _MIN_Q = range(-7, 0)
"""The columns of a table as ``FIELDS`` has them: the count, sums, and these."""
_SUMS = len(Sums._fields)
_ZERO = (0.0,) * _SUMS

_CACHE_LINE = 64
"""Bytes that the processor reads at once."""
_AHEAD = 4096
"""Bytes by which what comes next is asked for before it is read: while a block is looked at, memory
is read for the one after the next. Without, half of the time goes by in waiting for memory."""
_LINES = 4
"""Lines of columns that are summed before their sums are written."""

_SIGN = np.int32(31)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_LAST_WITHOUT_SIGN = np.uint32(_MAGNITUDE)
_LARGE = np.float32(1.5e38).view(np.int32)
"""The bits of a value up to which errors do not overflow; infinity's and NaN's are beyond."""

_part = register_jitable(**OPTIONS)
"""Compiled into the loops that call it."""
_terms = _part(terms)


@_part
def _strided(values: Address, size: int, step: int) -> Any:
    """A flat float32 array whose values lie ``step`` values apart."""
    return carray(values, (size, step), np.float32)[:, 0]


@_part
def _place(at: float, places: int) -> int:
    """The place of a number that may lie before the first one or behind the last, or be NaN."""
    inside = at if at > 0 else 0.0
    return int(min(inside, np.float64(places - 1)))


@_part
def _add_sums_to(row: Array, sums: Any) -> None:
    for at in range(_SUMS):
        row[_FIRST + at] += sums[at]


@_part
def _ordered(bits: Any) -> Any:
    """The bits of a float32 as an integer that is larger for a larger value, and back again."""
    # numba makes int64 of what it computes of int32, of which a vector has half as many.
    return np.int32(bits ^ np.int32(np.int32(bits >> _SIGN) & _MAGNITUDE))


@_part
def _value(key: Any) -> Any:
    """The float32 of which ``_ordered`` made this."""
    return np.float64(np.int32(_ordered(key)).view(np.float32))


@_part
def _extremes(values: Array) -> Any:
    """The least and the largest value, ordered.

    Read as integers with a sign, bits have values from zero on behind all others, in their order;
    as integers without one they have negative values behind, in reverse order.
    """
    signed, bits = values.view(np.int32), values.view(np.uint32)
    last = signed[0]
    first, farthest = bits[0], bits[0]
    for i in range(values.size):
        last = max(last, signed[i])
        first, farthest = min(first, bits[i]), max(farthest, bits[i])
    low = farthest if farthest > _LAST_WITHOUT_SIGN else first
    high = last if last >= 0 else np.int32(first)
    return _ordered(np.int32(low)), _ordered(high)


@_part
def _largest(bits: Array) -> Any:
    found = np.int32(0)
    for i in range(bits.size):
        found = max(found, np.int32(bits[i] & _MAGNITUDE))
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
def _add_extremes(e: Any, high: Any, low: Any, row: Array) -> None:
    """Include the largest ``|e|``, the largest ``f`` and ``q`` and the least ones."""
    row[_MAX_E] = max(row[_MAX_E], _value(e))
    row[_MAX_F], row[_MAX_Q] = max(row[_MAX_F], _value(high[0])), max(row[_MAX_Q], _value(high[1]))
    row[_MIN_F], row[_MIN_Q] = min(row[_MIN_F], _value(low[0])), min(row[_MIN_Q], _value(low[1]))


@_part
def _ask_for_values(address: int, start: int, stop: int) -> None:
    """Have those float32 values of a block fetched that are read ``_AHEAD`` bytes later."""
    for at in range(4 * start, 4 * stop, _CACHE_LINE):
        ask_for(address + _AHEAD + at)


@_part
def _add_block(f: Array, f_at: int, q: Array, q_at: int, e: Array, row: Array) -> None:
    """Include a block of one row, which begins at two addresses; ``e`` is memory for its errors.

    Memory is asked for all along: the processor waits for few lines at a time.
    """
    half = f.size >> 1
    _ask_for_values(f_at, 0, half)
    low_f, high_f = _extremes(f)
    _ask_for_values(f_at, half, f.size)
    low_q, high_q = _extremes(q)
    _ask_for_values(q_at, 0, half)
    if max(high_f, high_q) >= _LARGE or min(low_f, low_q) <= ~_LARGE:
        _add_values(f, q, row)
        return
    _add_sums(f, q, e, row)
    _ask_for_values(q_at, half, f.size)
    largest = _largest(e[: f.size].view(np.int32))
    _add_extremes(largest, (high_f, high_q), (low_f, low_q), row)


@_part
def _add_rows(
    f_at: int,
    q_at: int,
    outer: int,
    rows: int,
    inner: int,
    table: Address,
    errors: Address,
    block: int,
) -> None:
    """Include values ``[outer, rows, inner]``; ``errors`` is memory for float32 ``[block]``."""
    fs = carray(behind(f_at), (outer, rows, inner), np.float32)
    qs = carray(behind(q_at), (outer, rows, inner), np.float32)
    to = carray(table, (rows, _COLUMNS), np.float64)
    e = carray(errors, (block,), np.float32)
    for o in range(outer):
        for row in range(rows):
            start = 0
            while start < inner:
                at = slice(start, start + block)
                begin = 4 * ((o * rows + row) * inner + start)
                f, q = fs[o, row, at], qs[o, row, at]
                _add_block(f, f_at + begin, q, q_at + begin, e, to[row])
                start += block


@_part
def _add_lines(f: Array, q: Array, e: Array, sums: Array, keys: Array) -> None:
    """Include ``_LINES`` values of every column in its sums and its five extremes."""
    for i in range(f.shape[1]):
        part, largest = _ZERO, 0.0
        for line in range(_LINES):
            value = np.float64(f[line, i])
            error = np.float64(q[line, i]) - value
            part = plus(part, _terms(value, error))
            largest = max(largest, abs(error))
        e[i] = largest
        add_to_column(sums, 0, i, part)
    bits_f, bits_q, bits_e = f.view(np.int32), q.view(np.int32), e.view(np.int32)
    for i in range(f.shape[1]):
        keys[0, i] = max(keys[0, i], bits_e[i])
        for line in range(_LINES):
            key = _ordered(bits_f[line, i])
            keys[1, i], keys[3, i] = max(keys[1, i], key), min(keys[3, i], key)
    for i in range(f.shape[1]):
        for line in range(_LINES):
            key = _ordered(bits_q[line, i])
            keys[2, i], keys[4, i] = max(keys[2, i], key), min(keys[4, i], key)


@_part
def _add_columns(
    f_at: int, q_at: int, outer: int, columns: int, table: Address, sums: Address, keys: Address
) -> None:
    """Include values ``[outer, columns]``, the columns being what is summed apart.

    ``sums`` is memory for float64 ``[sums, columns]``, ``keys`` for int32 ``[6, columns]``.
    """
    fs = carray(behind(f_at), (outer, columns), np.float32)
    qs = carray(behind(q_at), (outer, columns), np.float32)
    to = carray(table, (columns, _COLUMNS), np.float64)
    by_column = carray(sums, (_SUMS, columns), np.float64)
    extremes = carray(keys, (6, columns), np.int32)
    e = carray(keys, (6, columns), np.float32)[5]
    for i in range(columns):
        for at in range(_SUMS):
            by_column[at, i] = 0
        extremes[0, i] = 0
        extremes[1, i] = extremes[2, i] = ~_MAGNITUDE
        extremes[3, i] = extremes[4, i] = _MAGNITUDE
    whole = outer // _LINES * _LINES
    for o in range(0, whole, _LINES):
        begin = 4 * o * columns
        _ask_for_values(f_at + begin, 0, _LINES * columns)
        _ask_for_values(q_at + begin, 0, _LINES * columns)
        _add_lines(fs[o : o + _LINES], qs[o : o + _LINES], e, by_column, extremes)
    for i in range(columns):
        done = 0
        high, low = (extremes[1, i], extremes[2, i]), (extremes[3, i], extremes[4, i])
        if whole and max(high) < _LARGE and min(low) > ~_LARGE:
            done = whole
            to[i, _N] += whole
            for at in range(_SUMS):
                to[i, _FIRST + at] += by_column[at, i]
            _add_extremes(extremes[0, i], high, low, to[i])
        _add_values(fs[done:, i], qs[done:, i], to[i])


def add_pairs(
    jobs: Address, count: int, errors: Address, block: int, sums: Address, keys: Address
) -> None:
    """As ``kernels.add_pairs``, to which ``jobs`` is int64 ``[count, 6]``.

    A job is where the values, those of the other side and the table begin, and three lengths. The
    rest is memory for the longest.
    """
    todo = carray(jobs, (count, 6), np.int64)
    for at in range(count):
        f, q, table = todo[at, 0], todo[at, 1], behind(todo[at, 2])
        outer, rows, inner = todo[at, 3], todo[at, 4], todo[at, 5]
        if inner == 1:
            _add_columns(f, q, outer, rows, table, sums, keys)
        else:
            _add_rows(f, q, outer, rows, inner, table, errors, block)


def add_tables(tables: Address, count: int, rows: int, table: Address) -> None:
    """As ``kernels.add_tables``."""
    parts = carray(tables, (count, rows, _COLUMNS), np.float64)
    to = carray(table, (rows, _COLUMNS), np.float64)
    for at in range(count):
        for row in range(rows):
            for column in range(_COLUMNS + _MAX_E):
                to[row, column] += parts[at, row, column]
            for column in range(_COLUMNS + _MAX_E, _COLUMNS + _MIN_F):
                to[row, column] = max(to[row, column], parts[at, row, column])
            for column in range(_COLUMNS + _MIN_F, _COLUMNS):
                to[row, column] = min(to[row, column], parts[at, row, column])


def clipped(f: Address, q: Address, size: int, low: float, high: float, found: Address) -> None:
    """As ``kernels.clipped``, which finds the two in ``found``."""
    fs, qs = carray(f, (size,), np.float32), carray(q, (size,), np.float32)
    count = ee = 0.0
    for i in range(size):
        value = np.float64(fs[i])
        if value < low or value > high:
            error = np.float64(qs[i]) - value
            count += 1
            ee += error * error
    pair = carray(found, (2,), np.float64)
    pair[0], pair[1] = count, ee


def finite_range(values: Address, size: int, step: int, found: Address) -> None:
    """As ``kernels.finite_range``, which finds the two in ``found``."""
    low, high = np.inf, -np.inf
    for value in _strided(values, size, step):
        if np.isfinite(value):
            low, high = min(low, np.float64(value)), max(high, np.float64(value))
    pair = carray(found, (2,), np.float64)
    pair[0], pair[1] = low, high


def count_in_bins(
    values: Address, size: int, step: int, low: float, width: float, counts: Address, bins: int
) -> None:
    """As ``kernels.count_in_bins``."""
    to = carray(counts, (bins,), np.int64)
    for value in _strided(values, size, step):
        if np.isfinite(value):
            to[_place((np.float64(value) - low) / width, bins)] += 1


def add_weighted(
    values: Address,
    weights: Address,
    size: int,
    radius: float,
    sums: Address,
    bins: int,
    zeros: Address,
) -> None:
    """As ``kernels.add_weighted``."""
    of_value, of_weight = carray(values, (size,), np.float32), carray(weights, (size,), np.float32)
    to, at_zero = carray(sums, (4, bins), np.float64), carray(zeros, (3,), np.float64)
    scale = bins / (2 * radius)
    for at in range(size):
        value, weight = np.float64(of_value[at]), np.float64(of_weight[at])
        if not (np.isfinite(value) and np.isfinite(weight)):
            at_zero[2] += 1
            continue
        place = min(max(int((value + radius) * scale), 0), bins - 1)
        squared = weight * weight
        to[0, place] += 1
        to[1, place] += squared
        to[2, place] += squared * value
        to[3, place] += squared * value * value
        if value == 0:
            at_zero[0] += 1
            at_zero[1] += squared


def mark_codes(
    values: Address, size: int, step: int, low: float, width: float, seen: Address, codes: int
) -> None:
    """As ``kernels.mark_codes``."""
    marks = carray(seen, (codes,), np.bool_)
    for value in _strided(values, size, step):
        if np.isfinite(value):
            marks[_place(np.rint((np.float64(value) - low) / width), codes)] = True
