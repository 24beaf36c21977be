"""Coarse weights: one layer of the twin keeps few levels; as control, other 8-bit scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tests.support.editor import WEIGHTED, Editor
from tests.support.planting.families.family import Planting, Rng, Subject, Truth, UnsuitableError

Array = npt.NDArray[Any]
Coarsen = Callable[[Array, Array], tuple[Array, Array]]
"""Float weight ``[channels, values]`` and the largest magnitude of each channel ``[channels, 1]``
to codes and the scale of each channel; codes are within int8."""
_FEWEST = 64  # values of a weight that is worth a fault


def plant(subject: Subject, rng: Rng) -> Planting:
    """A weight rounded to few levels, in one of the ways that it happens."""
    return _planted(subject, rng, KINDS, ("coarse-weights",))


def finer(subject: Subject, rng: Rng) -> Planting:
    """The control: the same weight on another grid of 7 or 8 bits."""
    return _planted(subject, rng, SOUND, ())


def _planted(
    subject: Subject, rng: Rng, kinds: dict[str, Coarsen], slugs: tuple[str, ...]
) -> Planting:
    editor = Editor(subject.quant_model)
    kind = str(rng.choice(sorted(kinds)))
    node, dequantizer = _pick(editor, rng)
    axis = _output_axis(node)
    floats = Editor(subject.float_model)
    float_weight = floats.value(_float_node(floats, node).input[1]).astype(np.float64)
    stored = editor.value(dequantizer.input[0])
    per_channel = editor.value(dequantizer.input[1]).size > 1
    rows = np.moveaxis(float_weight, axis, 0).reshape(float_weight.shape[axis], -1)
    peaks = np.abs(rows).max(axis=1, keepdims=True)
    peaks = np.maximum(peaks if per_channel else np.full_like(peaks, peaks.max()), 1e-12)
    codes, scale = kinds[kind](rows, peaks)
    shape = np.moveaxis(stored, axis, 0).shape
    new = np.moveaxis(codes.reshape(shape), 0, axis).astype(stored.dtype)
    before = editor.value(dequantizer.input[1])
    _store(editor, dequantizer, new, scale.reshape(-1) if per_channel else scale.reshape(-1)[0])
    _follow(editor, node, editor.value(dequantizer.input[1]) / before)
    truths = (Truth(slugs, _shown_at(editor, node), (node.name,)),) if slugs else ()
    return Planting(kind, subject.float_model, editor.model, subject.quant_model, truths)


def _pick(editor: Editor, rng: Rng) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """A product whose int8 weight no other node reads, and the node that dequantizes it."""
    found = []
    for node in editor.graph.node:
        dq = editor.dequantizer(node.input[1]) if node.op_type in WEIGHTED else None
        if dq is None or dq.input[0] not in editor.constants:
            continue
        codes = editor.value(dq.input[0])
        alone = len(editor.readers(dq.input[0])) == len(editor.readers(dq.output[0])) == 1
        if codes.dtype == np.int8 and codes.size >= _FEWEST and alone:
            found.append((node, dq))
    if not found:
        raise UnsuitableError("no int8 weight of its own")
    chosen: tuple[onnx.NodeProto, onnx.NodeProto] = found[int(rng.integers(len(found)))]
    return chosen


def _float_node(floats: Editor, node: onnx.NodeProto) -> onnx.NodeProto:
    """The float model's node of the same name, or with the same result."""
    found = floats.producer.get(node.output[0])
    if found is None or found.op_type != node.op_type or found.input[1] not in floats.constants:
        raise UnsuitableError("no such node in the float model")
    node_of_it: onnx.NodeProto = found
    return node_of_it


def _output_axis(node: onnx.NodeProto) -> int:
    """Axis of the weight that its scales run over, as ONNX Runtime's quantizer chooses it."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    turned = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if turned else 1


def _store(editor: Editor, dq: onnx.NodeProto, codes: Array, scale: Array) -> None:
    editor.set(editor.own(dq, 0), codes)
    editor.set(editor.own(dq, 1), np.asarray(scale, np.float32))
    if len(dq.input) > 2:
        zero = editor.own(dq, 2)
        editor.set(zero, np.zeros_like(editor.value(zero)))


def _follow(editor: Editor, node: onnx.NodeProto, factor: Array) -> None:
    """Give the bias the scale that follows from the weight's: input scale x weight scale.

    With another one ONNX Runtime's integer kernels give another answer than the graph as written: a
    fault of its own beside the planted one.
    """
    dq = editor.dequantizer(node.input[2]) if len(node.input) > 2 else None
    if dq is None or dq.input[0] not in editor.constants:
        return
    codes, scale = editor.value(dq.input[0]), editor.value(dq.input[1]).astype(np.float64)
    if codes.dtype != np.int32 or scale.size not in (1, factor.size):
        return
    new = scale * factor.reshape(scale.shape)
    kept = np.clip(np.rint(codes * scale / new), -(2**31), 2**31 - 1).astype(np.int32)
    editor.set(editor.own(dq, 0), kept)
    editor.set(editor.own(dq, 1), new.astype(np.float32))


def _shown_at(editor: Editor, node: onnx.NodeProto) -> tuple[str, ...]:
    """The product's result, and of what a quantizer swallowed or a later node makes of it."""
    names = [node.output[0]]
    for _ in range(3):
        readers = editor.readers(names[-1])
        names += [reader.output[0] for reader in readers[:1]]
    suffixes = ("_DequantizeLinear_Output", "_QuantizeLinear_Output", "_QuantizeLinear_Input")
    bases = [name.removesuffix(suffix) for name in names for suffix in suffixes]
    return tuple(dict.fromkeys([*names, *bases]))


def _grid(top: int) -> Coarsen:
    """Codes ``-top..top`` over the whole range."""

    def coarsen(rows: Array, peaks: Array) -> tuple[Array, Array]:
        return np.clip(np.rint(rows / peaks * top), -top, top), peaks / top

    return coarsen


def _spread(top: int) -> Coarsen:
    """Rounded to ``-top..top`` first, then to 8 bits: the codes are no multiples of one number."""

    def coarsen(rows: Array, peaks: Array) -> tuple[Array, Array]:
        return np.rint(np.rint(rows / peaks * top) * 127 / top), peaks / 127

    return coarsen


def _every_sixteenth(rows: Array, peaks: Array) -> tuple[Array, Array]:
    """Codes of 8 bits of which only the upper four are kept."""
    return np.clip(16 * np.rint(rows / peaks * 127 / 16), -128, 127), peaks / 127


KINDS: dict[str, Coarsen] = {
    "4 bits": _grid(7),
    "3 bits": _grid(3),
    "scale 12 times too large": _grid(10),
    "4 bits spread over 8": _spread(7),
    "upper four bits": _every_sixteenth,
}
SOUND: dict[str, Coarsen] = {"8 bits": _grid(127), "7 bits, reduced range": _grid(64)}
