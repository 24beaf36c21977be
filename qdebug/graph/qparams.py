"""Quantization parameters: reading them from a graph, and applying them in numpy."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import DEQUANTIZE_OPS
from qdebug.graph.pairs import Array, Quantizer

_FLOAT_RANGES = {
    "float8e4m3fn": 448,
    "float8e4m3fnuz": 240,
    "float8e5m2": 57344,
    "float8e5m2fnuz": 57344,
    "float4e2m1": 6,
}
_EXACT = 1 << 24
"""Below which float32 holds every integer."""
_WIDEST = 32
"""Bits of a code: those of ONNX's widest quantized type. Other formats write any number."""
_ASCEND = {"scale": 1.0, "offset": 0.0, "quant_bit": 8}
"""Attributes of ``AscendQuant`` and their defaults."""
_INTEGER = re.compile(r"u?int([1-9]|[12]\d|3[0-2])")


class ConstantSource(Protocol):
    """Something that knows the values of a graph's constant tensors."""

    @property
    def graph(self) -> Graph:
        """The graph."""

    def value(self, tensor: str) -> Array | None:
        """Value of a constant tensor, None for others."""


@cache
def code_range(dtype: str) -> tuple[int, int]:
    """Smallest and largest code of an ONNX element type, for instance ``(-8, 7)`` for ``int4``.

    Raises:
        ValueError: it is no such type, or of more bits than codes have.
    """
    if dtype in _FLOAT_RANGES:
        return -_FLOAT_RANGES[dtype], _FLOAT_RANGES[dtype]
    bits = int(dtype.lstrip("uint") or 8)
    if not 0 < bits <= _WIDEST:
        raise ValueError(f"there are no codes of {bits} bits")
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def make_quantizer(
    constants: ConstantSource, scale: str, zero_point: str, dtype: str, axis: int | None = None
) -> Quantizer | None:
    """Quantizer from the tensors that hold its parameters.

    Args:
        constants: of the graph the tensors are in.
        scale: tensor name.
        zero_point: tensor name, empty where there is none (then zero).
        dtype: element type of the codes, used where the zero point does not tell it.
        axis: channel axis that applies if the scale is not a single number.

    Returns:
        None where the scale is computed while running, the type holds no codes, or scale and zero
        point do not fit together: ONNX Runtime refuses that.
    """
    scales = constants.value(scale)
    if scales is None:
        return None
    if zero_point:
        zero = constants.value(zero_point)
        if zero is None:
            return None
        dtype = constants.graph.type_of(zero_point).dtype
    else:
        zero = np.zeros(scales.shape, np.int64)
    if dtype not in _FLOAT_RANGES and not _INTEGER.fullmatch(dtype):
        return None  # a zero point of another type is none
    if not scales.size or zero.size not in (1, scales.size):
        return None
    scales = scales.astype(np.float32)
    if scales.size == 1:
        scales, axis = scales.reshape(()), None
    zeros = np.broadcast_to(_integers(zero), scales.shape) if zero.size == 1 else _integers(zero)
    low, high = code_range(dtype)
    return Quantizer(dtype, scales, zeros.reshape(scales.shape), axis, low, high)


def bias_quantizer(scale: npt.NDArray[np.float32]) -> Quantizer:
    """Quantizer of an int32 bias, from its scale per channel (or one for all)."""
    scale = scale.reshape(()) if scale.size == 1 else scale
    zero = np.zeros(scale.shape, np.int64)
    return Quantizer("int32", scale, zero, 0 if scale.ndim else None, *code_range("int32"))


def _integers(codes: Array) -> npt.NDArray[np.int64]:
    # float8 zero points are always zero, and NaN is not an integer
    values = np.nan_to_num(codes.astype(np.float32)) if codes.dtype.kind not in "iu" else codes
    integers: npt.NDArray[np.int64] = values.astype(np.int64)
    return integers.reshape(()) if integers.size == 1 else integers


def linear_quantizer(constants: ConstantSource, node: Node) -> Quantizer | None:
    """Quantizer of a ``QuantizeLinear``, ``DequantizeLinear`` or a vendor's variant of them.

    None where the parameters are not constant.
    """
    if node.op == "AscendQuant":
        return _ascend(node)
    scale = node.inputs[1] if len(node.inputs) > 1 else ""
    zero = node.inputs[2] if len(node.inputs) > 2 else ""
    values = constants.value(scale)
    if values is None:
        return None
    quantizer = make_quantizer(constants, scale, zero, _code_type(constants, node))
    block = int(node.attributes.get("block_size", 0))
    if quantizer is None or quantizer.scale.ndim == 0:
        return quantizer
    axis = int(node.attributes.get("axis", 1))
    kind = constants.graph.type_of(node.inputs[0])
    rank = len(kind.shape) if kind.shape is not None else values.ndim
    axis = axis + rank if axis < 0 else min(axis, max(rank - 1, 0))
    blocked = block if values.ndim > 1 else 0
    return Quantizer(
        quantizer.dtype,
        quantizer.scale,
        quantizer.zero_point,
        axis,
        quantizer.low,
        quantizer.high,
        blocked,
    )


def _code_type(constants: ConstantSource, node: Node) -> str:
    codes = node.inputs[0] if node.op in DEQUANTIZE_OPS else node.outputs[0]
    kind = constants.graph.type_of(codes)
    return kind.dtype if kind.elem_type else "uint8"


def _ascend(node: Node) -> Quantizer | None:
    values = node.attributes
    step, zero, bits = (values.get(k, d) for k, d in _ASCEND.items())
    sound = all(isinstance(value, (int, float)) and math.isfinite(value) for value in (step, zero))
    if not sound or step <= 0 or not isinstance(bits, int) or not 0 < bits <= _WIDEST:
        return None
    scale = np.float32(1.0 / step)  # AMCT stores the reciprocal of the step
    low, high = code_range(f"int{bits}")
    return Quantizer(f"int{bits}", np.asarray(scale), np.asarray(int(zero)), None, low, high)


def qonnx_quantizer(constants: ConstantSource, node: Node) -> Quantizer | None:
    """Quantizer of QONNX's ``Quant`` node: inputs scale, zero point and bit width."""
    if node.op != "Quant" or len(node.inputs) < 4:
        return None
    scale, zero, width = (constants.value(name) for name in node.inputs[1:4])
    if scale is None or zero is None or width is None:
        return None
    signed, narrow = bool(node.attributes.get("signed", 1)), bool(node.attributes.get("narrow", 0))
    if width.size != 1 or not scale.size or zero.size not in (1, scale.size):
        return None
    bits = float(width.reshape(()))
    if not 1 <= bits <= _WIDEST:
        return None
    dtype = f"{'int' if signed else 'uint'}{int(bits)}"
    low, high = code_range(dtype)
    low, high = (low + 1, high) if narrow and signed else (low, high - (narrow and not signed))
    axis = None if scale.size == 1 else int(np.argmax(scale.shape))
    scales = scale.astype(np.float32).reshape(() if axis is None else -1)
    zeros = np.broadcast_to(zero.astype(np.int64).reshape(-1), (scales.size,))
    return Quantizer(dtype, scales, zeros.reshape(scales.shape), axis, low, high)


def dequantize(codes: Array, quantizer: Quantizer) -> npt.NDArray[np.float32]:
    """``(codes - zero_point) * scale`` as float32, shaped like ``codes``."""
    scale, zero = _spread(codes, quantizer)
    if quantizer.dtype.startswith("float"):
        return np.asarray(codes.astype(np.float32) * scale, np.float32)
    if quantizer.high - quantizer.low < _EXACT:  # the same numbers, with a quarter of the memory
        real = codes.astype(np.float32) - zero.astype(np.float32)
        real *= scale
        return np.asarray(real, np.float32)
    wide = codes.astype(np.int64) - zero
    return np.asarray(wide.astype(np.float32) * scale, np.float32)


def quantize(values: Array, quantizer: Quantizer) -> Array:
    """Codes of real values: round half to even, then saturate; int64, shaped like ``values``.

    For float8 and float4 the codes come as float32 values on their grid.
    """
    scale, zero = _spread(values, quantizer)
    steps = np.asarray(values, np.float32) / scale
    if quantizer.dtype.startswith("float"):
        return _to_small_float(steps, quantizer)
    rounded: Array = np.clip(np.rint(steps) + zero, quantizer.low, quantizer.high)
    return np.nan_to_num(rounded).astype(np.int64)


def _to_small_float(values: Array, quantizer: Quantizer) -> Array:
    import ml_dtypes

    names = {"float8e4m3fn": "float8_e4m3fn", "float8e5m2": "float8_e5m2"}
    names |= {"float8e4m3fnuz": "float8_e4m3fnuz", "float8e5m2fnuz": "float8_e5m2fnuz"}
    kind = getattr(ml_dtypes, names.get(quantizer.dtype, "float4_e2m1fn"))
    clipped: Array = np.clip(values, quantizer.low, quantizer.high)
    return clipped.astype(kind).astype(np.float32)


def _spread(values: Array, quantizer: Quantizer) -> tuple[Any, Any]:
    """Scale and zero point, broadcastable against ``values``."""
    scale, zero = quantizer.scale, quantizer.zero_point
    if scale.ndim == 0 or quantizer.axis is None:
        return scale, zero
    if quantizer.block_size:
        return _blocks(scale, quantizer, values), _blocks(zero, quantizer, values)
    shape = [1] * values.ndim
    shape[quantizer.axis] = -1
    return scale.reshape(shape), zero.reshape(shape)


def _blocks(parameter: Array, quantizer: Quantizer, values: Array) -> Array:
    assert quantizer.axis is not None
    wide = np.repeat(parameter, quantizer.block_size, quantizer.axis)
    return wide.take(range(values.shape[quantizer.axis]), axis=quantizer.axis)
