"""The loops over every value of every tensor, compiled.

They let other Python threads run. They are compiled on a machine's first run, in some seconds, and
loaded in the next ones, both when this module is imported. What they do is in ``loops``; here
arrays are handed to them. One that does not fit is refused: behind an address nothing is checked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.metrics import machine_code
from qdebug.metrics.metric import FIELDS, Sums

Array = npt.NDArray[Any]

_LOOPS = machine_code.Loops(
    "qdebug.metrics.loops",
    {
        "add_pairs": "pnpnpp",
        "add_tables": "pnnp",
        "clipped": "ppnddp",
        "finite_range": "pnnp",
        "count_in_bins": "pnnddpn",
        "add_weighted": "ppndpnp",
        "mark_codes": "pnnddpn",
    },
    made_of=("qdebug.metrics.addresses", "qdebug.metrics.tuples", "qdebug.metrics.metric"),
)
_RUN = machine_code.load(_LOOPS, apart=True)

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)
_COLUMNS, _SUMS = len(FIELDS), len(Sums._fields)

_BLOCK = 512
"""Values read from memory once, and then from the first cache."""
_KEYS = 3
"""Columns of float64 that hold what the loops have as six of 32 bits, where columns are summed."""

_Pair = ctypes.c_double * 2
_POINTER = object.__basicsize__
"""Where an array's struct says where its values begin: behind what every object of CPython begins
with. It is part of NumPy's binary interface; ``array.ctypes.data`` takes six times as long."""


def add_pairs(pairs: Sequence[tuple[Array, Array, Array]]) -> None:
    """Include the values of several tensors in a table each.

    Args:
        pairs: float32 ``[outer, rows, inner]``, the same of the other side, and float64 ``[rows,
            len(FIELDS)]``, added to.

    Raises:
        TypeError: An array has another dtype, shape or layout.
    """
    jobs = np.array([_job(*pair) for pair in pairs], np.int64).reshape(-1, 6)
    errors = np.empty(_BLOCK, _FLOAT32)
    columns = int(jobs[jobs[:, 5] == 1, 4].max(initial=0))
    memory = np.empty((_SUMS + _KEYS, columns))
    sums_at = _address(memory)
    keys_at = sums_at + _SUMS * memory.strides[0]
    _RUN["add_pairs"](_address(jobs), len(jobs), _address(errors), _BLOCK, sums_at, keys_at)


def _job(f: Array, q: Array, table: Array) -> tuple[int, ...]:
    outer, rows, inner = _shape(f, 3)
    table_at = _begin(table, (rows, _COLUMNS), _FLOAT64, written=True)
    f_at, q_at = _begin(f, f.shape, _FLOAT32), _begin(q, f.shape, _FLOAT32)
    return f_at, q_at, table_at, outer, rows, inner


def add_tables(tables: Array, table: Array) -> None:
    """Include tables in one: their sums are added, of the extremes the farthest are taken.

    Args:
        tables: float64 ``[tables, rows, len(FIELDS)]``, one after the other.
        table: float64 ``[rows, len(FIELDS)]``, added to.

    Raises:
        TypeError: An array has another dtype, shape or layout.
    """
    count, rows, columns = _shape(tables, 3)
    tables_at = _begin(tables, (count, rows, _COLUMNS), _FLOAT64)
    table_at = _begin(table, (rows, columns), _FLOAT64, written=True)
    _RUN["add_tables"](tables_at, count, rows, table_at)


def clipped(f: Array, q: Array, low: float, high: float) -> tuple[float, float]:
    """Float values outside two limits: how many, and the sum of their squared errors.

    Args:
        f: float32, flat.
        q: as long.
        low: the lowest value that is not outside.
        high: the highest one.

    Raises:
        TypeError: An array has another dtype, shape or layout.
    """
    (size,), found = _shape(f, 1), _Pair()
    f_at, q_at = _begin(f, f.shape, _FLOAT32), _begin(q, f.shape, _FLOAT32)
    _RUN["clipped"](f_at, q_at, size, low, high, found)
    return found[0], found[1]


def finite_range(values: Array) -> tuple[float, float]:
    """Lowest and highest of the finite values of a flat float32 array; infinities of none.

    Raises:
        TypeError: The array has another dtype or more dimensions.
    """
    values, step = _strided(values)
    found = _Pair()
    _RUN["finite_range"](_address(values), values.size, step, found)
    return found[0], found[1]


def count_in_bins(values: Array, low: float, width: float, counts: Array) -> None:
    """Count the finite values of a flat float32 array in bins of one width.

    Args:
        values: to count; those beyond the bins go to the first or the last one.
        low: where the first bin begins.
        width: of a bin.
        counts: int64, at least one, added to.

    Raises:
        TypeError: An array has another dtype, shape or layout.
    """
    values, step = _strided(values)
    (bins,) = _some(counts, 1)
    counts_at = _begin(counts, (bins,), _INT64, written=True)
    _RUN["count_in_bins"](_address(values), values.size, step, low, width, counts_at, bins)


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

    Raises:
        TypeError: An array has another dtype, shape or layout.
    """
    (size,), (_, bins) = _shape(values, 1), _some(sums, 2)
    at, weights_at = _begin(values, (size,), _FLOAT32), _begin(weights, (size,), _FLOAT32)
    sums_at = _begin(sums, (4, bins), _FLOAT64, written=True)
    zeros_at = _begin(zeros, (3,), _FLOAT64, written=True)
    _RUN["add_weighted"](at, weights_at, size, radius, sums_at, bins, zeros_at)


def mark_codes(values: Array, low: float, step: float, seen: Array) -> None:
    """Mark the codes that finite values of a flat float32 array are nearest to.

    Args:
        values: real values.
        low: the real value of the lowest code.
        step: between the values of two codes.
        seen: bool, one for each code.

    Raises:
        TypeError: An array has another dtype, shape or layout.
    """
    values, apart = _strided(values)
    (codes,) = _some(seen, 1)
    seen_at = _begin(seen, (codes,), _BOOL, written=True)
    _RUN["mark_codes"](_address(values), values.size, apart, low, step, seen_at, codes)


def _shape(array: Array, ndim: int) -> tuple[int, ...]:
    if not isinstance(array, np.ndarray) or array.ndim != ndim:
        raise TypeError(f"not an array of {ndim} dimensions")
    return array.shape


def _some(array: Array, ndim: int) -> tuple[int, ...]:
    """The shape of what values are sorted into: where there is no place, they would go anywhere."""
    if not array.size:
        raise TypeError("no bin or code")
    return _shape(array, ndim)


def _begin(array: Array, shape: tuple[int, ...], dtype: Any, *, written: bool = False) -> int:
    """Where an array's values begin, which lie side by side."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        raise TypeError(f"not an array {dtype} {list(shape)}")
    flags = array.flags
    if not (flags.carray if written else flags.c_contiguous and flags.aligned):
        raise TypeError("values that do not lie side by side, or cannot be written to")
    return _address(array)


def _strided(values: Array) -> tuple[Array, int]:
    """A flat float32 array, copied if it lies backwards or askew, and its values' distance."""
    if not isinstance(values, np.ndarray) or values.dtype != _FLOAT32 or values.ndim != 1:
        raise TypeError("not a flat array float32")
    step, left = divmod(values.strides[0], _FLOAT32.itemsize)
    if step < 1 or left or not values.flags.aligned:
        return np.array(values), 1
    return values, step


def _address(array: Array) -> int:
    """Where the values of any array begin, which the caller keeps while it is used."""
    at: int = ctypes.c_void_p.from_address(id(array) + _POINTER).value or 0
    return at
