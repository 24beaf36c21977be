"""Loops that compile in a moment, for ``qdebug.metrics.machine_code``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray  # type: ignore[attr-defined, unused-ignore]

OPTIONS: dict[str, Any] = {"error_model": "numpy"}


def scale(values: Any, size: int, factor: float) -> None:
    """Float64 values, each times a factor."""
    array = carray(values, (size,), np.float64)
    for at in range(size):
        array[at] *= factor


def turn(values: Any, size: int) -> None:
    """Float64 values the other way round; takes memory, which is numba's to give."""
    array = carray(values, (size,), np.float64)
    kept = np.empty(size)
    for at in range(size):
        kept[at] = array[at]
    for at in range(size):
        array[at] = kept[size - 1 - at]
