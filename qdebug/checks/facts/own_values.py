"""Ranges that do not fit the quant run's own values either: no calibration set them so.

Behind an operator that computes something else the twin's values are others than the float run's,
and a twin calibrated with the error in it has ranges for those. A range that does not fit even
these is a fault of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.fetch import Fetcher
from qdebug.capture.stats import Range
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.where import layers_where
from qdebug.metrics.sqnr import level_db

Array = npt.NDArray[Any]

FILLED = 0.25
"""Share of a range that the values it was calibrated on fill at least: two bits stay unused, as in
``REMARKABLE_DB`` of the ranges. By judgement."""

CUT_DB = 15.0
"""SQNR that a range leaves at least of the values it was calibrated on: a percentile cuts off
less, and so does what the twin's own rounding adds at the ends. By judgement: ``DAMAGED_DB``."""


def unfit_for_own_values(context: CheckContext) -> frozenset[int]:
    """Layers whose range is far wider than the quant run's values, or cuts many of them off.

    Judged on the first sample, by the values between the float values' ends: beyond those a range
    may stand for an activation, and where an operator computes something else there may be none.
    """
    left = [at for at in range(len(context.layers)) if _is_left(context, at)]
    empty = {at for at in range(len(context.layers)) if _is_empty(context, at)}
    cut = _layers_where(context, left, partial(_cuts, context))
    return (cut | empty) - context.once(without_own_values)


def without_own_values(context: CheckContext) -> frozenset[int]:
    """Layers that are one number before their quantizer where the float run has many.

    No calibration gives such a layer a range: a quantizer falls back to one of its own.
    """
    one = [at for at in range(len(context.layers)) if _is_one_number(context, at)]
    return _layers_where(context, one, lambda _, own: bool(own.size and not np.ptp(own)))


def _is_one_number(context: CheckContext, at: int) -> bool:
    """Whether the quant run has one number behind the quantizer, and the float run has many."""
    moments, kept = context.layer(at).moments, context.layer(at).pair.raw_form.quantizer
    if context.layer(at).range is None or moments is None or kept is not None:
        return False
    total = moments.total()
    return bool(total.max_q[0] == total.min_q[0] and total.max_f[0] > total.min_f[0])


def _is_left(context: CheckContext, at: int) -> bool:
    """Whether float values lie beyond a layer's range."""
    limits, moments = context.layer(at).range, context.layer(at).moments
    if limits is None or moments is None or context.layer(at).pair.raw_form.quantizer is not None:
        return False
    total = moments.total()
    return limits.is_left_by(float(total.min_f[0]), float(total.max_f[0]))


def _is_empty(context: CheckContext, at: int) -> bool:
    limits, moments = context.layer(at).range, context.layer(at).moments
    if limits is None or moments is None:
        return False
    total = moments.total()
    return float(total.max_q[0] - total.min_q[0]) < FILLED * (limits.high - limits.low)


def _layers_where(
    context: CheckContext, positions: Iterable[int], holds: Callable[[int, Array], bool]
) -> frozenset[int]:
    """Those of some layers for which something holds of the quant run before their quantizers."""
    what_if = context.what_if
    raw = {at: context.layer(at).pair.raw for at in positions}
    if what_if is None or not raw:
        return frozenset()
    fetcher = Fetcher(context.quant_graph, what_if.settings[1])
    return layers_where(fetcher, raw, what_if.feeds[0][1], holds)


def _cuts(context: CheckContext, at: int, values: Array) -> bool:
    limits, moments = context.layer(at).range, context.layer(at).moments
    if limits is None or moments is None:
        return False
    total = moments.total()
    alike = values[(values >= total.min_f[0]) & (values <= total.max_f[0])]
    return bool(alike.size) and is_cut(alike, limits)


def is_cut(values: Array, limits: Range) -> bool:
    """Whether a range cuts off more of some values than a calibration on them leaves out."""
    own = values.astype(np.float64)
    cut = own - np.clip(own, limits.low, limits.high)
    return level_db(float(np.mean(own**2)), float(np.mean(cut**2))) < CUT_DB
