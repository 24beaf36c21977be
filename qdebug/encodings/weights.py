"""Codes of weights: of a given encoding, and by a toolchain's own rule where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.encodings.model import Encoding
from qdebug.graph.model import Node
from qdebug.graph.pairs import Quantizer

Array = npt.NDArray[Any]
Rounding = Literal["even", "away"]
"""Where half a step goes: to the even code, as ONNX's QuantizeLinear has it, or away from zero."""


@dataclass(frozen=True)
class Coded:
    """A weight as codes.

    Attributes:
        codes: int64, shaped like the weight.
        encoding: how to read them; its axis is settled.
    """

    codes: npt.NDArray[np.int64]
    encoding: Encoding


WeightRule = Callable[[Array, Node, int], Coded]
"""What a toolchain makes of a weight without an entry: of the float32 weight, the node that reads
it and the axis of its output channels."""


def output_axis(node: Node, rank: int) -> int:
    """The axis of a weight on which the output channels are."""
    if node.op == "ConvTranspose":
        return 1
    if node.op == "Gemm":
        return 0 if node.attributes.get("transB", 0) else 1
    if node.op == "MatMul":
        return rank - 1
    return 0


def code(
    values: Array,
    quantizer: Quantizer,
    rounding: Rounding = "even",
    precision: Any = None,
    per_unit: Array | None = None,
) -> npt.NDArray[np.int64]:
    """Codes of values: ``saturate(round(value / scale) + zero_point)``.

    Args:
        values: float32.
        quantizer: with its axis settled.
        rounding: of half a step.
        precision: type in which the quotient is computed; None for float32, and float64 for codes
            of 32 bits, which float32 does not hold.
        per_unit: codes a unit, shaped like the scale: values are multiplied with these instead.
    """
    precision = precision or (np.float64 if quantizer.dtype == "int32" else np.float32)
    scale, zero = spread(quantizer, values)
    steps = values.astype(precision) / scale.astype(precision)
    if per_unit is not None:
        wide, _ = spread(replace(quantizer, scale=per_unit), values)
        steps = values.astype(precision) * wide.astype(precision)
    whole = rounded(steps, rounding)
    clipped: Array = np.clip(np.nan_to_num(whole) + zero, quantizer.low, quantizer.high)
    return clipped.astype(np.int64)


def rounded(steps: Array, rounding: Rounding) -> Array:
    """Whole numbers next to real ones."""
    if rounding == "even":
        return np.rint(steps)
    away: Array = np.sign(steps) * np.floor(np.abs(steps) + steps.dtype.type(0.5))
    return away


def spread(quantizer: Quantizer, values: Array) -> tuple[Array, Array]:
    """Scale and zero point, broadcastable against the values."""
    scale, zero = quantizer.scale, quantizer.zero_point
    if scale.ndim == 0 or quantizer.axis is None:
        return scale, zero
    axis = quantizer.axis
    if quantizer.block_size:
        size = range(values.shape[axis])
        wide = (np.repeat(p, quantizer.block_size, axis).take(size, axis) for p in (scale, zero))
        return next(wide), next(wide)
    shape = [1] * values.ndim
    shape[axis] = -1
    return scale.reshape(shape), zero.reshape(shape)


def largest(weight: Array, axis: int | None) -> npt.NDArray[np.float32]:
    """The largest magnitude of each channel, float32 ``[channels]``, or of all (``axis`` None)."""
    if axis is None:
        return np.asarray(np.abs(weight).max(initial=0), np.float32)
    others = tuple(at for at in range(weight.ndim) if at != axis)
    return np.asarray(np.abs(weight).max(axis=others, initial=0), np.float32)


def symmetric(
    dtype: str = "int8",
    *,
    rounding: Rounding = "even",
    per_channel: bool = True,
    least: float = 0.0,
    precision: Any = None,
) -> WeightRule:
    """The rule ``scale = largest / largest code``, zero point 0, for each output channel.

    Args:
        dtype: of the codes.
        rounding: of half a step.
        per_channel: otherwise one scale for the weight.
        least: smallest scale; a channel of zeros has it, or 1 where it is zero.
        precision: as for `code`.
    """

    def rule(weight: Array, node: Node, axis: int) -> Coded:
        del node
        where = axis if per_channel else None
        top = np.float32(2 ** (Encoding(dtype).bits - 1) - 1)
        scale = np.maximum(largest(weight, where) / top, np.float32(least)).astype(np.float32)
        scale = np.where(scale > 0, scale, np.float32(1))
        encoding = Encoding.linear(dtype, scale, 0, where)
        return Coded(code(weight, encoding.quantizer(), rounding, precision), encoding)

    return rule
