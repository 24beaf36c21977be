"""Faults 12, 16 and 18: weights and biases that are wrong, and those of another model."""

from __future__ import annotations

import numpy as np
import onnx

from tests.support.editor import WEIGHTED, Editor
from tests.support.planting.planted import Planted, after, middle_conv, parts
from tests.support.planting.ranges import range_top

INT32_MAX = 2**31 - 1


def bias_zeroed(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 18: the bias of one Conv is zero."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    _, (_, _, bias) = parts(editor, conv)
    name = editor.own(bias, 0)
    editor.set(name, np.zeros_like(editor.value(name)))
    return Planted(float_model, editor.model, "weight-mismatch", after(editor, conv))


def weight_rolled(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 18: the weight of one Conv is rolled by one output channel."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    _, (_, weight, _) = parts(editor, conv)
    name = editor.own(weight, 0)
    editor.set(name, np.roll(editor.value(name), 1, axis=0))
    return Planted(float_model, editor.model, "weight-mismatch", after(editor, conv))


def channel_rescaled(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 18: the weight scale of one channel is four times too large."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    _, (_, weight, _) = parts(editor, conv)
    codes = editor.value(weight.input[0])
    name = editor.own(weight, 1)
    scale = np.array(np.broadcast_to(editor.value(name), (len(codes),)))
    loudest = np.abs(codes.astype(np.float64)).reshape(len(codes), -1).sum(axis=1) * scale
    scale[int(np.argmax(loudest))] *= 4
    if editor.value(name).size == 1:
        raise ValueError("the weight is quantized per tensor")
    editor.set(name, scale.astype(np.float32))
    return Planted(float_model, editor.model, "weight-mismatch", after(editor, conv))


def bias_clipped(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 12: one channel of a Conv has weights near zero and a bias of its own.

    The scale of such weights makes a bias scale so small that int32 cannot hold the bias; the
    sound model has a floor under both.
    """
    floats, (faulty, sound) = Editor(float_model), (Editor(quant), Editor(quant))
    conv = middle_conv(quant)
    float_node = floats.weighted(conv)
    bias = 0.5 * range_top(faulty, conv)
    scale_channel(floats, floats.own(float_node, 1), 0, 1e-10)
    values = np.array(floats.value(floats.own(float_node, 2)))
    values[0] = bias
    floats.set(float_node.input[2], values)
    _quantize_bias(faulty, conv, bias, 1e-10)
    _quantize_bias(sound, conv, bias, 1.0)
    return Planted(floats.model, faulty.model, "bias-clipped", after(faulty, conv), sound.model)


def _quantize_bias(editor: Editor, conv: str, bias: float, factor: float) -> None:
    """Channel 0 with its weight, and the scale of it, times a factor, and with another bias."""
    _, (data, weight, stored) = parts(editor, conv)
    if editor.value(weight.input[1]).size == 1:
        raise ValueError("the weight is quantized per tensor")
    scale_channel(editor, editor.own(weight, 1), 0, factor)
    if factor == 1.0:  # the near-zero weights round to nothing
        codes = np.array(editor.value(editor.own(weight, 0)))
        codes[0] = 0
        editor.set(weight.input[0], codes)
    scale = np.array(editor.value(editor.own(stored, 1)))
    scale[0] = editor.value(data.input[1]).reshape(()) * editor.value(weight.input[1])[0]
    editor.set(stored.input[1], scale)
    codes = np.array(editor.value(editor.own(stored, 0)))
    codes[0] = min(INT32_MAX, round(bias / float(scale[0])))
    editor.set(stored.input[0], codes)


def scale_channel(editor: Editor, name: str, channel: int, factor: float) -> None:
    value = np.array(editor.value(name))
    value[channel] *= np.float32(factor)
    editor.set(name, value)


def channel_zeroed(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 12, its control: a channel without weights in both models is no more than a remark."""
    floats, editor = Editor(float_model), Editor(quant)
    conv = middle_conv(quant)
    node, (_, weight, _) = parts(editor, conv)
    float_node = floats.weighted(node.output[0])
    scale_channel(floats, floats.own(float_node, 1), 0, 0.0)
    codes = np.array(editor.value(editor.own(weight, 0)))
    codes[0] = 0
    editor.set(weight.input[0], codes)
    return Planted(floats.model, editor.model, "dead-channel", after(editor, conv))


def other_run(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 16: the float model of another training run, under the same names."""
    editor = Editor(float_model)
    rng = np.random.default_rng(16)
    for node in editor.graph.node:
        if node.op_type in WEIGHTED and node.input[1] in editor.constants:
            value = editor.value(node.input[1])
            if value.dtype == np.float32 and value.size > 1:
                noise = rng.normal(float(value.mean()), float(value.std()), value.shape)
                editor.set(node.input[1], noise.astype(np.float32))
    return Planted(editor.model, quant, "wrong-model")
