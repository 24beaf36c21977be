"""Whether a float model's weights lie on a grid of 8 bits already: it was made from codes then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_LEVELS = 256
"""Levels of 8 bits."""
_GLANCES = 1 << 12, 1 << 16
"""Values that are looked at first: sorting all of a large weight takes its memory several times."""
FEWEST = 24
"""Distinct values from which equal spacing is no chance: each lies on the grid by chance with a
probability of twice ``_OFF_GRID``, and a grid has two free parameters. By judgement."""
_OFF_GRID = 0.02
"""Share of a step by which a value may lie off its grid: float32 rounds to 1e-5 of it, float16 to
0.06 at 128 steps from zero, which is not told. By judgement."""


@dataclass(frozen=True)
class Grid:
    """Equally spaced values ``step * (code - zero)`` with codes from 0.

    Attributes:
        step: between neighbours.
        low: smallest value.
        levels: number of places from the smallest to the largest value.
    """

    step: float
    low: float
    levels: int


def grid_of(values: Array) -> Grid | None:
    """The grid of at most 256 equally spaced places that all values lie on; None without one."""
    levels = np.unique(values.astype(np.float64))
    if not FEWEST <= len(levels) <= _LEVELS:
        return None
    span = float(levels[-1] - levels[0])
    gaps = np.diff(levels)
    step = _common_step(gaps, span)
    if step is None:
        return None
    count = round(span / step)
    step = span / count  # over the whole range the rounding of single values hardly counts
    places = (levels - levels[0]) / step
    if not _is_whole(places) or not _is_whole(np.asarray([levels[0] / step])):
        return None  # codes have a whole zero point
    return Grid(step, float(levels[0]), count + 1)


def distinct(values: Array) -> Array:
    """The distinct values, sorted; where they are more than a grid has, some of them are enough."""
    for glance in _GLANCES:
        some = np.unique(values.reshape(-1)[:glance])
        if len(some) > _LEVELS:
            return some
    return np.unique(values)


def leaves_grid(f: Array, q: Array, grid: Grid) -> bool:
    """Whether the quant values lie beside the grid of the float ones."""
    return bool(np.sqrt(((q - f) ** 2).mean()) > _OFF_GRID * grid.step)


def _common_step(gaps: Array, span: float) -> float | None:
    """Largest step that all gaps are whole multiples of, by Euclid's algorithm."""
    step = float(gaps.min())
    while step * (_LEVELS - 1) >= span * (1 - _OFF_GRID):
        rest = np.abs(gaps / step - np.rint(gaps / step))
        if float(rest.max()) <= _OFF_GRID:
            return step
        step *= float(rest[rest > _OFF_GRID].min())
    return None


def _is_whole(values: Array) -> bool:
    return bool((np.abs(values - np.rint(values)) <= _OFF_GRID).all())
