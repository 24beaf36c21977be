"""Fitting a fed tensor to a picture: gain and offset a channel, and what remains."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.spec import Affine

Samples = NDArray[Any]
"""Values [positions, channels]."""

_TIE, _TIE_SHARE = 1e-9, 1.001
"""Orders of channels whose unexplained shares differ by less are a tie: arithmetic, and on a gray
picture the noise of a decoder. By judgement."""
_FEWEST = 16  # positions that a fit needs; by judgement


@dataclass(frozen=True)
class ChannelFit:
    """``fed[:, k] = gain[k] * picture[:, source[k]] + offset[k]`` by least squares."""

    source: tuple[int, ...]
    """Picture channel of each fed channel; the picture's own order is R, G, B."""
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    rms: float
    """Root mean square residual, in pixel codes."""
    max: float
    """Largest residual, in pixel codes."""
    explained: tuple[float, ...]
    """Share of each fed channel's variance that is explained, 0..1."""
    center: tuple[float, ...]
    """Mean pixel code behind each fed channel."""
    spread: tuple[float, ...]
    """Standard deviation of the pixel codes behind each fed channel."""

    @property
    def quality(self) -> float:
        """Explained share of the worst channel."""
        return min(self.explained)

    @property
    def affine(self) -> Affine:
        """Gain and offset by tensor channel."""
        return Affine(self.gain, self.offset)

    @property
    def is_swapped(self) -> bool:
        """Whether the fed channels are B, G, R."""
        return self.source == (2, 1, 0)


def fit_channels(fed: Samples, picture: Samples, preferred: tuple[int, ...]) -> ChannelFit | None:
    """Fit over all channel orders; on a tie the preferred order wins.

    Args:
        fed: [positions, 1 or 3], may hold NaN where bytes are lost.
        picture: [positions, 3] R, G, B codes.
        preferred: the order to take where the picture cannot tell.

    Returns:
        None if the picture or the tensor is constant.
    """
    usable = np.isfinite(fed).all(axis=1)
    if usable.sum() < _FEWEST:
        return None
    f, p = fed[usable].astype(np.float64), picture[usable].astype(np.float64)
    f_mean, p_mean = f.mean(axis=0), p.mean(axis=0)
    f_centered, p_centered = f - f_mean, p - p_mean
    f_var, p_var = (f_centered**2).mean(axis=0), (p_centered**2).mean(axis=0)
    if not (f_var > 0).all() or not (p_var > 1e-6).all():
        return None
    covariance = f_centered.T @ p_centered / len(f)
    explained = covariance**2 / np.outer(f_var, p_var)
    source = _best_order(explained, f.shape[1], preferred)
    index = list(source)
    gain = covariance[np.arange(len(index)), index] / p_var[index]
    if not np.abs(gain).min() > 0:
        return None
    offset = f_mean - gain * p_mean[index]
    residual = (f - (p[:, index] * gain + offset)) / np.abs(gain)
    return ChannelFit(
        source,
        tuple(float(g) for g in gain),
        tuple(float(o) for o in offset),
        float(np.sqrt((residual**2).mean())),
        float(np.abs(residual).max()),
        tuple(float(e) for e in explained[np.arange(len(index)), index]),
        tuple(float(m) for m in p_mean[index]),
        tuple(float(v) for v in np.sqrt(p_var[index])),
    )


def _best_order(
    explained: NDArray[np.float64], channels: int, preferred: tuple[int, ...]
) -> tuple[int, ...]:
    """Choose the order that leaves the least unexplained; the preferred one on a tie."""
    if channels == 1:
        return (int(np.argmax(explained[0])),)
    unexplained = 1 - explained
    orders = list(permutations(range(3)))
    costs = {o: float(unexplained[np.arange(3), list(o)].sum()) for o in orders}
    best = min(orders, key=costs.__getitem__)
    tied = costs[preferred] <= costs[best] * _TIE_SHARE + _TIE
    return preferred if tied else best


def correlation(one: NDArray[Any], two: NDArray[Any]) -> float:
    """Pearson correlation of two vectors; 0 if one is constant."""
    usable = np.isfinite(one)
    if usable.sum() < _FEWEST:
        return 0.0
    a, b = one[usable].astype(np.float64), two[usable].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0
