"""Fault 14: a LayerNorm in pieces, and the pieces quantized.

The norm stands in front of a Conv and goes over the channels, as ConvNeXt's and SAM's do: no opset
has an operator for it, so every exporter writes it in pieces. A corner is far louder than all else,
as the attention sinks of transformers are: the norm undoes that, but the ranges of its pieces have
to hold the loud and the quiet at once. Its gain and shift are fitted so that it passes on what
the Conv was given as well as it can; the network goes on to do its work, within the ranges it was
calibrated to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.support.editor import Array, Editor
from tests.support.planting.blocks import (
    Block,
    Feeds,
    Quantizer,
    insert,
    insert_quantized,
    opset_of,
    ranges_of,
    tensors_of,
)
from tests.support.planting.planted import Planted, middle_conv

NAME = "planted/norm"
STREAM = f"{NAME}/stream"
"""What is normalized; it stays in float, so that the norm alone is to blame."""
EPSILON = 1e-6
LOUD = 30.0
"""How much louder the corner is."""


def norm_in_pieces(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> Planted:
    """Every piece has 8 bits; the control leaves all but the last one in float."""
    floats, block = _with_norm(float_model, quant, feeds)
    faulty, sound = Editor(quant), Editor(quant)
    pieces = _quantizers(floats, block, feeds, "uint8")
    conv = middle_conv(quant)
    insert_quantized(faulty, block, conv, pieces)
    insert_quantized(sound, block, conv, {block.output: pieces[block.output]})
    at = tuple(block.tensors[1:])
    return Planted(floats.model, faulty.model, "decomposed-norm", at, sound.model)


def norm_in_16_bits(float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds) -> Planted:
    """A control: the same pieces, all quantized, in steps fine enough."""
    floats, block = _with_norm(float_model, quant, feeds)
    editor = Editor(quant)
    insert_quantized(editor, block, middle_conv(quant), _quantizers(floats, block, feeds, "uint16"))
    return Planted(floats.model, editor.model, "")


def _quantizers(floats: Editor, block: Block, feeds: Feeds, dtype: str) -> dict[str, Quantizer]:
    """Of every piece but the stream; the last one, which the Conv reads, has 8 bits always."""
    ranges = ranges_of(floats.model, block.tensors[1:], feeds)
    kinds = {name: "uint8" if name == block.output else dtype for name in ranges}
    return {name: Quantizer.of(*ends, kinds[name]) for name, ends in ranges.items()}


def _with_norm(
    float_model: onnx.ModelProto, quant: onnx.ModelProto, feeds: Feeds
) -> tuple[Editor, Block]:
    """The float model with the norm, and the norm."""
    floats = Editor(float_model)
    conv = floats.weighted(middle_conv(quant))
    source = conv.input[0]
    values = [found[0] for found in tensors_of(float_model, [source], feeds)]
    loudness = np.ones((1, 1, *values[0].shape[2:]), np.float32)
    loudness[..., 0, 0] = LOUD
    block = norm_block(loudness, *fitted(values), opset_of(float_model))
    insert(floats, block, source, conv)
    return floats, block


def fitted(values: Sequence[Array]) -> tuple[Array, Array]:
    """Gain and shift of each channel by which the normalized values come closest to the given."""
    x = np.concatenate([v[0].reshape(v.shape[1], -1) for v in values], axis=1).astype(np.float64)
    z = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + EPSILON)
    x_mean, z_mean = x.mean(axis=1, keepdims=True), z.mean(axis=1, keepdims=True)
    covariance = ((x - x_mean) * (z - z_mean)).mean(axis=1, keepdims=True)
    gain = covariance / np.maximum(z.var(axis=1, keepdims=True), 1e-12)
    shape = (-1, 1, 1)
    return (
        gain.reshape(shape).astype(np.float32),
        (x_mean - gain * z_mean).reshape(shape).astype(np.float32),
    )


def norm_block(loudness: Array, gain: Array, shift: Array, opset: int) -> Block:
    """The pieces as PyTorch exports them, behind what makes a corner loud."""
    names = ("mean", "centred", "square", "variance", "safe", "root", "unit", "scaled", "out")
    mean, centred, square, variance, safe, root, unit, scaled, out = (f"{NAME}/{n}" for n in names)
    constants = {
        f"{NAME}/loudness": loudness,
        f"{NAME}/two": np.array(2, np.float32),
        f"{NAME}/epsilon": np.array(EPSILON, np.float32),
        f"{NAME}/gain": gain,
        f"{NAME}/shift": shift,
    }
    given = [
        ("Mul", ["x", f"{NAME}/loudness"], STREAM),
        ("ReduceMean", [STREAM], mean),
        ("Sub", [STREAM, mean], centred),
        ("Pow", [centred, f"{NAME}/two"], square),
        ("ReduceMean", [square], variance),
        ("Add", [variance, f"{NAME}/epsilon"], safe),
        ("Sqrt", [safe], root),
        ("Div", [centred, root], unit),
        ("Mul", [f"{NAME}/gain", unit], scaled),
        ("Add", [scaled, f"{NAME}/shift"], out),
    ]
    if opset >= 18:  # the axes are an input from there on
        constants[f"{NAME}/axes"] = np.array([1], np.int64)
    nodes = []
    for op, inputs, output in given:
        axes: dict[str, Any] = {} if op != "ReduceMean" or opset >= 18 else {"axes": [1]}
        more = [f"{NAME}/axes"] if op == "ReduceMean" and opset >= 18 else []
        nodes.append(helper.make_node(op, [*inputs, *more], [output], output, **axes))
    return Block(tuple(nodes), constants)
