"""Plants faults into any pair of a float ONNX model and its QDQ twin.

Every function takes the two models and returns both, changed where the fault wants it; the quant
model differs from the sound one in exactly one thing, so that curing the fault gives the sound
model back, and with it the true gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.editor import WEIGHTED, Array, Editor

INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class Planted:
    """Two models with one fault between them.

    Attributes:
        float_model: the reference.
        quant_model: with the fault.
        slug: the finding that names it.
        tensors: float tensors at which it may rightly be named; empty for the whole model.
        sound_model: the quant model without the fault, where curing it gives back another than
            the one planted into.
    """

    float_model: onnx.ModelProto
    quant_model: onnx.ModelProto
    slug: str
    tensors: tuple[str, ...] = ()
    sound_model: onnx.ModelProto | None = None


def middle_conv(quant: onnx.ModelProto, share: float = 0.4) -> str:
    """Output of a Conv in the middle of a QDQ model: of many channels, quantized, with a bias."""
    editor = Editor(quant)
    found = [n.output[0] for n in editor.graph.node if _is_plain(editor, n)]
    return str(found[int(share * len(found))])


def _is_plain(editor: Editor, node: onnx.NodeProto) -> bool:
    """Whether a node is a quantized Conv that mixes channels, and its bias is no zero."""
    if not _is_quantized(editor, node):
        return False
    _, (_, weight, bias) = _parts(editor, node.output[0])
    shape = editor.constants[weight.input[0]].dims
    return shape[0] >= 8 and shape[1] > 1 and bool(editor.value(bias.input[0]).any())


def _is_quantized(editor: Editor, node: onnx.NodeProto) -> bool:
    """Whether a node is a Conv with a bias, and data, weight and bias are dequantized."""
    if node.op_type != "Conv" or len(node.input) < 3:
        return False
    inputs = [editor.dequantizer(name) for name in node.input]
    if any(dq is None for dq in inputs):
        return False
    return all(dq.input[0] in editor.constants for dq in inputs[1:] if dq is not None)


def _parts(editor: Editor, conv: str) -> tuple[onnx.NodeProto, list[onnx.NodeProto]]:
    node = editor.producer[conv]
    found = [editor.dequantizer(name) for name in node.input]
    return node, [dq for dq in found if dq is not None]


def _after(editor: Editor, conv: str) -> tuple[str, ...]:
    """The Conv's output and the activation that a quantizer may have swallowed."""
    names = [conv]
    quantizer = editor.quantizer_of(conv)
    if quantizer is not None:
        names.append(quantizer.output[0].removesuffix("_QuantizeLinear_Output"))
    return tuple(names)


def bias_zeroed(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 18: the bias of one Conv is zero."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    _, (_, _, bias) = _parts(editor, conv)
    name = editor.own(bias, 0)
    editor.set(name, np.zeros_like(editor.value(name)))
    return Planted(float_model, editor.model, "weight-mismatch", _after(editor, conv))


def weight_rolled(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 18: the weight of one Conv is rolled by one output channel."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    _, (_, weight, _) = _parts(editor, conv)
    name = editor.own(weight, 0)
    editor.set(name, np.roll(editor.value(name), 1, axis=0))
    return Planted(float_model, editor.model, "weight-mismatch", _after(editor, conv))


def channel_rescaled(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 18: the weight scale of one channel is four times too large."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    _, (_, weight, _) = _parts(editor, conv)
    codes = editor.value(weight.input[0])
    name = editor.own(weight, 1)
    scale = np.array(np.broadcast_to(editor.value(name), (len(codes),)))
    loudest = np.abs(codes.astype(np.float64)).reshape(len(codes), -1).sum(axis=1) * scale
    scale[int(np.argmax(loudest))] *= 4
    if editor.value(name).size == 1:
        raise ValueError("the weight is quantized per tensor")
    editor.set(name, scale.astype(np.float32))
    return Planted(float_model, editor.model, "weight-mismatch", _after(editor, conv))


def dq_rescaled(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 17: the scale of a Conv's input DQ is 1.25 times its Q's."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, (data, _, _) = _parts(editor, conv)
    name = editor.own(data, 1)
    editor.set(name, (editor.value(name) * 1.25).astype(np.float32))
    return Planted(
        float_model, editor.model, "qdq-mismatch", (*_after(editor, conv), *_source(editor, node))
    )


def dq_shifted(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 17: the zero point of a Conv's input DQ is off by 12."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, (data, _, _) = _parts(editor, conv)
    name = editor.own(data, 2)
    zero = editor.value(name)
    shifted = zero.astype(np.int64) + (12 if zero < np.iinfo(zero.dtype).max - 12 else -12)
    editor.set(name, shifted.astype(zero.dtype))
    return Planted(
        float_model, editor.model, "qdq-mismatch", (*_after(editor, conv), *_source(editor, node))
    )


def _source(editor: Editor, conv: onnx.NodeProto) -> tuple[str, ...]:
    """The tensor that a Conv's data input stands for."""
    dq = editor.dequantizer(conv.input[0])
    quantizer = editor.producer.get(dq.input[0]) if dq is not None else None
    if quantizer is None:
        return ()
    return quantizer.input[0], quantizer.output[0].removesuffix("_QuantizeLinear_Output")


def range_cut(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 19, at one layer: the calibrated range of a Conv's input is a fifth of what it was."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, _ = _parts(editor, conv)
    return _rescale_input(editor, float_model, node, 0.2, "activation-clipping")


def range_stretched(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """The calibrated range of a Conv's input is sixteen times as wide as it was."""
    editor = Editor(quant)
    conv = middle_conv(quant)
    node, _ = _parts(editor, conv)
    return _rescale_input(editor, float_model, node, 16.0, "range-too-wide")


def _rescale_input(
    editor: Editor, float_model: onnx.ModelProto, node: onnx.NodeProto, factor: float, slug: str
) -> Planted:
    """Another scale for Q and DQ of a tensor, for all of its readers alike."""
    tensors = _source(editor, node)
    dq = editor.dequantizer(node.input[0])
    assert dq is not None
    scale = editor.value(dq.input[1])
    for quantizer in [n for n in editor.readers(tensors[0]) if n.op_type == "QuantizeLinear"]:
        for user in (quantizer, *editor.readers(quantizer.output[0])):
            name = editor.own(user, 1)
            editor.set(name, (scale * factor).astype(np.float32))
    return Planted(float_model, editor.model, slug, tensors)


def bias_clipped(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 12: one channel of a Conv has weights near zero and a bias of its own.

    The scale of such weights makes a bias scale so small that int32 cannot hold the bias; the
    sound model has a floor under both.
    """
    floats, (faulty, sound) = Editor(float_model), (Editor(quant), Editor(quant))
    conv = middle_conv(quant)
    float_node = floats.weighted(conv)
    bias = 0.5 * _range_top(faulty, conv)
    _scale_channel(floats, floats.own(float_node, 1), 0, 1e-10)
    values = np.array(floats.value(floats.own(float_node, 2)))
    values[0] = bias
    floats.set(float_node.input[2], values)
    _quantize_bias(faulty, conv, bias, 1e-10)
    _quantize_bias(sound, conv, bias, 1.0)
    after = _after(faulty, conv)
    return Planted(floats.model, faulty.model, "bias-clipped", after, sound.model)


def _range_top(editor: Editor, tensor: str) -> float:
    """Upper end of what the quantizer of a tensor can represent."""
    quantizer = editor.quantizer_of(tensor)
    if quantizer is None:
        raise ValueError(f"{tensor} is not quantized")
    zero = editor.value(quantizer.input[2])
    scale = float(editor.value(quantizer.input[1]).reshape(()))
    return scale * (np.iinfo(zero.dtype).max - int(zero.reshape(())))


def _quantize_bias(editor: Editor, conv: str, bias: float, factor: float) -> None:
    """Channel 0 with its weight, and the scale of it, times a factor, and with another bias."""
    _, (data, weight, stored) = _parts(editor, conv)
    if editor.value(weight.input[1]).size == 1:
        raise ValueError("the weight is quantized per tensor")
    _scale_channel(editor, editor.own(weight, 1), 0, factor)
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


def _scale_channel(editor: Editor, name: str, channel: int, factor: float) -> None:
    value = np.array(editor.value(name))
    value[channel] *= np.float32(factor)
    editor.set(name, value)


def outlier_channel(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 13: one channel of an early Conv is a hundred times the others.

    The Conv that reads it undoes the factor, in float weights: the float model computes what it
    did. The sound model leaves the tensor between the two unquantized.
    """
    floats, faulty = Editor(float_model), Editor(quant)
    conv, reader = _chained_convs(floats, faulty)
    float_reader = floats.weighted(reader.output[0])
    _, (_, weight, stored) = _parts(faulty, conv)
    channel = int(np.argmax(_channel_norms(faulty, weight)))
    for slot in (1, 2):
        _scale_channel(floats, floats.own(floats.weighted(conv), slot), channel, 100.0)
    _scale_input_channel(floats, floats.own(float_reader, 1), channel, 0.01)
    for dequantizer in (weight, stored):
        _scale_channel(faulty, faulty.own(dequantizer, 1), channel, 100.0)
    _float_weight(faulty, reader, channel)
    sound = Editor(faulty.model)
    (twin,) = [n for n in sound.graph.node if n.output[0] == reader.output[0]]
    twin.input[0] = conv
    planted = _rescale_input(faulty, floats.model, reader, 100.0, "outlier-channel")
    after = (*_after(faulty, conv), *planted.tensors)
    return Planted(floats.model, faulty.model, planted.slug, after, sound.model)


def _chained_convs(floats: Editor, quant: Editor) -> tuple[str, onnx.NodeProto]:
    """The first plain Conv whose output goes to one other Conv alone, with nothing between."""
    for node in quant.graph.node:
        if not _is_quantized(quant, node) or quant.value(_weight_scale(quant, node)).size == 1:
            continue
        made = floats.producer.get(node.output[0])
        users = floats.readers(node.output[0])
        if made is None or made.op_type != "Conv" or [n.op_type for n in users] != ["Conv"]:
            continue
        twins = [n for n in _readers_of_values(quant, node.output[0]) if _is_plain(quant, n)]
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


def _channel_norms(editor: Editor, weight: onnx.NodeProto) -> Array:
    codes = editor.value(weight.input[0]).astype(np.float64)
    norms: Array = np.abs(codes).reshape(len(codes), -1).sum(axis=1) * editor.value(weight.input[1])
    return norms


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


def channel_zeroed(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 12, its control: a channel without weights in both models is no more than a remark."""
    floats, editor = Editor(float_model), Editor(quant)
    conv = middle_conv(quant)
    node, (_, weight, _) = _parts(editor, conv)
    float_node = floats.weighted(node.output[0])
    _scale_channel(floats, floats.own(float_node, 1), 0, 0.0)
    codes = np.array(editor.value(editor.own(weight, 0)))
    codes[0] = 0
    editor.set(weight.input[0], codes)
    return Planted(floats.model, editor.model, "dead-channel", _after(editor, conv))


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


def mixed_head(float_model: onnx.ModelProto, quant: onnx.ModelProto) -> Planted:
    """Fault 10: boxes in pixels and scores in 0..1 joined under one scale; the control splits them.

    Both parts are made of the first output ``y``: ``640 sigmoid(y)`` and ``sigmoid(-y)``.
    """
    models = [
        _with_head(m, scale)
        for m, scale in ((float_model, None), (quant, 640 / 255), (quant, None))
    ]
    return Planted(models[0], models[1], "mixed-range", ("planted/head",), models[2])


def _values_axis(shape: list[int]) -> int:
    """The last axis of ``[N, boxes, values]``, else the second one."""
    if len(shape) == 3 and 0 < shape[2] < shape[1]:
        return 2
    return 1 if len(shape) > 1 else 0


def _with_head(model: onnx.ModelProto, scale: float | None) -> onnx.ModelProto:
    editor = Editor(model)
    graph = editor.graph
    first = graph.output[0]
    source, rank = first.name, len(first.type.tensor_type.shape.dim)
    graph.initializer.append(numpy_helper.from_array(np.float32(640), "planted/stride"))
    head = "planted/head" if scale is None else "planted/head_raw"
    axis = _values_axis([d.dim_value for d in first.type.tensor_type.shape.dim])
    graph.node.extend(
        [
            helper.make_node("Sigmoid", [source], ["planted/unit"], "planted/unit"),
            helper.make_node(
                "Mul", ["planted/unit", "planted/stride"], ["planted/boxes"], "planted/boxes"
            ),
            helper.make_node("Neg", [source], ["planted/negative"], "planted/negative"),
            helper.make_node("Sigmoid", ["planted/negative"], ["planted/scores"], "planted/scores"),
            helper.make_node(
                "Concat", ["planted/boxes", "planted/scores"], [head], "planted/head", axis=axis
            ),
        ]
    )
    if scale is not None:
        graph.initializer.append(numpy_helper.from_array(np.float32(scale), "planted/scale"))
        graph.initializer.append(numpy_helper.from_array(np.uint8(0), "planted/zero"))
        ends = ["planted/scale", "planted/zero"]
        graph.node.append(
            helper.make_node("QuantizeLinear", [head, *ends], ["planted/codes"], "planted/q")
        )
        graph.node.append(
            helper.make_node(
                "DequantizeLinear", ["planted/codes", *ends], ["planted/head"], "planted/dq"
            )
        )
    del graph.output[:]
    dims = [None] * rank
    graph.output.append(helper.make_tensor_value_info("planted/head", TensorProto.FLOAT, dims))
    return editor.model


Plant = Callable[[onnx.ModelProto, onnx.ModelProto], Planted]

PLANTS: dict[str, Plant] = {
    "10 mixed head": mixed_head,
    "12 near-zero weights": bias_clipped,
    "12 all-zero channel": channel_zeroed,
    "13 outlier channel": outlier_channel,
    "16 another training run": other_run,
    "17 DQ scale x1.25": dq_rescaled,
    "17 DQ zero point +12": dq_shifted,
    "18 bias zeroed": bias_zeroed,
    "18 weight rolled": weight_rolled,
    "18 channel scale x4": channel_rescaled,
    "19 range cut": range_cut,
    "range stretched": range_stretched,
}
"""Every fault, by its number in the bench and its name."""
