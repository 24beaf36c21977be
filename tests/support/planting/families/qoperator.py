"""Faults in QOperator graphs: wrong scales, zero points and weights of operators on codes.

The twin is ONNX Runtime's QOperator one of the same network. Half of the plantings are converter
bugs, made in the float graph before it is quantized.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization as q

from tests.support.editor import Array, Editor
from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.planting.families.converter import KINDS as BUGS
from tests.support.planting.families.converter import plant_kind
from tests.support.planting.families.family import (
    Model,
    Planting,
    Rng,
    Subject,
    Truth,
    UnsuitableError,
)
from tests.support.planting.families.loss import loss_db

Edit = Callable[[Editor, Rng], Truth]
"""Changes a QOperator graph and tells the truth of it."""
_ACTIVATIONS = ("Relu", "Clip", "BatchNormalization")
_CODES = "_quantized"
SOUND_DB = 6.0
"""A QOperator twin that loses more against the QDQ one is not sound. One bit of resolution."""


def subject(given: Subject, rng: Rng) -> Subject:
    """The subject with a QOperator twin, quantized with options drawn at random."""
    if given.quantize is None:
        raise UnsuitableError(given.name)
    refuse_lost_activations(given.float_model)
    signed = bool(rng.random() < 0.3)
    opset = given.float_model.opset_import[0].version
    options = {
        "per_channel": bool(rng.random() < 0.5) and opset >= 13,
        "activation_type": q.QuantType.QInt8 if signed else q.QuantType.QUInt8,
        "weight_type": q.QuantType.QInt8,
    }

    def quantize(model: Model) -> Model:
        step = static(q.QuantFormat.QOperator, **options)
        with tempfile.TemporaryDirectory() as name, quiet():
            return step(copied(model), Desk(Path(name), given.feeds))

    twin = quantize(given.float_model)
    if loss_db(given, twin) > SOUND_DB:
        raise UnsuitableError("the quantizer itself broke it")
    return replace(given, quant_model=twin, quantize=quantize)


def refuse_lost_activations(float_model: Model) -> None:
    """Refuse a network whose QOperator twin has a fault of its own, whatever is planted.

    ONNX Runtime's quantizer takes a Relu behind a Transpose away (with 1.31.1, 3 to 24 dB lost):
    a finding that says so is right, and no wrong cause.
    """
    turned = {n.output[0] for n in float_model.graph.node if n.op_type == "Transpose"}
    if any(n.op_type in ("Relu", "Clip") and n.input[0] in turned for n in float_model.graph.node):
        raise UnsuitableError("the quantizer takes an activation away")


def plant(given: Subject, rng: Rng) -> Planting:
    """A fault of a kind and at a node that chance picks."""
    twin = subject(given, rng)
    if rng.random() < 0.5:
        return _bug(twin, rng)
    kinds = list(KINDS)
    rng.shuffle(kinds)
    for kind in kinds:
        editor = Editor(twin.quant_model)
        try:
            truth = KINDS[kind](editor, rng)
        except UnsuitableError:
            continue
        placed = replace(truth, tensors=_around(twin.float_model, truth.tensors))
        return Planting(kind, twin.float_model, editor.model, twin.quant_model, (placed,))
    raise UnsuitableError(given.name)


def sound(given: Subject, rng: Rng) -> Planting:
    """The QOperator twin as it is."""
    twin = subject(given, rng)
    return Planting("QOperator twin", twin.float_model, twin.quant_model, twin.quant_model, ())


def _bug(twin: Subject, rng: Rng) -> Planting:
    kinds = list(BUGS)
    rng.shuffle(kinds)
    for kind in kinds:
        planted = plant_kind(twin, rng, kind, late=False)
        if planted is not None:
            return planted
    raise UnsuitableError(twin.name)


def _around(float_model: onnx.ModelProto, tensors: tuple[str, ...]) -> tuple[str, ...]:
    """Float tensors that one tensor of codes stands for: an activation may be in it."""
    nodes = float_model.graph.node
    behind = [
        n.output[0] for n in nodes if n.op_type in _ACTIVATIONS and set(n.input) & set(tensors)
    ]
    before = [n.input[0] for n in nodes if n.op_type in _ACTIVATIONS and n.output[0] in tensors]
    return tuple(dict.fromkeys([*tensors, *behind, *before]))


# Places.


def _pick(editor: Editor, rng: Rng, *ops: str) -> onnx.NodeProto:
    found = [n for n in editor.graph.node if n.op_type in ops]
    if not found:
        raise UnsuitableError(", ".join(ops))
    node: onnx.NodeProto = found[int(rng.integers(len(found)))]
    return node


def _result_slots(node: onnx.NodeProto) -> tuple[int, int]:
    """Where a node keeps the scale and the zero point of its result."""
    if node.op_type == "QLinearConcat":
        return 0, 1
    return (3, 4) if node.op_type in _UNARY else (6, 7)


_UNARY = (
    "QLinearSigmoid",
    "QLinearLeakyRelu",
    "QLinearGlobalAveragePool",
    "QLinearAveragePool",
    "QLinearSoftmax",
)
_BINARY = ("QLinearConv", "QLinearAdd", "QLinearMul", "QLinearMatMul")


def _real(codes: str) -> str:
    return codes.removesuffix(_CODES)


def _rescale(editor: Editor, node: onnx.NodeProto, factor: float) -> None:
    """Another scale for a node's result, for all who read or move it; biases keep their value."""
    slot, _ = _result_slots(node)
    name = node.input[slot]
    editor.set(name, (editor.value(name) * np.float32(factor)).astype(np.float32))
    for reader in editor.graph.node:
        is_conv = reader.op_type == "QLinearConv" and len(reader.input) > 8
        if is_conv and reader.input[1] == name:
            bias = editor.own(reader, 8)
            editor.set(bias, np.rint(editor.value(bias) / factor).astype(np.int32))


# Faults.


def range_cut(editor: Editor, rng: Rng) -> Truth:
    """The range of a result is a fraction of what it was."""
    node = _pick(editor, rng, *_BINARY)
    _rescale(editor, node, float(rng.uniform(0.08, 0.25)))
    return Truth(("activation-clipping",), (_real(node.output[0]),))


def range_stretched(editor: Editor, rng: Rng) -> Truth:
    """The range of a result is many times what it was."""
    node = _pick(editor, rng, *_BINARY)
    _rescale(editor, node, float(rng.uniform(12, 40)))
    slugs = ("range-too-wide", "dead-output", "outlier-channel", "mixed-range")
    return Truth(slugs, (_real(node.output[0]),))


def dead_sigmoid(editor: Editor, rng: Rng) -> Truth:
    """The step of a sigmoid is larger than all its values."""
    node = _pick(editor, rng, "QLinearSigmoid")
    scale = float(editor.value(node.input[3]).reshape(()))
    _rescale(editor, node, float(rng.uniform(2.5, 6.0)) / scale)
    return Truth(("range-too-wide", "dead-output"), (_real(node.output[0]),))


def misread_scale(editor: Editor, rng: Rng) -> Truth:
    """One reader takes codes with another scale than they were written with."""
    node = _pick(editor, rng, *_BINARY)
    codes = _written_codes(editor, node)
    name = editor.own(node, 1)
    factor = float(rng.choice([0.5, 0.7, 1.4, 2.0]))
    editor.set(name, (editor.value(name) * np.float32(factor)).astype(np.float32))
    return Truth(("qdq-mismatch",), (_real(codes), _real(node.output[0])))


def misread_zero(editor: Editor, rng: Rng) -> Truth:
    """One reader takes codes with another zero point than they were written with."""
    node = _pick(editor, rng, *_BINARY)
    codes = _written_codes(editor, node)
    name = editor.own(node, 2)
    zero = editor.value(name)
    shift = 20 if int(zero.reshape(())) < np.iinfo(zero.dtype).max - 20 else -20
    editor.set(name, (zero.astype(np.int64) + shift).astype(zero.dtype))
    return Truth(("qdq-mismatch",), (_real(codes), _real(node.output[0])))


def _written_codes(editor: Editor, node: onnx.NodeProto) -> str:
    """The codes a node reads first, which another node has to have written."""
    if node.input[0] in editor.constants:
        raise UnsuitableError("a constant")
    return str(node.input[0])


def weight_rolled(editor: Editor, rng: Rng) -> Truth:
    """The weight's output channels are rolled by one."""
    return _weight(editor, rng, lambda codes: np.roll(codes, 1, axis=0))


def channel_zeroed(editor: Editor, rng: Rng) -> Truth:
    """The loudest channel of a weight is zero."""

    def zeroed(codes: Array) -> Array:
        loud = np.abs(codes.astype(np.int64)).reshape(len(codes), -1).sum(axis=1)
        changed = np.array(codes)
        changed[int(np.argmax(loud))] = 0
        return changed

    return _weight(editor, rng, zeroed)


def _weight(editor: Editor, rng: Rng, change: Callable[[Array], Array]) -> Truth:
    node = _pick(editor, rng, "QLinearConv")
    name = editor.own(node, 3)
    before = editor.value(name)
    after = change(before)
    if np.array_equal(before, after):
        raise UnsuitableError("nothing changes")
    editor.set(name, after)
    return Truth(("weight-mismatch",), (_real(node.output[0]),))


def bias_zeroed(editor: Editor, rng: Rng) -> Truth:
    """The bias of a Conv is zero."""
    node = _pick(editor, rng, "QLinearConv")
    if len(node.input) < 9:
        raise UnsuitableError("no bias")
    name = editor.own(node, 8)
    editor.set(name, np.zeros_like(editor.value(name)))
    return Truth(("weight-mismatch",), (_real(node.output[0]),))


KINDS: dict[str, Edit] = {
    "range cut": range_cut,
    "range stretched": range_stretched,
    "dead sigmoid": dead_sigmoid,
    "misread scale": misread_scale,
    "misread zero point": misread_zero,
    "weight rolled": weight_rolled,
    "channel zeroed": channel_zeroed,
    "bias zeroed": bias_zeroed,
}
"""Every fault of numbers by name."""
