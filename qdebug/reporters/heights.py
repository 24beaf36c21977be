"""How tall an error is drawn: taller is worse, on one scale in every run and every chart.

Scaled to the run's own extremes, a perfect model would show full bars.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

GOOD_DB = 50.0
"""SQNR at and above which an error bar is empty, by judgement: 8 bits that fit reach it."""


def error_level(sqnr_db: float | None) -> float:
    """Height of an error bar, 0..1: 0 at 50 dB, 1 at 0 dB; NaN when there is no number."""
    if sqnr_db is None or math.isnan(sqnr_db):
        return math.nan
    return min(max(1.0 - sqnr_db / GOOD_DB, 0.0), 1.0)


def error_levels(sqnr_db: FloatArray) -> FloatArray:
    """The same for many, float64 of the same shape."""
    return np.clip(1.0 - sqnr_db / GOOD_DB, 0.0, 1.0)


def channel_levels(sqnr_db: npt.NDArray[np.floating]) -> FloatArray:
    """The same for the channels of a layer; a dead one, whose SQNR may be NaN, is as bad as any."""
    levels = error_levels(np.asarray(sqnr_db, np.float64))
    return np.where(np.isnan(levels), 1.0, levels)


def binned_worst(levels: FloatArray, columns: int) -> FloatArray:
    """Largest level in each of ``columns`` even parts; NaN where a part has none."""
    if not len(levels) or columns <= 0:
        return np.full(max(columns, 0), np.nan)
    if len(levels) <= columns:
        return levels[np.arange(columns) * len(levels) // columns]
    padded = np.where(np.isnan(levels), -1.0, levels)
    starts = np.arange(columns) * len(levels) // columns
    worst = np.maximum.reduceat(padded, starts)
    return np.where(worst < 0, np.nan, worst)


def column_of(position: int, count: int, columns: int) -> int:
    """Column in which ``binned_worst`` shows a position."""
    if count <= columns:
        return -(-position * columns // count) if count else 0
    return min(((position + 1) * columns - 1) // count, columns - 1)


def level_step(level: float, steps: int) -> int:
    """Step 0..``steps`` of a level 0..1; something is seen of every level above zero."""
    if math.isnan(level):
        return 0
    return math.ceil(level * steps) if level < 0.5 else round(level * steps)
