"""Noise power at an output, from a few gradients and the errors that they meet.

With a cotangent of random signs, the mean of ``(sum g e)^2`` over its draws is the power that an
error e makes at the output, to first order (Hutchinson's estimator). Few draws of it scatter by as
much as it is large: its square counts each pair of elements, and nearly all of the pairs are there
for their scatter only. So pairs are counted where something relates them:

- each element with itself, ``sum (g e)^2``: all there is if rounding errors are independent;
- elements of one channel, which a weight's error moves alike;
- elements of one position, which share what a layer reads there.

Pairs of different channels and positions are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.metrics.moments import by_channel

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]

_SAFE = 1e-20, 1e30
"""Sums of squares between which float32 is good enough: what it loses below 1e-38 is nothing to
them."""
_BEYOND = 2.0
"""Standard deviations from which on pairs are taken as related. Between 1 and 3 the distances to
exact runs hardly change (docs/benchmarks.md)."""


class Products:
    """Products of gradients and errors, summed up by channel and by position.

    Its memory is used again and again.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0)

    def sums(self, gradient: Array, error: Array, axis: int | None) -> Sums:
        """Sum up the products of one tensor.

        Args:
            gradient: float32.
            error: float32, of the same shape.
            axis: that of the channels; None where all elements are of one.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._sums(gradient, error, axis, np.float32)
        low, high = _SAFE
        if low < found.alone < high or not error.any():
            return found
        return self._sums(gradient, error, axis, np.float64)

    def _sums(self, gradient: Array, error: Array, axis: int | None, dtype: Any) -> Sums:
        shape = by_channel(gradient.shape, axis)
        terms = self._scratch(gradient.size, dtype).reshape(shape)
        np.multiply(gradient.reshape(shape), error.reshape(shape), out=terms)
        related = _power(_over_positions(terms)), _power(terms.sum(axis=1))
        np.multiply(terms, terms, out=terms)
        alone = _over_positions(terms)
        null = _power(alone), _power(terms.sum(axis=1))
        return Sums(float(alone.sum()), *related, *null)

    def _scratch(self, size: int, dtype: Any) -> Array:
        needed = size * np.dtype(dtype).itemsize
        if needed > self._memory.nbytes:
            self._memory = np.empty(-(-needed // self._memory.itemsize))
        return np.asarray(self._memory.view(dtype)[:size])


@dataclass
class Sums:
    """Sums over the products ``g e`` of one tensor, of one draw or of several.

    Attributes:
        alone: of their squares.
        channels: of the squares of the sums of each channel.
        positions: of the squares of the sums of each position.
        channels_null: of the squares of what each channel adds to ``alone``.
        positions_null: the same of each position.
    """

    alone: float = 0.0
    channels: float = 0.0
    positions: float = 0.0
    channels_null: float = 0.0
    positions_null: float = 0.0

    def add(self, other: Sums) -> None:
        """Add those of another draw."""
        self.alone += other.alone
        self.channels += other.channels
        self.positions += other.positions
        self.channels_null += other.channels_null
        self.positions_null += other.positions_null

    @property
    def noise(self) -> float:
        """The power, summed over the draws.

        If the elements of a channel are independent, their sum is normal with variance s, and its
        square has the mean s and the variance 2 s^2. What all channels together are beyond two
        standard deviations of that is no chance; and so for positions.
        """
        found = self.alone
        kinds = (self.channels, self.channels_null), (self.positions, self.positions_null)
        for related, null in kinds:
            if abs(related - self.alone) > _BEYOND * math.sqrt(2 * null):
                found += related - self.alone
        return max(found, min(self.channels, self.positions))


def _over_positions(terms: Array) -> Numbers:
    """Sums of each channel."""
    return np.asarray(terms.sum(axis=2).sum(axis=0), np.float64)


def _power(values: Array) -> float:
    return float(np.square(values, dtype=np.float64).sum())
