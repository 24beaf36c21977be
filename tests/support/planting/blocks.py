"""Blocks of nodes put in front of a Conv of both models, calibrated as a toolchain would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.support.editor import Array, Editor
from tests.support.planting.planted import parts
from tests.support.running import run_tensors

Feeds = Sequence[Mapping[str, Array]]
"""Inputs of a model by name, one mapping a sample."""


@dataclass(frozen=True)
class Quantizer:
    """Scale and zero point of a tensor, from its least and greatest value; zero is a code."""

    scale: np.float32
    zero: Array

    @classmethod
    def of(cls, low: float, high: float, dtype: str) -> Quantizer:
        low, high = min(low, 0.0), max(high, 0.0)
        codes = np.iinfo(dtype)
        scale = max((high - low) / (codes.max - codes.min), 1e-30)
        zero = np.clip(round(codes.min - low / scale), codes.min, codes.max)
        return cls(np.float32(scale), np.array(zero, dtype))

    def codes(self, value: Array) -> Array:
        """A constant as it is stored."""
        limits = np.iinfo(self.zero.dtype)
        rounded = np.rint(value.astype(np.float64) / float(self.scale)) + int(self.zero)
        found: Array = np.clip(rounded, limits.min, limits.max).astype(self.zero.dtype)
        return found


@dataclass(frozen=True)
class Block:
    """Nodes that read one tensor, which they call ``x``, and the constants they need.

    Attributes:
        nodes: in order; the last one's output takes the place of ``x``.
        constants: by name.
    """

    nodes: tuple[onnx.NodeProto, ...]
    constants: Mapping[str, Array]

    @property
    def output(self) -> str:
        return str(self.nodes[-1].output[0])

    @property
    def tensors(self) -> list[str]:
        return [str(node.output[0]) for node in self.nodes]

    def with_constant(self, name: str, value: Array) -> Block:
        """The same block with another value of a constant."""
        return replace(self, constants={**self.constants, name: value})


def tensors_of(model: onnx.ModelProto, names: Sequence[str], feeds: Feeds) -> list[list[Array]]:
    """Values of tensors, one list a sample."""
    runs = [run_tensors(model, feed, names) for feed in feeds]
    return [[values[name] for name in names] for values in runs]


def ranges_of(
    model: onnx.ModelProto, names: Sequence[str], feeds: Feeds
) -> dict[str, tuple[float, float]]:
    """Least and greatest value of tensors over all samples: calibration by minimum and maximum."""
    samples = tensors_of(model, names, feeds)
    columns = dict(zip(names, zip(*samples, strict=True), strict=True))
    return {
        name: (min(float(v.min()) for v in found), max(float(v.max()) for v in found))
        for name, found in columns.items()
    }


def insert(editor: Editor, block: Block, source: str, reader: onnx.NodeProto) -> None:
    """Put a block between a tensor and the first input of one of its readers."""
    add_constants(editor, block.constants)
    add_before(editor, reader, [_reading(node, source) for node in block.nodes])
    reader.input[0] = block.output


def insert_quantized(
    editor: Editor, block: Block, conv: str, quantizers: Mapping[str, Quantizer]
) -> None:
    """Put a block in front of a quantized Conv; those of its tensors that are given are quantized.

    A constant among them is stored as codes. The Conv's bias goes by its new input scale.
    """
    node, (data, _, _) = parts(editor, conv)
    source = node.input[0]
    floats = {k: v for k, v in block.constants.items() if k not in quantizers}
    add_constants(editor, floats)
    before = [
        n for k in block.constants if k in quantizers for n in _stored(editor, block, k, quantizers)
    ]
    for piece in block.nodes:
        before.append(_reading(piece, source, quantizers))
        if piece.output[0] in quantizers:
            before += quantize_pair(editor, piece.output[0], quantizers[piece.output[0]])
    add_before(editor, node, before)
    node.input[0] = _after_pair(block.output)
    scale = editor.value(data.input[1])
    rescale_bias(editor, conv, float(quantizers[block.output].scale) / float(scale.reshape(())))


def _reading(
    node: onnx.NodeProto, source: str, quantized: Mapping[str, Quantizer] | None = None
) -> onnx.NodeProto:
    """A copy that reads a tensor in the place of ``x``, and what is quantized behind its pair."""
    found = onnx.NodeProto()
    found.CopyFrom(node)
    for slot, name in enumerate(node.input):
        behind = _after_pair(name) if name in (quantized or ()) else name
        found.input[slot] = source if name == "x" else behind
    return found


def _after_pair(tensor: str) -> str:
    return f"{tensor}_DequantizeLinear_Output"


def _stored(
    editor: Editor, block: Block, name: str, quantizers: Mapping[str, Quantizer]
) -> list[onnx.NodeProto]:
    """A constant as codes, and the node that makes them numbers."""
    quantizer = quantizers[name]
    add_constants(editor, {f"{name}_quantized": quantizer.codes(block.constants[name])})
    ends = _ends(editor, name, quantizer)
    inputs = [f"{name}_quantized", *ends]
    return [helper.make_node("DequantizeLinear", inputs, [_after_pair(name)], f"{name}_dq")]


def quantize_pair(editor: Editor, tensor: str, quantizer: Quantizer) -> list[onnx.NodeProto]:
    """Q and DQ of a tensor, named as ONNX Runtime's quantizer names them."""
    ends, codes = _ends(editor, tensor, quantizer), f"{tensor}_QuantizeLinear_Output"
    given = [("QuantizeLinear", tensor, codes), ("DequantizeLinear", codes, _after_pair(tensor))]
    domain = "com.microsoft" if quantizer.zero.itemsize > 1 else ""  # standard from opset 21 only
    if domain not in {o.domain for o in editor.model.opset_import}:
        editor.model.opset_import.append(helper.make_opsetid(domain, 1))
    return [
        helper.make_node(op, [read, *ends], [made], f"{tensor}_{op}", domain=domain)
        for op, read, made in given
    ]


def _ends(editor: Editor, tensor: str, quantizer: Quantizer) -> list[str]:
    names = [f"{tensor}_scale", f"{tensor}_zero_point"]
    add_constants(editor, dict(zip(names, (quantizer.scale, quantizer.zero), strict=True)))
    return names


def add_constants(editor: Editor, constants: Mapping[str, Array | np.float32]) -> None:
    for name, value in constants.items():
        editor.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        editor.constants[name] = editor.graph.initializer[-1]


def add_before(editor: Editor, reader: onnx.NodeProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Nodes in front of another one, so that the graph stays sorted."""
    at = next(i for i, n in enumerate(editor.graph.node) if n.output[0] == reader.output[0])
    for offset, node in enumerate(nodes):
        editor.graph.node.insert(at + offset, node)
    editor.index()


def rescale_bias(editor: Editor, conv: str, factor: float) -> None:
    """The int32 bias of a Conv in steps so many times as large, its values as they were."""
    _, (_, _, bias) = parts(editor, conv)
    codes, scale = editor.value(editor.own(bias, 0)), editor.value(editor.own(bias, 1))
    editor.set(bias.input[0], np.rint(codes / factor).astype(codes.dtype))
    editor.set(bias.input[1], (scale * factor).astype(np.float32))


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default operator set."""
    return int(next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")))
