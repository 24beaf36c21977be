"""Tuples of a length that the code does not fix, in compiled loops.

numba writes these calls out item by item, so that a loop over them costs what a loop over single
variables costs. The implementations repeat the signatures because numba compares them.
"""

from __future__ import annotations

from typing import Any

from numba.extending import overload


def plus(left: Any, right: Any) -> Any:
    """Sum of two tuples, item by item."""
    raise NotImplementedError("for compiled code only")


@overload(plus)
def _plus(left: Any, right: Any) -> Any:  # noqa: ARG001 - numba goes by the names
    def last(left: Any, right: Any) -> Any:
        return (left[0] + right[0],)

    def more(left: Any, right: Any) -> Any:
        return (left[0] + right[0], *plus(left[1:], right[1:]))

    return last if len(left) == 1 else more


def add_to_column(table: Any, row: Any, column: Any, values: Any) -> None:
    """Add the values to a column of a table, from a row on."""
    raise NotImplementedError("for compiled code only")


@overload(add_to_column)
def _add_to_column(table: Any, row: Any, column: Any, values: Any) -> Any:  # noqa: ARG001
    def last(table: Any, row: Any, column: Any, values: Any) -> None:
        table[row, column] += values[0]

    def more(table: Any, row: Any, column: Any, values: Any) -> None:
        table[row, column] += values[0]
        add_to_column(table, row + 1, column, values[1:])

    return last if len(values) == 1 else more
