"""The metrics: each is one field of ``ErrorMetrics``, computed from sums over all values.

Everything else that deals with metrics reads the fields: ``run.json`` and its schema, filters,
CSV, HTML with its JavaScript, the browser, the console, the comparison of runs, limits in the
configuration, and the documentation. To add one: a field here, a test of its values in
``tests/unit/metrics/test_metric.py``, and a line in ``CHANGELOG.md``. A field added later than the
first schema is ``float | None`` with the default None: runs written before have no such number. A
metric that needs another sum has it in ``Sums`` and ``terms`` and reads it as ``m["name"]``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from qdebug.metrics.entry import KEY, Float64Array, Metric
from qdebug.metrics.sqnr import levels_db

if TYPE_CHECKING:
    from qdebug.metrics.moments import Moments


class Sums(NamedTuple):
    """What is summed over all values of a tensor, float64."""

    ff: float
    ee: float
    fe: float
    f: float
    e: float


FIELDS = (
    *("n", *Sums._fields, "nonfinite_f", "nonfinite_q"),
    *("max_abs_e", "max_f", "max_q"),
    *("min_f", "min_q"),
)
"""The columns of a table of moments: sums, then the largest, then the least."""


def terms(f: float, e: float) -> Sums:
    """What one value ``f`` and its error ``e`` add to the sums; compiled into the kernels."""
    return Sums(ff=f * f, ee=e * e, fe=f * e, f=f, e=e)


def _cosine(m: Moments) -> Float64Array:
    return np.clip(m.fq / np.sqrt(m.ff) / np.sqrt(m.qq), -1, 1)


def _centered_cosine(m: Moments) -> Float64Array:
    n = np.maximum(m.n, 1)
    ff = m.ff - m.f**2 / n
    ee = m.ee - m.e**2 / n
    fe = m.fe - m.f * m.e / n
    # What is left of a constant after the subtraction is rounding, not signal.
    floor = 1e-12
    ff = np.where(ff <= floor * m.ff, 0.0, ff)
    qq = ff + 2 * fe + ee
    qq = np.maximum(np.where(qq <= floor * m.qq, 0.0, qq), 0)
    value = np.clip((ff + fe) / np.sqrt(ff) / np.sqrt(qq), -1, 1)
    both, one = (ff == 0) & (qq == 0), (ff == 0) ^ (qq == 0)
    return np.where(both, 1.0, np.where(one, 0.0, value))


@dataclass(frozen=True)
class ErrorMetrics:
    """How far the quant value ``q`` of a tensor is from its float value ``f``.

    All sums are over all elements of all samples, in float64.
    """

    cosine: float = field(
        metadata={
            KEY: Metric(
                title="cosine",
                better="higher",
                formula="Σfq / √(Σf² Σq²)",
                compute_raw=_cosine,
                ideal=1.0,
                float_zero=0.0,
                quant_zero=0.0,
                form="cosine",
                word="cos",
                aliases=("cosine",),
                note="1 when both are zero, 0 when one is; blind to gain",
                lead=1,
            )
        }
    )
    centered_cosine: float = field(
        metadata={
            KEY: Metric(
                title="centred cosine",
                better="higher",
                formula="the cosine of f - mean(f) and q - mean(q)",
                compute_raw=_centered_cosine,
                ideal=1.0,
                form="cosine",
                head="centred cos",
                word="ccos",
                note="Pearson's r: blind to bias and gain; 1 of two constants, 0 of one",
            )
        }
    )
    sqnr_db: float = field(
        metadata={
            KEY: Metric(
                title="SQNR",
                better="higher",
                formula="10 log₁₀(Σf² / Σe²)",
                compute_raw=lambda m: levels_db(m.ff, m.ee),
                ideal=math.inf,
                unit="dB",
                form="decibel",
                word="sqnr",
                aliases=("accum",),
                local_word="local",
                note="raw power: a bias counts; infinite without error, -infinite where f is zero",
                lead=0,
            )
        }
    )
    mse: float = field(
        metadata={
            KEY: Metric(
                title="mean squared error",
                better="lower",
                formula="Σe² / n",
                compute_raw=lambda m: m.ee / np.maximum(m.n, 1),
                ideal=0.0,
                head="MSE",
                word="mse",
                note="of the local error it is split into clipping and rounding",
            )
        }
    )
    rel_l2: float = field(
        metadata={
            KEY: Metric(
                title="relative L2",
                better="lower",
                formula="√(Σe² / Σf²)",
                compute_raw=lambda m: np.sqrt(m.ee / m.ff),
                ideal=0.0,
                word="rel",
                note="SQNR = -20 log₁₀ of it",
            )
        }
    )
    max_abs: float = field(
        metadata={
            KEY: Metric(
                title="largest error",
                better="lower",
                formula="max |e|",
                compute_raw=lambda m: m.max_abs_e,
                ideal=0.0,
                head="largest",
                word="maxabs",
            )
        }
    )
    bias: float = field(
        metadata={
            KEY: Metric(
                title="bias",
                better="zero",
                formula="Σe / n",
                compute_raw=lambda m: m.e / np.maximum(m.n, 1),
                ideal=0.0,
                word="bias",
            )
        }
    )
    gain: float = field(
        metadata={
            KEY: Metric(
                title="gain",
                better="one",
                formula="Σfq / Σf²",
                compute_raw=lambda m: m.fq / m.ff,
                ideal=1.0,
                float_zero=math.inf,
                word="gain",
                note="the least-squares slope of q over f",
            )
        }
    )


METRICS: Mapping[str, Metric] = {
    f.name: dataclasses.replace(f.metadata[KEY], name=f.name)
    for f in dataclasses.fields(ErrorMetrics)
}
"""Every metric by its name."""

LEAD: tuple[Metric, ...] = tuple(
    sorted((m for m in METRICS.values() if m.lead is not None), key=lambda m: m.lead or 0)
)
"""The metrics that tables of layers and outputs show, the most telling first."""

SHOWN: tuple[Metric, ...] = tuple(dict.fromkeys((*LEAD, *METRICS.values())))
"""Every metric in the order in which people see them."""

cosine = METRICS["cosine"].compute
sqnr_db = METRICS["sqnr_db"].compute
