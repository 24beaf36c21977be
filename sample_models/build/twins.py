"""The quantized twins of the three nets: the sound ones, and the faulty ones by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import NodeProto, helper

from sample_models.build.quantize import Surgery, dynamic_int8, float16, static_int8
from sample_models.build.reading import Array

HEAD = "/model.22/"
OUTLIER_GAIN = 100.0
FEATURES = "/features/features."
OUTLIER_DEPTHWISE = FEATURES + "1/dw/conv/Conv"
OUTLIER_POINTWISE = FEATURES + "1/pw/conv/Conv"
FAULTY_CONV = FEATURES + "4/project/conv/Conv"  # where every single-Conv fault is planted
FAULTY_CHANNEL = 5
PADDED_CONV = FEATURES + "4/dw/conv/Conv"
POOL = "/pool/GlobalAveragePool"
SOFTMAX = "/blocks.1/attn/Softmax"  # from here on: what a converter gets wrong


def _detector_tail(node: NodeProto) -> bool:
    """Everything behind the head's last convolutions: joins, DFL, decoding, scores."""
    return node.name.startswith(HEAD) and not node.name.startswith((HEAD + "cv2", HEAD + "cv3"))


def detector_twins(folder: Path, inputs: list[Array]) -> None:
    """Writes the detector's twins; ``inputs`` are calibration inputs."""
    source = folder / "float.onnx"
    static_int8(source, folder / "int8.onnx", inputs, _detector_tail)
    static_int8(source, folder / "int8_naive.onnx", inputs, per_channel=False)
    static_int8(source, folder / "int8_qoperator.onnx", inputs, _detector_tail, qoperator=True)
    raw = [x * np.float32(255) for x in inputs]
    static_int8(source, folder / "int8_range255.onnx", raw, _detector_tail)
    dynamic_int8(source, folder / "dynamic.onnx")


def classifier_twins(folder: Path, inputs: list[Array]) -> None:
    """Writes the classifier's twins; ``inputs`` are calibration inputs."""
    source, sound = folder / "float.onnx", folder / "int8.onnx"
    static_int8(source, sound, inputs)
    static_int8(source, folder / "int8_one_photo.onnx", [min(inputs, key=np.ptp)])
    float16(source, folder / "float16.onnx")
    amplified = folder / "float_outlier_channel.onnx"
    plant_outlier_channel(source, amplified)
    static_int8(amplified, folder / "int8_outlier_channel.onnx", inputs, _behind_the_outlier)
    for name, plant in SINGLE_CONV_FAULTS.items():
        graph = Surgery(sound)
        plant(graph, FAULTY_CONV)
        graph.save(folder / f"{name}.onnx")
    _convert_wrongly(folder, "int8_pads", shift_padding)
    _convert_wrongly(folder, "int8_pool", max_for_mean)


def _convert_wrongly(folder: Path, name: str, bug: Callable[[Surgery], None]) -> None:
    """The sound twin with one node that computes something else."""
    graph = Surgery(folder / "int8.onnx")
    bug(graph)
    graph.save(folder / f"{name}.onnx")


def shift_padding(graph: Surgery) -> None:
    """Padding of one depthwise Conv at the bottom and right only: TensorFlow's for strides of 2."""
    _set(graph.node(PADDED_CONV), pads=[0, 0, 2, 2])


def max_for_mean(graph: Surgery) -> None:
    """The pooling over the picture takes the largest value instead of the mean."""
    graph.node(POOL).op_type = "GlobalMaxPool"


def turn_softmax(graph: Surgery) -> None:
    """One Softmax over queries instead of keys."""
    _set(graph.node(SOFTMAX), axis=2)


def _set(node: NodeProto, **values: object) -> None:
    kept = [a for a in node.attribute if a.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in values.items())])


def _behind_the_outlier(node: NodeProto) -> bool:
    """The pointwise Conv whose weights shrank: in float, so that it adds no error of its own."""
    return node.name == OUTLIER_POINTWISE


def plant_outlier_channel(source: Path, target: Path) -> None:
    """Makes one channel of an early depthwise Conv 100 times larger, the function unchanged.

    Nothing nonlinear stands between that Conv and the pointwise one behind it, whose weights for
    the channel shrink by as much.
    """
    graph = Surgery(source)
    depthwise, pointwise = graph.node(OUTLIER_DEPTHWISE), graph.node(OUTLIER_POINTWISE)
    weight, bias = graph.value(depthwise.input[1]), graph.value(depthwise.input[2])
    channel = int(np.abs(weight).sum((1, 2, 3)).argmax())
    weight[channel] *= OUTLIER_GAIN
    bias[channel] *= OUTLIER_GAIN
    following = graph.value(pointwise.input[1])
    following[:, channel] /= OUTLIER_GAIN
    graph.set_value(depthwise.input[1], weight)
    graph.set_value(depthwise.input[2], bias)
    graph.set_value(pointwise.input[1], following)
    graph.save(target)


def roll_weight(graph: Surgery, conv: str) -> None:
    """The integer weights move on by one output channel; their scales and the bias stay."""
    integers, _, _ = graph.quantized_parts(conv, 1)
    graph.set_value(integers, np.roll(graph.value(integers), 1, axis=0))


def zero_bias(graph: Surgery, conv: str) -> None:
    """The bias is lost."""
    integers, _, _ = graph.quantized_parts(conv, 2)
    graph.set_value(integers, np.zeros_like(graph.value(integers)))


def scale_channel(graph: Surgery, conv: str) -> None:
    """One output channel's weight scale is four times too large."""
    _, scale, _ = graph.quantized_parts(conv, 1)
    values = graph.value(scale)
    values[FAULTY_CHANNEL] *= 4
    graph.set_value(scale, values)


def dequantize_scale(graph: Surgery, conv: str) -> None:
    """The activation is dequantized with 1.25 times the scale it was quantized with."""
    node = graph.producer(graph.node(conv).input[0])
    changed = node.input[1] + "_off"
    graph.set_value(changed, np.float32(1.25) * graph.value(node.input[1]))
    node.input[1] = changed


def dequantize_zero_point(graph: Surgery, conv: str) -> None:
    """The activation is dequantized with a zero point 12 above the one it was quantized with."""
    node = graph.producer(graph.node(conv).input[0])
    changed = node.input[2] + "_off"
    graph.set_value(changed, np.int8(12) + graph.value(node.input[2]))
    node.input[2] = changed


def cut_range(graph: Surgery, conv: str) -> None:
    """The activation's range is a quarter of what it carries, in both halves of its Q/DQ pair."""
    scale = graph.producer(graph.node(conv).input[0]).input[1]
    graph.set_value(scale, graph.value(scale) / np.float32(4))


SINGLE_CONV_FAULTS: dict[str, Callable[[Surgery, str], None]] = {
    "int8_weight_rolled": roll_weight,
    "int8_bias_zeroed": zero_bias,
    "int8_channel_scale": scale_channel,
    "int8_qdq_mismatch": dequantize_scale,
    "int8_zero_point": dequantize_zero_point,
    "int8_clipped": cut_range,
}


def _in_a_norm(node: NodeProto) -> bool:
    return "norm" in node.name


def _in_attention_scores(node: NodeProto) -> bool:
    """The mask's Add and the Softmax behind it."""
    return node.name.endswith(("/attn/Add", "/attn/Softmax"))


def _without_weights(node: NodeProto) -> bool:
    """Everything but the convolution and the linear layers with weights of their own."""
    linear = ("/qkv/MatMul", "/proj/MatMul", "/fc1/MatMul", "/fc2/MatMul")
    return not (node.op_type in {"Conv", "Gemm"} or node.name.endswith(linear))


def transformer_twins(folder: Path, inputs: list[Array]) -> None:
    """Writes the transformer's twins; ``inputs`` are calibration inputs."""
    source = folder / "float.onnx"
    static_int8(source, folder / "int8.onnx", inputs, _without_weights)
    static_int8(source, folder / "int8_norms.onnx", inputs, _in_attention_scores)
    static_int8(source, folder / "int8_mask.onnx", inputs, _in_a_norm)
    static_int8(source, folder / "int8_all.onnx", inputs)
    _convert_wrongly(folder, "int8_softmax", turn_softmax)
