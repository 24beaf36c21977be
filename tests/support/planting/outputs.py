"""Fault 15: an output that is dead in the quant run only, and states that look bad and are not."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.editor import Editor
from tests.support.planting.blocks import (
    Feeds,
    Quantizer,
    add_constants,
    quantize_pair,
    tensors_of,
)
from tests.support.planting.heads import values_axis
from tests.support.planting.planted import Planted, after, channel_norms, is_plain, parts
from tests.support.planting.ranges import range_top

TIMES = 2000.0
ALIKE = 16.0
"""Values of a box whose peaks differ by more need a scale each."""
OUTPUT = "planted/output"
CUT_OFF = ("Relu", "Clip")


def output_scale(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> Planted:
    """The scale of an output is 2000 times what it should be; the control's is right."""
    name, fitting = _output(float_model, feeds)
    faulty, sound = (_with_scale(quant, name, fitting, times) for times in (TIMES, 1.0))
    made = Editor(float_model).producer[name].output
    return Planted(float_model, faulty, "dead-output", tuple(made), sound)


def output_grown(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> Planted:
    """A control: values and scale grow alike, and the error is two codes, as large as they are."""
    name, fitting = _output(float_model, feeds)
    grown = Quantizer(np.float32(TIMES * fitting.scale), fitting.zero)
    return Planted(_grown(float_model, name), _grown(quant, name, grown), "")


def dead_in_both(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """A control: the weakest quarter of a Conv's channels never gets past its activation, in both.

    They have weights and a bias far below zero, as a ReLU that died in training.
    """
    floats, editor = Editor(float_model), Editor(quant)
    conv = _before_a_cut(floats, editor)
    _, (_, weight, bias) = parts(editor, conv)
    norms = channel_norms(editor, weight)
    weakest = np.argsort(norms)[: max(1, len(norms) // 4)]
    below = -100 * range_top(editor, conv)
    name = floats.own(floats.weighted(conv), 2)
    values = np.array(floats.value(name))
    values[weakest] = below
    floats.set(name, values)
    codes, scale = np.array(editor.value(editor.own(bias, 0))), editor.value(bias.input[1])
    codes[weakest] = np.rint(below / np.broadcast_to(scale, codes.shape)[weakest])
    editor.set(bias.input[0], codes)
    return Planted(floats.model, editor.model, "", after(editor, conv))


def _before_a_cut(floats: Editor, quant: Editor) -> str:
    """The Conv nearest the middle that a Relu or Clip alone reads."""
    convs = [n.output[0] for n in quant.graph.node if is_plain(quant, n)]
    fit = [c for c in convs if _is_cut(floats, c)]
    if not fit:
        raise ValueError("no activation cuts a Conv off")
    return str(min(fit, key=lambda c: abs(convs.index(c) - 0.4 * len(convs))))


def _is_cut(floats: Editor, conv: str) -> bool:
    """Whether the float Conv has a bias, and the activation is behind it or swallowed by it."""
    makers = [floats.producer[conv], *floats.readers(conv)[:1]]
    alone = len(floats.readers(conv)) == 1 or makers[0].op_type in CUT_OFF
    is_cut = any(n.op_type in CUT_OFF for n in makers)
    return alone and is_cut and len(floats.weighted(conv).input) > 2


def _output(float_model: onnx.ModelProto, feeds: Feeds) -> tuple[str, Quantizer]:
    """The first output whose values can share a scale, and the quantizer that fits them."""
    for output in float_model.graph.output:
        value = np.concatenate(
            [found[0] for found in tensors_of(float_model, [output.name], feeds)]
        )
        peaks = np.ones(1)
        if value.ndim == 3:
            peaks = np.abs(np.moveaxis(value, values_axis(value.shape), 0)).max(axis=(1, 2))
        if peaks.max() <= ALIKE * peaks.min():
            ends = float(value.min()), float(value.max())
            return output.name, Quantizer.of(*ends, "uint8")
    raise ValueError("every output holds parts of very different range")


def _with_scale(
    quant: onnx.ModelProto, name: str, fitting: Quantizer, times: float
) -> onnx.ModelProto:
    """The quant model with an output's own scale changed, or with a scale where it has none."""
    editor = Editor(quant)
    dequantizer = editor.dequantizer(name)
    if dequantizer is not None:
        quantizer = editor.producer[dequantizer.input[0]]
        scale = editor.value(quantizer.input[1])
        for node in (quantizer, dequantizer):
            editor.set(editor.own(node, 1), (scale * times).astype(np.float32))
        return editor.model
    node = editor.producer[name]
    node.output[list(node.output).index(name)] = f"{name}_raw"
    for reader in editor.readers(name):
        reader.input[list(reader.input).index(name)] = f"{name}_raw"
    pair = quantize_pair(editor, f"{name}_raw", Quantizer(fitting.scale * times, fitting.zero))
    pair[-1].output[0] = name
    editor.graph.node.extend(pair)
    return editor.model


def _grown(
    model: onnx.ModelProto, name: str, quantizer: Quantizer | None = None
) -> onnx.ModelProto:
    """An output times 2000; where it is quantized, two codes off."""
    editor = Editor(model)
    grown = OUTPUT if quantizer is None else f"{OUTPUT}_grown"
    add_constants(editor, {f"{OUTPUT}_times": np.float32(TIMES)})
    nodes = [helper.make_node("Mul", [name, f"{OUTPUT}_times"], [grown], f"{OUTPUT}_times")]
    if quantizer is not None:
        add_constants(editor, {f"{OUTPUT}_codes": np.float32(2 * quantizer.scale)})
        off = f"{OUTPUT}_off"
        nodes.append(helper.make_node("Add", [grown, f"{OUTPUT}_codes"], [off], off))
        nodes += quantize_pair(editor, off, quantizer)
        nodes[-1].output[0] = OUTPUT
    editor.graph.node.extend(nodes)
    entry = next(o for o in editor.graph.output if o.name == name)
    dims = [None] * len(entry.type.tensor_type.shape.dim)
    entry.CopyFrom(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, dims))
    return editor.model
