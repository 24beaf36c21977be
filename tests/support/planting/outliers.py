"""Fault 13: one channel that sets the range of all."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from tests.support.editor import Editor
from tests.support.planting.planted import (
    Planted,
    after,
    channel_norms,
    is_plain,
    is_quantized,
    parts,
)
from tests.support.planting.ranges import rescale_input
from tests.support.planting.weights import scale_channel


def outlier_channel(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 13: one channel of an early Conv is a hundred times the others.

    The Conv that reads it undoes the factor, in float weights: the float model computes what it
    did. The sound model leaves the tensor between the two unquantized.
    """
    floats, faulty = Editor(float_model), Editor(quant)
    conv, reader = _chained_convs(floats, faulty)
    float_reader = floats.weighted(reader.output[0])
    _, (_, weight, stored) = parts(faulty, conv)
    channel = int(np.argmax(channel_norms(faulty, weight)))
    for slot in (1, 2):
        scale_channel(floats, floats.own(floats.weighted(conv), slot), channel, 100.0)
    _scale_input_channel(floats, floats.own(float_reader, 1), channel, 0.01)
    for dequantizer in (weight, stored):
        scale_channel(faulty, faulty.own(dequantizer, 1), channel, 100.0)
    _float_weight(faulty, reader, channel)
    sound = Editor(faulty.model)
    (twin,) = [n for n in sound.graph.node if n.output[0] == reader.output[0]]
    twin.input[0] = conv
    planted = rescale_input(faulty, floats.model, reader, 100.0, "outlier-channel")
    at = (*after(faulty, conv), *planted.tensors)
    return Planted(floats.model, faulty.model, planted.slug, at, sound.model)


def _chained_convs(floats: Editor, quant: Editor) -> tuple[str, onnx.NodeProto]:
    """The first plain Conv whose output goes to one other Conv alone, with nothing between."""
    for node in quant.graph.node:
        if not is_quantized(quant, node) or quant.value(_weight_scale(quant, node)).size == 1:
            continue
        made = floats.producer.get(node.output[0])
        users = floats.readers(node.output[0])
        if made is None or made.op_type != "Conv" or [n.op_type for n in users] != ["Conv"]:
            continue
        twins = [n for n in _readers_of_values(quant, node.output[0]) if is_plain(quant, n)]
        if len(twins) == 1:
            return str(node.output[0]), twins[0]
    raise ValueError("no Conv feeds another one alone")


def _readers_of_values(editor: Editor, tensor: str) -> list[onnx.NodeProto]:
    """Nodes that read a tensor behind its Q/DQ pair."""
    codes = [n.output[0] for n in editor.readers(tensor) if n.op_type == "QuantizeLinear"]
    values = [n.output[0] for name in codes for n in editor.readers(name)]
    return [node for value in values for node in editor.readers(value)]


def _weight_scale(editor: Editor, conv: onnx.NodeProto) -> str:
    dequantizer = editor.dequantizer(conv.input[1])
    assert dequantizer is not None
    return str(dequantizer.input[1])


def _scale_input_channel(editor: Editor, name: str, channel: int, factor: float) -> None:
    value = np.array(editor.value(name))
    value[:, channel] *= np.float32(factor)
    editor.set(name, value)


def _float_weight(editor: Editor, conv: onnx.NodeProto, channel: int) -> None:
    """A Conv's weight as its codes say, one input channel a hundredth, not quantized any more."""
    dequantizer = editor.dequantizer(conv.input[1])
    assert dequantizer is not None
    codes = editor.value(dequantizer.input[0]).astype(np.float32)
    scale = editor.value(dequantizer.input[1]).reshape(-1, *[1] * (codes.ndim - 1))
    value = codes * scale
    value[:, channel] *= np.float32(0.01)
    name = f"{conv.output[0]}/planted/weight"
    editor.graph.initializer.append(numpy_helper.from_array(value, name))
    conv.input[1] = name
