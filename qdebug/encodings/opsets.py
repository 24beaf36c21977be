"""Which operators hold a quantization: an opset that has them, or ONNX Runtime's own."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import checker, helper, version_converter

from qdebug.encodings.model import Encoding

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's operators: its QuantizeLinear holds 16 bits and axes under any opset."""
_AXIS_OPSET, _WIDE_OPSET = 13, 21
_WIDE = ("int16", "uint16")
_OPSETS_OF_IR = {13: 7, 21: 10}
"""The IR version that came with an opset, which ONNX Runtime asks for."""
_LARGEST = 1 << 30
"""Bytes of a model that the converter is given: beyond 2 GiB protobuf holds none."""


def needed_opset(encodings: Iterable[Encoding]) -> int:
    """The first opset whose QuantizeLinear holds all of these but 16 bits.

    Those are ONNX Runtime's own, as its quantizer has them: under opset 21 ONNX Runtime 1.32 cannot
    optimize some graphs of 8 and 16 bits.
    """
    needed = _AXIS_OPSET
    for encoding in encodings:
        plain = encoding.dtype in ("int8", "uint8", "int32", *_WIDE)
        if encoding.is_linear and (not plain or encoding.block_size):
            needed = _WIDE_OPSET
    return needed


def domain_of(dtype: str, opset: int, domain: str) -> str:
    """The domain whose operators hold a type of codes.

    Args:
        dtype: of the codes.
        opset: of the model.
        domain: that holds the model's other types.
    """
    return MICROSOFT if dtype in _WIDE and opset < _WIDE_OPSET else domain


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def raised(model: onnx.ModelProto, opset: int) -> tuple[onnx.ModelProto, str]:
    """The model at an opset, or as it is with ONNX Runtime's own operators to quantize with.

    Returns:
        The model, and the domain of QuantizeLinear and DequantizeLinear in it: empty, or
        ``MICROSOFT`` where the model cannot be converted.
    """
    if opset_of(model) >= opset:
        return model, ""
    converted = _converted(model, opset)
    if converted is None:
        with_own(model)
        return model, MICROSOFT
    return converted, ""


def with_own(model: onnx.ModelProto) -> None:
    """Let a model use ONNX Runtime's own operators."""
    if all(entry.domain != MICROSOFT for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))


def _converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto | None:
    """The model at another opset; None where onnx's converter does not know how."""
    if model.ByteSize() > _LARGEST:
        return None
    try:
        converted = version_converter.convert_version(model, opset)
        checker.check_model(converted)
    except Exception:  # the converter raises whatever its C++ throws
        return None
    if _interface(converted) != _interface(model):
        return None
    converted.ir_version = max(model.ir_version, _OPSETS_OF_IR[opset])
    return converted


def _interface(model: onnx.ModelProto) -> tuple[list[str], list[str], set[str]]:
    """Inputs, outputs and all computed names: what a conversion has to keep."""
    made = {name for node in model.graph.node for name in node.output if name}
    weights = {item.name for item in model.graph.initializer}
    inputs = [item.name for item in model.graph.input if item.name not in weights]
    return inputs, [item.name for item in model.graph.output], made
