"""ncnn's integer Convs, to replay single layers.

Source: held against blobs of the wheel of 2026-10-20. The sum of codes is exact; it becomes a real
number by one division, and the bias is float.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.encodings.integer import Window, conv_sums
from qdebug.encodings.weights import rounded
from qdebug.vendors.ncnn.table import TOP, Layer

Array = npt.NDArray[Any]


def codes(values: Array, scale: Array) -> npt.NDArray[np.int64]:
    """Codes of real numbers: ``clip(round half away(x * scale), -127, 127)`` in float32."""
    steps = values.astype(np.float32) * np.asarray(scale, np.float32)
    return np.clip(rounded(steps, "away"), -TOP, TOP).astype(np.int64)


def conv(fed: Array, weight: Array, bias: Array, layer: Layer, window: Window) -> Array:
    """What a Conv writes before its activation, float32 ``[N, M, H, W]``.

    Args:
        fed: float32 ``[N, C, H, W]``.
        weight: float32 ``[M, C / group, kH, kW]``, a factor behind the Conv already in it.
        bias: float32 ``[M]``.
        layer: its lines of the table.
        window: of the kernel.
    """
    count = weight.shape[0]
    scales = np.where(np.isinf(layer.weight), 0.0, layer.weight).astype(np.float32)
    scales = np.repeat(scales, count // scales.size)
    sums = conv_sums(
        codes(fed, np.float32(layer.fed)),
        codes(weight, scales.reshape(-1, 1, 1, 1)),
        window,
    )
    units = np.where(scales > 0, scales, 1).astype(np.float64) * layer.fed
    real = sums / units.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
    return np.asarray(real, np.float32)
