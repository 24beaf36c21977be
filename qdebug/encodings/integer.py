"""Layers in integers, as devices compute them: exact sums of codes, and codes made of them again.

For replaying single layers with a vendor's own arithmetic; whole networks run in ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Codes = npt.NDArray[np.int64]
Rounding = Literal["half_up", "half_away", "half_even", "down"]
"""Of a sum that is shifted right: the half goes up, away from zero or to the even code; ``down``
drops what is shifted out."""


@dataclass(frozen=True)
class Window:
    """How a kernel goes over height and width.

    Attributes:
        strides: of both.
        pads: at top, left, bottom and right.
        dilations: of both.
        group: groups of channels.
    """

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1


def conv_sums(codes: Codes, weight: Codes, window: Window, zero_point: int = 0) -> Codes:
    """Exact sums of a convolution over codes, ``[N, C, H, W]`` with ``[M, C / group, kH, kW]``.

    Computed in float64, which is exact below 2^53: no sum of 16-bit codes gets there.

    Args:
        codes: of the input.
        weight: codes less their zero point.
        window: of the kernel.
        zero_point: of the input: subtracted, and what padding stands for.
    """
    top, left, bottom, right = window.pads
    padded = np.pad(codes - zero_point, ((0, 0), (0, 0), (top, bottom), (left, right)))
    patches = _patches(padded.astype(np.float64), weight.shape[2:], window)
    count, group = weight.shape[0], window.group
    size = patches.shape[0], group, -1, *patches.shape[-2:]
    grouped = patches.reshape(*size[:3], size[3] * size[4])
    kernel = weight.reshape(group, count // group, -1).astype(np.float64)
    sums = np.matmul(kernel, grouped)
    whole: Codes = np.rint(sums).astype(np.int64).reshape(size[0], count, *size[3:])
    return whole


def pool_sums(codes: Codes, kernel: tuple[int, int], window: Window) -> Codes:
    """Exact sums over the windows of an average pool, zeros beyond the borders."""
    top, left, bottom, right = window.pads
    padded = np.pad(codes, ((0, 0), (0, 0), (top, bottom), (left, right)))
    patches = _patches(padded, kernel, window)
    sums: Codes = patches.sum(axis=(2, 3))
    return sums


def _patches(padded: Array, kernel: Sequence[int], window: Window) -> Array:
    """What the kernel sees at each place: ``[N, C, kH, kW, outH, outW]``."""
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, window.dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    rows, columns = window.strides
    steps = views[:, :, ::rows, ::columns, :: window.dilations[0], :: window.dilations[1]]
    moved: Array = steps.transpose(0, 1, 4, 5, 2, 3)
    return moved


def rescaled(sums: Codes, multiplier: Any, shift: Any, rounding: Rounding) -> Codes:
    """``sums * multiplier / 2^shift``, rounded: fixed point as devices have it.

    Args:
        sums: int64; times the multiplier they must stay below 2^63.
        multiplier: integers, broadcastable.
        shift: bits to the right, 0 or more, broadcastable.
        rounding: of what is shifted out.
    """
    products = sums * np.asarray(multiplier, np.int64)
    bits = np.broadcast_to(np.asarray(shift, np.int64), products.shape)
    half = np.where(bits > 0, np.int64(1) << np.maximum(bits - 1, 0), 0)
    if rounding == "down":
        return products >> bits
    if rounding == "half_up":
        return (products + half) >> bits
    if rounding == "half_away":
        away: Codes = np.sign(products) * ((np.abs(products) + half) >> bits)
        return away
    floor = (products + half) >> bits
    tie = ((products + half) & ((np.int64(1) << bits) - 1)) == 0
    even: Codes = np.where(tie & (bits > 0) & (floor & 1 == 1), floor - 1, floor)
    return even


def by_channel(values: Sequence[int] | Array, rank: int) -> Codes:
    """One value a channel (or one for all), broadcastable over axis 1."""
    flat = np.asarray(values, np.int64).reshape(-1)
    return flat.reshape([1, -1, *[1] * (rank - 2)]) if rank > 1 else flat
