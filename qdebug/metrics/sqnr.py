"""The signal to quantization noise ratio: its formula and its zero policy, here only.

``10 log10(sum f^2 / sum (q - f)^2)``, raw power, in dB. No noise is ``inf``, whatever the signal;
noise without a signal is ``-inf``. No epsilon stands in the denominator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


def levels_db(signal: Float64Array, noise: Float64Array) -> Float64Array:
    """Ratio of two powers, element by element, dB.

    Args:
        signal: sums or means of ``f^2``, not negative.
        noise: the same of the error.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * (np.log10(signal) - np.log10(noise))
    return np.where(np.equal(noise, 0), np.inf, ratio)


def level_db(signal: float, noise: float) -> float:
    """``levels_db`` of two numbers."""
    return float(levels_db(np.float64(signal), np.float64(noise)))


def tensor_db(reference: npt.NDArray[Any], test: npt.NDArray[Any]) -> float:
    """SQNR of a tensor against its reference of the same shape, dB."""
    f, q = reference.astype(np.float64), test.astype(np.float64)
    return level_db(float((f**2).sum()), float(((q - f) ** 2).sum()))


def rows_db(reference: npt.NDArray[Any], test: npt.NDArray[Any]) -> Float64Array:
    """SQNR of each row, float64 ``[rows]``, dB.

    Args:
        reference: ``[rows, values]``.
        test: of the same shape.
    """
    f = np.asarray(reference, np.float64)
    difference = np.asarray(test, np.float64) - f
    power, error = (np.einsum("ij,ij->i", v, v) for v in (f, difference))
    return levels_db(power, error)
