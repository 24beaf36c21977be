"""The metrics: each one small pure function of ``Moments``, with its unit, direction and formula.

Policy for special cases, the same everywhere: both sides zero is a perfect score, one side zero
is the worst finite one, no epsilon stands in a denominator, and a tensor whose values are not all
finite has NaN (its state says ``nonfinite``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from qdebug.metrics.moments import Moments

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Metric:
    """One number about a tensor's error.

    Attributes:
        name: field name in ``run.json``.
        title: for people.
        unit: ``dB``, or empty for a ratio or the tensor's own unit.
        better: which direction is good; ``one`` and ``zero`` name the ideal value.
        formula: with ``f`` the float value, ``q`` the quant value, ``e = q - f``.
        compute: row-wise over moments, float64 ``[rows]`` in and out.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower", "one", "zero"]
    formula: str
    compute: Callable[[Moments], Float64Array]

    def badness(self, value: float) -> float:
        """A number that is larger for a worse value; NaN is the worst of all."""
        if np.isnan(value):
            return np.inf
        distance = {
            "higher": -value,
            "lower": value,
            "one": abs(value - 1),
            "zero": abs(value),
        }
        return distance[self.better]


def cosine(m: Moments) -> Float64Array:
    """Cosine similarity, ``sum f q / sqrt(sum f^2 sum q^2)``; zero against zero is 1."""
    return _cosine(m.ff, m.qq, m.fq)


def centered_cosine(m: Moments) -> Float64Array:
    """Cosine after subtracting each side's mean (Pearson's r); two constants give 1."""
    n = np.maximum(m.n, 1)
    ff = m.ff - m.f**2 / n
    ee = m.ee - m.e**2 / n
    fe = m.fe - m.f * m.e / n
    # What is left of a constant after the subtraction is rounding, not signal.
    floor = 1e-12
    ff = np.where(ff <= floor * m.ff, 0.0, ff)
    qq = ff + 2 * fe + ee
    qq = np.where(qq <= floor * m.qq, 0.0, qq)
    return _cosine(ff, np.maximum(qq, 0), ff + fe)


def sqnr_db(m: Moments) -> Float64Array:
    """Signal to quantization noise ratio, ``10 log10(sum f^2 / sum e^2)``, raw power, dB.

    No error is ``inf``; an error where the reference is zero is ``-inf``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * (np.log10(m.ff) - np.log10(m.ee))
    return np.where(m.ee == 0, np.inf, ratio)


def mse(m: Moments) -> Float64Array:
    """Mean squared error, ``sum e^2 / n``."""
    return m.ee / np.maximum(m.n, 1)


def rel_l2(m: Moments) -> Float64Array:
    """Relative L2 error, ``sqrt(sum e^2 / sum f^2)``; equals ``10^(-sqnr_db / 20)``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(m.ee / m.ff)
    return np.where(m.ee == 0, 0.0, ratio)


def max_abs(m: Moments) -> Float64Array:
    """Largest absolute error."""
    return m.max_abs_e


def bias(m: Moments) -> Float64Array:
    """Mean error, ``sum e / n``."""
    return m.e / np.maximum(m.n, 1)


def gain(m: Moments) -> Float64Array:
    """Least-squares slope of ``q`` over ``f``, ``sum f q / sum f^2``; zero against zero is 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = m.fq / m.ff
    return np.where(m.ff == 0, np.where(m.ee == 0, 1.0, np.inf), slope)


def _cosine(ff: Float64Array, qq: Float64Array, fq: Float64Array) -> Float64Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.clip(fq / np.sqrt(ff) / np.sqrt(qq), -1, 1)
    both, one = (ff == 0) & (qq == 0), (ff == 0) ^ (qq == 0)
    return np.where(both, 1.0, np.where(one, 0.0, value))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("cosine", "cosine", "", "higher", "Σfq / √(Σf² Σq²)", cosine),
        Metric(
            "centered_cosine",
            "centred cosine",
            "",
            "higher",
            "the cosine of f - mean(f) and q - mean(q)",
            centered_cosine,
        ),
        Metric("sqnr_db", "SQNR", "dB", "higher", "10 log₁₀(Σf² / Σe²)", sqnr_db),
        Metric("mse", "MSE", "", "lower", "Σe² / n", mse),
        Metric("rel_l2", "relative L2", "", "lower", "√(Σe² / Σf²)", rel_l2),
        Metric("max_abs", "max |e|", "", "lower", "max |q - f|", max_abs),
        Metric("bias", "bias", "", "zero", "Σe / n", bias),
        Metric("gain", "gain", "", "one", "Σfq / Σf²", gain),
    )
}
"""The built-in metrics by name; plug-ins add theirs under the entry point ``qdebug.metrics``."""
