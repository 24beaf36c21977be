"""Faults 17 and 19: Q and DQ of one tensor disagree, or its range does not fit."""

from __future__ import annotations

import numpy as np
import onnx

from tests.support.editor import Editor
from tests.support.planting.planted import Planted, after, middle_conv, parts, source


def dq_rescaled(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 17: the scale of a Conv's input DQ is 1.25 times its Q's."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, (data, _, _) = parts(editor, conv)
    name = editor.own(data, 1)
    editor.set(name, (editor.value(name) * 1.25).astype(np.float32))
    return Planted(
        float_model, editor.model, "qdq-mismatch", (*after(editor, conv), *source(editor, node))
    )


def dq_shifted(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 17: the zero point of a Conv's input DQ is off by 12."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, (data, _, _) = parts(editor, conv)
    name = editor.own(data, 2)
    zero = editor.value(name)
    shifted = zero.astype(np.int64) + (12 if zero < np.iinfo(zero.dtype).max - 12 else -12)
    editor.set(name, shifted.astype(zero.dtype))
    return Planted(
        float_model, editor.model, "qdq-mismatch", (*after(editor, conv), *source(editor, node))
    )


def range_cut(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 19, at one layer: the calibrated range of a Conv's input is a fifth of what it was."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, _ = parts(editor, conv)
    return rescale_input(editor, float_model, node, 0.2, "activation-clipping")


def range_stretched(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """The calibrated range of a Conv's input is sixteen times as wide as it was."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, _ = parts(editor, conv)
    return rescale_input(editor, float_model, node, 16.0, "range-too-wide")


def rescale_input(
    editor: Editor, float_model: onnx.ModelProto, node: onnx.NodeProto, factor: float, slug: str
) -> Planted:
    """Another scale for Q and DQ of a tensor, for all of its readers alike."""
    tensors = source(editor, node)
    dq = editor.dequantizer(node.input[0])
    assert dq is not None
    scale = editor.value(dq.input[1])
    for quantizer in [n for n in editor.readers(tensors[0]) if n.op_type == "QuantizeLinear"]:
        for user in (quantizer, *editor.readers(quantizer.output[0])):
            name = editor.own(user, 1)
            editor.set(name, (scale * factor).astype(np.float32))
    return Planted(float_model, editor.model, slug, tensors)


def last_range_cut(
    float_model: onnx.ModelProto, quant: onnx.ModelProto, factor: float
) -> onnx.ModelProto:
    """The twin with the range of what its last Conv reads made narrower by a factor."""
    editor = Editor(quant)
    last = [node for node in editor.graph.node if node.op_type == "Conv"][-1]
    return rescale_input(editor, float_model, last, factor, "").quant_model


def range_top(editor: Editor, tensor: str) -> float:
    """Upper end of what the quantizer of a tensor can represent."""
    quantizer = editor.quantizer_of(tensor)
    if quantizer is None:
        raise ValueError(f"{tensor} is not quantized")
    zero = editor.value(quantizer.input[2])
    scale = float(editor.value(quantizer.input[1]).reshape(()))
    return scale * (np.iinfo(zero.dtype).max - int(zero.reshape(())))
