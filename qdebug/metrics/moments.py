"""Sums over a float tensor ``f`` and its error ``e = q - f``, from which every metric follows.

All sums are float64; see ``kernels`` for how they are taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.metrics.metric import FIELDS

Array = npt.NDArray[Any]
Float64Array = npt.NDArray[np.float64]

_LINE = 128
"""Values that a line of columns should have, for the processor to take many at a time."""
_NOTHING = np.array([0.0] * (len(FIELDS) - 4) + [-math.inf] * 2 + [math.inf] * 2)
"""The row of no values."""


class _Column:
    """A field: one column of the table."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.place = FIELDS.index(name)

    def __get__(self, moments: Moments, owner: type) -> Float64Array:
        return moments.table[:, self.place]


class Moments:
    """Sums over rows of values; each field is float64 ``[rows]``, a row being a channel.

    Args:
        table: float64 ``[rows, len(FIELDS)]``.

    Attributes:
        n: values in each row.
        ff: sum of ``f^2``.
        ee: sum of ``e^2``.
        fe: sum of ``f e``.
        f: sum of ``f``.
        e: sum of ``e``.
        nonfinite_f: NaN and infinite values of ``f``; likewise ``nonfinite_q``. They are left out
            of all sums, together with their counterpart.
        max_abs_e: largest ``|e|``.
        min_f: smallest ``f``; likewise ``max_f``, ``min_q`` and ``max_q``.
    """

    n: _Column = _Column()
    ff: _Column = _Column()
    ee: _Column = _Column()
    fe: _Column = _Column()
    f: _Column = _Column()
    e: _Column = _Column()
    nonfinite_f: _Column = _Column()
    nonfinite_q: _Column = _Column()
    max_abs_e: _Column = _Column()
    max_f: _Column = _Column()
    max_q: _Column = _Column()
    min_f: _Column = _Column()
    min_q: _Column = _Column()

    def __init__(self, table: Float64Array) -> None:
        self.table = table

    @classmethod
    def empty(cls, rows: int = 1) -> Moments:
        """The sums over nothing."""
        table = np.empty((rows, len(FIELDS)))
        table[:] = _NOTHING
        return cls(table)

    def __getitem__(self, field: str) -> Float64Array:
        """A column by its name: sums that only one metric needs have no attribute."""
        return self.table[:, FIELDS.index(field)]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.table)

    def add(self, other: Moments) -> None:
        """Include the sums over further values, row by row."""
        from qdebug.metrics import kernels  # compiled when first imported

        kernels.add_tables(other.table[None], self.table)

    def total(self) -> Moments:
        """The sums over all rows, as one row."""
        from qdebug.metrics import kernels  # compiled when first imported

        total = Moments.empty()
        kernels.add_tables(self.table[:, None], total.table)
        return total

    def rows(self, chosen: Sequence[int]) -> Moments:
        """Of some rows only."""
        return Moments(self.table[np.asarray(chosen, np.int64)])

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
        channel_axis: axis whose entries become the rows of the result; None, or one that there is
            not, for one row.

    Returns:
        Moments with ``shape[channel_axis]`` rows, or one.
    """
    return measure_all([(reference, test, channel_axis)])[0]


def measure_all(pairs: Sequence[tuple[Array, Array, int | None]]) -> list[Moments]:
    """Moments of several pairs of tensors, which other Python threads need not wait for.

    Args:
        pairs: arguments of ``measure``.
    """
    from qdebug.metrics import kernels  # compiled when first imported

    jobs, lines = [], []
    for reference, test, axis in pairs:
        shape = by_channel(reference.shape, axis)
        together = _lines(shape)
        laid = shape[0] // together, together * shape[1], shape[2]
        f, q = (np.ascontiguousarray(v, np.float32).reshape(laid) for v in (reference, test))
        jobs.append((f, q, Moments.empty(laid[1]).table))
        lines.append(together)
    kernels.add_pairs(jobs)
    return [_joined(job[2], count) for job, count in zip(jobs, lines, strict=True)]


def by_channel(shape: tuple[int, ...], axis: int | None) -> tuple[int, int, int]:
    """A shape as what lies before, on and behind an axis; all of it is behind one it has not."""
    if axis is None or axis >= len(shape):
        return 1, 1, math.prod(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _lines(shape: tuple[int, int, int]) -> int:
    """How many lines are taken as one, where the rows lie side by side: those of a few values."""
    outer, rows, inner = shape
    return 1 if inner != 1 else math.gcd(outer, max(1, _LINE // max(rows, 1))) or 1


def include(totals: dict[str, Moments], name: str, part: Moments) -> None:
    """Add the sums over further values of a tensor to those over the values before."""
    totals.setdefault(name, Moments.empty(len(part))).add(part)


def _joined(table: Float64Array, count: int) -> Moments:
    """Sums over what each of some parts of a table, one after the other, is a sum over."""
    from qdebug.metrics import kernels  # compiled when first imported

    if count == 1:
        return Moments(table)
    joined = Moments.empty(len(table) // count)
    kernels.add_tables(table.reshape(count, len(joined), len(FIELDS)), joined.table)
    return joined
