"""The divergences that calibrators choose a threshold by, compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LEVELS = 128
"""Levels of a half axis that TensorRT's calibrator quantizes to (S. Migacz, "8-bit inference with
TensorRT", GTC 2017), whose form most toolchains copied."""
_ABSENT = 1e-9
"""Stands for a probability of nothing under a logarithm."""


def divergences(counts: Array, step: int) -> Array:
    """Divergence between a clipped histogram and its form in 128 levels, for rising thresholds.

    Args:
        counts: of magnitudes, float64 ``[n]``, bins of equal width from zero.
        step: bins from one threshold to the next; the first is at bin 128.

    Returns:
        ``[3, thresholds]``: Kullback-Leibler, its symmetric form, Jensen-Shannon.
    """
    return np.asarray(_divergences(np.ascontiguousarray(counts, np.float64), step))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _divergences(counts: Any, step: int) -> Any:
    n = counts.size
    found = np.full((3, (n - LEVELS) // step + 1), np.inf)
    total = counts.sum()
    q = np.zeros(n)
    for t in range(found.shape[1]):
        kept = LEVELS + t * step
        inside = _requantize(counts, kept, q)
        if inside <= 0.0:
            continue
        beyond = total - inside
        kl = reverse = js = 0.0
        for j in range(kept):
            p = (counts[j] + (beyond if j == kept - 1 else 0.0)) / total
            r = q[j] / inside
            if p > 0.0:
                kl += p * np.log(p / max(r, _ABSENT))
                js += 0.5 * p * np.log(2.0 * p / (p + r))
            if r > 0.0:
                reverse += r * np.log(r / max(p, _ABSENT))
                js += 0.5 * r * np.log(2.0 * r / (p + r))
        found[0, t], found[1, t], found[2, t] = kl, kl + reverse, js
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator, unused-ignore]
def _requantize(counts: Any, kept: int, q: Any) -> float:
    """Spread the counts of each level evenly over its bins that hold any; their sum."""
    inside = 0.0
    for level in range(LEVELS):
        start = level * kept // LEVELS
        end = (level + 1) * kept // LEVELS
        mass, filled = 0.0, 0
        for j in range(start, end):
            q[j] = 0.0
            if counts[j] > 0.0:
                mass += counts[j]
                filled += 1
        inside += mass
        for j in range(start, end):
            if counts[j] > 0.0:
                q[j] = mass / filled
    return inside
