"""What a plant gives, and where in a model faults are planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from tests.support.editor import Array, Editor


@dataclass(frozen=True)
class Planted:
    """Two models with one fault between them.

    Attributes:
        float_model: the reference.
        quant_model: with the fault.
        slug: the finding that names it; empty where the change is sound.
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
    found = [n.output[0] for n in editor.graph.node if is_plain(editor, n)]
    return str(found[int(share * len(found))])


def is_plain(editor: Editor, node: onnx.NodeProto) -> bool:
    """Whether a node is a quantized Conv that mixes channels, and its bias is no zero."""
    if not is_quantized(editor, node):
        return False
    _, (_, weight, bias) = parts(editor, node.output[0])
    shape = editor.constants[weight.input[0]].dims
    return shape[0] >= 8 and shape[1] > 1 and bool(editor.value(bias.input[0]).any())


def is_quantized(editor: Editor, node: onnx.NodeProto) -> bool:
    """Whether a node is a Conv with a bias, and data, weight and bias are dequantized."""
    if node.op_type != "Conv" or len(node.input) < 3:
        return False
    inputs = [editor.dequantizer(name) for name in node.input]
    if any(dq is None for dq in inputs):
        return False
    return all(dq.input[0] in editor.constants for dq in inputs[1:] if dq is not None)


def parts(editor: Editor, conv: str) -> tuple[onnx.NodeProto, list[onnx.NodeProto]]:
    node = editor.producer[conv]
    found = [editor.dequantizer(name) for name in node.input]
    return node, [dq for dq in found if dq is not None]


def after(editor: Editor, conv: str) -> tuple[str, ...]:
    """The Conv's output and the activation that a quantizer may have swallowed."""
    names = [conv]
    quantizer = editor.quantizer_of(conv)
    if quantizer is not None:
        names.append(quantizer.output[0].removesuffix("_QuantizeLinear_Output"))
    return tuple(names)


def source(editor: Editor, conv: onnx.NodeProto) -> tuple[str, ...]:
    """The tensor that a Conv's data input stands for."""
    dq = editor.dequantizer(conv.input[0])
    quantizer = editor.producer.get(dq.input[0]) if dq is not None else None
    if quantizer is None:
        return ()
    return quantizer.input[0], quantizer.output[0].removesuffix("_QuantizeLinear_Output")


def channel_norms(editor: Editor, weight: onnx.NodeProto) -> Array:
    """Sum of the magnitudes of a quantized weight, by output channel."""
    codes = editor.value(weight.input[0]).astype(np.float64)
    norms: Array = np.abs(codes).reshape(len(codes), -1).sum(axis=1) * editor.value(weight.input[1])
    return norms


def sole_tensors(editor: Editor) -> set[str]:
    """Tensors past which nothing leads: all that is computed before them goes through them."""
    last = {name: at for at, node in enumerate(editor.graph.node) for name in node.input}
    ends = {output.name for output in editor.graph.output}
    alive = {i.name for i in editor.graph.input if i.name not in editor.constants}
    found = set()
    for at, node in enumerate(editor.graph.node):
        varying = any(name in alive for name in node.input)
        alive |= set(node.output) if varying else set()
        alive = {name for name in alive if last.get(name, -1) > at or name in ends}
        found |= alive if len(alive) == 1 else set()
    return found
