"""Which small rectangle of a tensor shows an error best."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.metrics.moments import measure

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Window = tuple[tuple[int, ...], tuple[int, ...]]
"""First index and length along every axis."""

MAX_VALUES = 4096
"""Values of one side: 16 KiB, and as many as a picture of a report shows well."""
_SIDE = 64
_LONGEST = 128
"""A side longer than this makes the other too short to be looked at; all of 85 or 128 channels
fits. Both by judgement."""


def crop_window(float_value: Array, quant_value: Array, channel_axis: int | None) -> Window:
    """Where to look: the worst channel of an image, all channels of a table of numbers.

    An image (two axes beside the channels') is shown at its worst channel, which is the one with
    the lowest SQNR, of several the strongest. Otherwise the channels are one axis of the
    rectangle. It lies where the error is largest for the channel's power, which is where a dead
    channel would have had its values.

    Args:
        float_value: the float tensor.
        quant_value: the quant one in the same shape.
        channel_axis: in that shape, None without channels.
    """
    shape = float_value.shape
    if channel_axis is not None and not 0 <= channel_axis < len(shape):
        channel_axis = None
    axes = _two_axes(shape, channel_axis)
    start, size = [0] * len(shape), [1] * len(shape)
    f, q = float_value, quant_value
    if channel_axis is not None and channel_axis not in axes:
        start[channel_axis] = _worst_channel(f, q, channel_axis)
        f, q = (np.take(v, [start[channel_axis]], channel_axis) for v in (f, q))
    noise = _relative_noise(f, q, channel_axis if channel_axis in axes else None)
    others = tuple(at for at in range(len(shape)) if at not in axes)
    strongest = np.unravel_index(int(noise.sum(axis=axes).argmax()), [f.shape[i] for i in others])
    for at, index in zip(others, strongest, strict=True):
        noise = np.take(noise, [index], at)
        start[at] += int(index)
    plane = noise.reshape([noise.shape[at] for at in axes] or [1])
    lengths = _lengths([shape[at] for at in axes], [at == channel_axis for at in axes])
    for at, first, length in zip(axes, _densest(plane, lengths), lengths, strict=True):
        start[at], size[at] = first, length
    return tuple(start), tuple(size)


def _two_axes(shape: tuple[int, ...], channel_axis: int | None) -> tuple[int, ...]:
    """The axes of the rectangle, in order; one for a vector, none for a single value."""
    long = [at for at, length in enumerate(shape) if length > 1 and at != channel_axis]
    largest = sorted(long, key=lambda at: (-shape[at], -at))[:2]
    if len(largest) < 2 and channel_axis is not None and shape[channel_axis] > 1:
        largest.append(channel_axis)
    return tuple(sorted(largest))


def _worst_channel(f: Array, q: Array, axis: int) -> int:
    """The channel of the lowest SQNR; of those that are as bad, the one of the most power.

    Values that only the quant side lost, infinite or not a number, are worse than any error.
    """
    sums = measure(f, q, axis)
    ratio = np.divide(sums.ee, sums.ff, out=np.zeros(len(sums)), where=sums.ff > 0)
    ratio[sums.nonfinite_q > 0] = np.inf
    return int(np.where(ratio >= _AS_BAD * ratio.max(), sums.ff, -1.0).argmax())


_AS_BAD = 0.999
"""Dead channels all have a ratio of 1, but for rounding."""


def _relative_noise(f: Array, q: Array, axis: int | None) -> FloatArray:
    """Squared error over the channel's power, or the power itself where there is no error."""
    noise = _squared_error(f, q)
    if not math.isfinite(noise.sum()):
        f, q = _finite(f), _finite(q)
        noise = _squared_error(f, q)
    if not noise.any():
        return np.asarray(np.square(f, dtype=np.float64))
    if axis is None:
        return noise
    rest = tuple(at for at in range(f.ndim) if at != axis)
    power = np.square(f, dtype=np.float64).sum(axis=rest, keepdims=True)
    np.divide(noise, power, out=noise, where=power > 0)
    if (power <= 0).any():
        noise[np.broadcast_to(power <= 0, noise.shape)] = 0.0
    return noise


def _squared_error(f: Array, q: Array) -> FloatArray:
    with np.errstate(invalid="ignore"):  # infinity less infinity
        error: FloatArray = np.asarray(np.subtract(f, q, dtype=np.float64))
    return np.square(error, out=error)


def _finite(value: Array) -> FloatArray:
    """A float64 copy, zero where the value is infinite or not a number."""
    copy = np.array(value, np.float64)
    copy[~np.isfinite(copy)] = 0.0
    return copy


def _lengths(lengths: list[int], channels: list[bool]) -> list[int]:
    """How long the rectangle is along its axes; channels are shown whole where they fit."""
    if len(lengths) < 2:
        return [min(length, MAX_VALUES) for length in lengths]
    limits = [_LONGEST if is_channel else _SIDE for is_channel in channels]
    found = [min(length, limit) for length, limit in zip(lengths, limits, strict=True)]
    for at, other in ((0, 1), (1, 0)):
        if not channels[at]:
            found[at] = min(lengths[at], _LONGEST, MAX_VALUES // found[other])
    return found


def _densest(plane: FloatArray, lengths: list[int]) -> list[int]:
    """First indices of the window of the largest sum."""
    whole = [at for at, length in enumerate(lengths) if length == plane.shape[at]]
    sums = plane.sum(axis=tuple(whole), keepdims=True)
    for axis, length in enumerate(lengths):
        if axis in whole:
            continue
        before = np.insert(np.cumsum(sums, axis=axis), 0, 0.0, axis=axis)
        count = plane.shape[axis] - length + 1
        ends = np.arange(length, length + count)
        sums = np.take(before, ends, axis) - np.take(before, np.arange(count), axis)
    if not lengths:
        return []
    return [int(at) for at in np.unravel_index(int(sums.argmax()), sums.shape)]
