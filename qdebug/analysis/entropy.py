"""The range that loses least information: calibration by Kullback-Leibler divergence.

Source: Migacz, *8-bit Inference with TensorRT* (GTC 2017), as ONNX Runtime and most toolchains have
it: of all ranges about zero, the one whose quantized distribution is nearest to the clipped one.
"""

from __future__ import annotations

import numpy as np

from qdebug.analysis.calibration import Distribution, Float64Array

_LEVELS = 128
"""Codes of one sign of an 8-bit type, the fewest bins that a range may have."""
_STEP = 16
"""Bins by which ranges differ; of 2048 bins, less than one code in 128."""


def entropy_range(values: Distribution) -> tuple[float, float]:
    """The range of least divergence; its ends are the values' own where it would be wider.

    Args:
        values: of the tensor.
    """
    reach = max(-values.low, values.high)
    if not reach > 0:
        return values.low, values.high
    bins = len(values.counts)
    edges = np.linspace(0, reach, bins + 1)
    magnitudes, _ = np.histogram(np.abs(values.centers), edges, weights=values.counts)
    magnitudes[0] = max(magnitudes[0] - values.zeros, 0)  # an exact zero costs nothing
    if not magnitudes.any():
        return values.low, values.high
    ends = range(_LEVELS, bins + 1, _STEP)
    best = min(ends, key=lambda end: _divergence(magnitudes, end))
    limit = float(edges[best])
    return max(values.low, -limit), min(values.high, limit)


def _divergence(counts: Float64Array, end: int) -> float:
    """Divergence of the first ``end`` bins, quantized, from what they hold with all beyond them."""
    clipped = counts[:end].copy()
    clipped[-1] += counts[end:].sum()
    inner = counts[:end]
    groups = np.arange(end) * _LEVELS // end
    held = inner > 0
    totals = np.bincount(groups, inner, _LEVELS)
    filled = np.bincount(groups, held, _LEVELS)
    quantized = np.where(held, totals[groups] / np.maximum(filled[groups], 1), 0.0)
    p, q = clipped / clipped.sum(), quantized / max(quantized.sum(), 1e-300)
    seen = p > 0
    lost = seen & (q <= 0)
    if lost.any():
        return float("inf")
    return float(np.sum(p[seen] * np.log(p[seen] / q[seen])))
