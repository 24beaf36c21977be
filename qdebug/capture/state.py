"""From moments to the numbers and the state of a tensor, as they stand in a run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qdebug.metrics.metric import METRICS, sqnr_db
from qdebug.metrics.moments import Moments
from qdebug.run.model import ErrorMetrics, LocalError, State, WorstChannel

SILENT_SHARE = 1e-3
"""A sample whose largest value is below this share of the largest over all samples says nothing:
60 dB. By judgement."""
LOW_SIGNAL_STEPS = 0.5
"""A tensor that never leaves half a quantization step carries no signal: all of it rounds away."""


def error_metrics(moments: Moments) -> ErrorMetrics:
    """All built-in metrics over all rows; NaN throughout where a value is not finite."""
    return all_error_metrics([moments])[0]


def all_error_metrics(many: Sequence[Moments]) -> list[ErrorMetrics]:
    """The metrics of each of many tensors; see ``error_metrics``."""
    if not many:
        return []
    totals = Moments(np.concatenate([moments.total().table for moments in many]))
    bad = (totals.nonfinite_f + totals.nonfinite_q) > 0
    columns = [np.where(bad, math.nan, m.compute(totals)).tolist() for m in METRICS.values()]
    return [
        ErrorMetrics(**dict(zip(METRICS, row, strict=True))) for row in zip(*columns, strict=True)
    ]


def local_error(
    moments: Moments, clipped_ee: float, metrics: ErrorMetrics | None = None
) -> LocalError:
    """Local metrics, split at the representable range.

    Args:
        moments: of the float value and of the quant layer fed with float inputs.
        clipped_ee: part of ``sum e^2`` from float values outside the representable range.
        metrics: over the moments, where they are known already.
    """
    metrics = metrics or error_metrics(moments)
    count = max(float(moments.n.sum()), 1)
    clipping = clipped_ee / count
    rounding = max(metrics.mse - clipping, 0.0)
    return LocalError(**vars(metrics), clipping_mse=clipping, rounding_mse=rounding)


def is_nonfinite(moments: Moments) -> bool:
    """Whether a NaN or an infinity was seen on either side."""
    return bool((moments.nonfinite_f + moments.nonfinite_q).sum() > 0)


def classify(moments: Moments, step: float | None = None) -> tuple[State, str | None]:
    """State of a tensor and the reason where it is not ``ok``.

    Args:
        moments: over all samples.
        step: quantization step of the tensor, None where it is not quantized.
    """
    total = moments.total()
    if is_nonfinite(total):
        f, q = int(total.nonfinite_f[0]), int(total.nonfinite_q[0])
        return "nonfinite", f"{f} values of the float run and {q} more of the quant run"
    ff, ee = float(total.ff[0]), float(total.ee[0])
    if ee == 0:
        return ("zero_both", "zero in both runs") if ff == 0 else ("identical", None)
    peak = max(abs(float(total.min_f[0])), abs(float(total.max_f[0])))
    return _zero_state(total, peak, step)


def _zero_state(total: Moments, peak: float, step: float | None) -> tuple[State, str | None]:
    if step is not None and peak < LOW_SIGNAL_STEPS * step:
        return "low_signal", f"float values up to {peak:.3g} are below half a step ({step:.3g})"
    if total.min_q[0] == 0 and total.max_q[0] == 0:
        return "zero_quant", f"zero in the quant run where the float run reaches {peak:.3g}"
    if total.min_f[0] == 0 and total.max_f[0] == 0:
        return "zero_float", "zero in the float run only"
    return "ok", None


def worst_channels(many: Sequence[Moments], count: int) -> list[tuple[WorstChannel, ...]]:
    """The channels of lowest SQNR, worst first, without those that are zero in both runs.

    Args:
        many: moments of each of several tensors, a row a channel.
        count: channels of a tensor at most.
    """
    if not many:
        return []
    every = Moments(np.concatenate([moments.table for moments in many]))
    values = np.where((every.nonfinite_f + every.nonfinite_q) > 0, -np.inf, sqnr_db(every))
    alive = (every.ff > 0) | (every.ee > 0)
    found, start = [], 0
    for moments in many:
        here = values[start : start + len(moments)]
        order = np.argsort(here, kind="stable")[:count]
        kept = order[alive[start + order]].tolist()
        found.append(tuple(map(WorstChannel, kept, here[kept].tolist())))
        start += len(moments)
    return found
