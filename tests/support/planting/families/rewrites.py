"""Sound changes: the twin spells an operator otherwise and computes the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.support.editor import Editor
from tests.support.planting.families.converter import _get, _pick, _put, _set_kind
from tests.support.planting.families.family import Planting, Rng, Subject, UnsuitableError

Node = onnx.NodeProto


def plant(subject: Subject, rng: Rng) -> Planting:
    """A sound change of a kind and at a node that chance picks, then quantized as before."""
    if subject.quantize is None:
        raise UnsuitableError(subject.name)
    kinds = list(KINDS)
    rng.shuffle(kinds)
    for kind in kinds:
        editor = Editor(subject.float_model)
        try:
            KINDS[kind](editor, rng)
        except UnsuitableError:
            continue
        del editor.model.graph.value_info[:]
        made = subject.quantize(editor.model)
        return Planting(kind, subject.float_model, made, subject.quant_model, ())
    raise UnsuitableError(subject.name)


def equalized(subject: Subject, rng: Rng) -> Planting:
    """Channels rescaled behind one weight and back in the next, then quantized as before.

    Cross-layer equalization (Nagel et al. 2019) by factors that chance draws.
    """
    if subject.quantize is None:
        raise UnsuitableError(subject.name)
    editor = Editor(subject.float_model)
    couples = [c for n in editor.graph.node if (c := _scalable(editor, n)) is not None]
    if not couples:
        raise UnsuitableError(subject.name)
    for first, then in couples:
        weight, after = editor.value(first.input[1]), editor.value(then.input[1])
        factor = np.exp(rng.normal(0, 0.3, len(weight))).astype(np.float32)
        for slot in range(1, len(first.input)):
            value = editor.value(first.input[slot])
            shape = [-1] + [1] * (value.ndim - 1)
            editor.set(editor.own(first, slot), value / factor.reshape(shape))
        shape = [1, -1] + [1] * (after.ndim - 2) if after.shape[1] > 1 else [-1] + [1] * 3
        editor.set(editor.own(then, 1), after * factor.reshape(shape))
    made = subject.quantize(editor.model)
    return Planting("equalized", subject.float_model, made, subject.quant_model, ())


def _scalable(editor: Editor, node: Node) -> tuple[Node, Node] | None:
    """A convolution and the one behind its activation, which nothing else reads."""
    chain = [node]
    while len(chain) < 3:
        readers = editor.readers(chain[-1].output[0])
        if len(readers) != 1:
            return None
        chain += readers
    first, between, then = chain
    passes = between.op_type in ("Relu", "LeakyRelu") and first.op_type == then.op_type == "Conv"
    if not passes or any(n.input[1] not in editor.constants for n in (first, then)):
        return None
    channels, group = editor.value(first.input[1]).shape[0], int(_get(then, "group", 1))  # type: ignore[call-overload]
    return (first, then) if group in (1, channels) else None


def explicit_pads(editor: Editor, rng: Rng) -> None:
    """``auto_pad`` resolved."""
    node = _pick(
        editor,
        rng,
        "Conv",
        fits=lambda n: _get(n, "auto_pad") == "SAME_UPPER" and _get(n, "strides") == [1, 1],
    )
    before = [(size - 1) // 2 for size in _get(node, "kernel_shape")]  # type: ignore[attr-defined]
    _put(node, auto_pad=None, pads=[*before, *before])


def automatic_pads(editor: Editor, rng: Rng) -> None:
    """Explicit padding as ``auto_pad``."""

    def fits(n: Node) -> bool:
        return _get(n, "pads") == [1] * 4 and _get(n, "strides") == [1, 1]

    node = _pick(editor, rng, "Conv", fits=lambda n: fits(n) and _get(n, "kernel_shape") == [3, 3])
    _put(node, pads=None, auto_pad=str(rng.choice(["SAME_UPPER", "SAME_LOWER"])))


def pad_folded(editor: Editor, rng: Rng) -> None:
    """A ``Pad`` of zeros goes into the convolution behind it."""

    def fits(n: Node) -> bool:
        readers = editor.readers(n.output[0])
        is_alone = len(readers) == 1 and readers[0].op_type == "Conv"
        zeros = _get(n, "mode", "constant") == "constant"
        return is_alone and zeros and not _get(readers[0], "pads")

    node = _pick(editor, rng, "Pad", fits=fits)
    conv = editor.readers(node.output[0])[0]
    pads = editor.value(node.input[1]).tolist()
    _put(conv, pads=[pads[2], pads[3], pads[6], pads[7]])
    conv.input[0] = node.input[0]
    editor.graph.node.remove(node)


def folded_norm(editor: Editor, rng: Rng) -> None:
    """A normalization goes into the weights."""

    def fits(n: Node) -> bool:
        conv = editor.producer.get(n.input[0])
        return conv is not None and conv.op_type == "Conv" and len(conv.input) > 2

    norm = _pick(editor, rng, "BatchNormalization", fits=fits)
    conv = editor.producer[norm.input[0]]
    gamma, beta, mean, variance = (editor.value(name) for name in norm.input[1:5])
    factor = gamma / np.sqrt(variance + float(_get(norm, "epsilon", 1e-5)))  # type: ignore[arg-type]
    weight, bias = editor.value(conv.input[1]), editor.value(conv.input[2])
    editor.set(editor.own(conv, 1), (weight * factor.reshape(-1, 1, 1, 1)).astype(np.float32))
    editor.set(editor.own(conv, 2), ((bias - mean) * factor + beta).astype(np.float32))
    conv.output[0] = norm.output[0]
    editor.graph.node.remove(norm)


def relu_as_clip(editor: Editor, rng: Rng) -> None:
    node = _pick(editor, rng, "Relu")
    low = f"{node.output[0]}/low"
    editor.graph.initializer.append(numpy_helper.from_array(np.float32(0), low))
    _set_kind(node, "Clip")
    node.input.append(low)


def defaults_written(editor: Editor, rng: Rng) -> None:
    """Attributes that have their defaults are written out, or left out."""
    for node in editor.graph.node:
        if node.op_type == "Conv":
            ones = [1] * (editor.value(node.input[1]).ndim - 2)
            group = int(_get(node, "group", 1))  # type: ignore[call-overload]
            _put(node, dilations=_get(node, "dilations", ones), group=group)
        elif node.op_type == "LeakyRelu" and _get(node, "alpha") == np.float32(0.01):
            _put(node, alpha=None)
        elif node.op_type == "Resize" and _get(node, "mode") == "linear":
            given = _get(node, "coordinate_transformation_mode", "half_pixel")
            _put(node, coordinate_transformation_mode=given)


def copies(editor: Editor, rng: Rng) -> None:
    """An ``Identity`` behind a node."""
    node = _pick(editor, rng, "Relu", "Conv", "Clip", "Add", "Concat")
    name = f"{node.output[0]}/copied"
    for reader in editor.readers(node.output[0]):
        reader.input[:] = [name if i == node.output[0] else i for i in reader.input]
    at = list(editor.graph.node).index(node)
    editor.graph.node.insert(at + 1, helper.make_node("Identity", [node.output[0]], [name]))


def nearest_spelled(editor: Editor, rng: Rng) -> None:
    """Nearest neighbours of a factor of two: half pixels pick the same ones."""
    node = _pick(editor, rng, "Resize", fits=lambda n: _get(n, "mode", "nearest") == "nearest")
    _put(node, coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor")


def gemm_as_matmul(editor: Editor, rng: Rng) -> None:
    """``Gemm`` in two nodes, its weight stored the other way round."""
    node = _pick(
        editor,
        rng,
        "Gemm",
        fits=lambda n: _get(n, "transB", 0) == 1 and n.input[1] in editor.constants,
    )
    turned = f"{node.input[1]}/turned"
    value = np.ascontiguousarray(editor.value(node.input[1]).T)
    editor.graph.initializer.append(numpy_helper.from_array(value, turned))
    product = f"{node.output[0]}/product"
    at = list(editor.graph.node).index(node)
    add = helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}/a")
    node.op_type = "MatMul"
    del node.attribute[:]
    node.input[:] = [node.input[0], turned]
    node.output[0] = product
    editor.graph.node.insert(at + 1, add)


def swapped_operands(editor: Editor, rng: Rng) -> None:
    """The operands of a sum or product, exchanged."""
    node = _pick(editor, rng, "Add", "Mul")
    node.input[:] = list(node.input)[::-1]


KINDS: dict[str, Callable[[Editor, Rng], None]] = {
    "pads written out": explicit_pads,
    "pads automatic": automatic_pads,
    "Pad folded": pad_folded,
    "BatchNorm folded": folded_norm,
    "Relu as Clip": relu_as_clip,
    "defaults written": defaults_written,
    "Identity": copies,
    "nearest spelled": nearest_spelled,
    "Gemm as MatMul and Add": gemm_as_matmul,
    "operands of Add or Mul": swapped_operands,
}
"""Every sound change by name."""
