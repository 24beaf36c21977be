"""One bias for several convolutions, quantized once; as control, with a copy for each."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization as q

from tests.support.editor import Editor
from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.planting.families.family import Planting, Rng, Subject, Truth, UnsuitableError
from tests.support.planting.families.qoperator import refuse_lost_activations


def plant(subject: Subject, rng: Rng) -> Planting:
    """Convolutions of as many channels read one bias, in integer operators."""
    shared, nodes = _with_shared_bias(subject, rng)
    bad = _integer(shared, subject)
    slugs = ("shared-bias",)
    truth = Truth(slugs, tuple(name for n in nodes for name in _shown_at(shared, n)))
    return Planting("in QOperator", shared, bad, _integer(_copies(shared), subject), (truth,))


def own(subject: Subject, rng: Rng) -> Planting:
    """The control: the same values under a name for each."""
    shared, _ = _with_shared_bias(subject, rng)
    sound = _integer(_copies(shared), subject)
    return Planting("copied", shared, sound, sound, ())


def _with_shared_bias(subject: Subject, rng: Rng) -> tuple[onnx.ModelProto, list[onnx.NodeProto]]:
    if subject.quantize is None:
        raise UnsuitableError(subject.name)
    refuse_lost_activations(subject.float_model)
    editor = Editor(subject.float_model)
    by_width: dict[int, list[onnx.NodeProto]] = {}
    for node in editor.graph.node:
        if node.op_type == "Conv" and len(node.input) > 2 and node.input[2] in editor.constants:
            by_width.setdefault(editor.value(node.input[2]).size, []).append(node)
    groups = [nodes for nodes in by_width.values() if len(nodes) > 1]
    if not groups:
        raise UnsuitableError("no two of a width")
    nodes = groups[int(rng.integers(len(groups)))]
    # large enough to matter under a scale that is not its own
    value = rng.normal(0, 0.5, editor.value(nodes[0].input[2]).size).astype(np.float32)
    name = editor.own(nodes[0], 2)
    editor.set(name, value)
    for node in nodes[1:]:
        node.input[2] = name
    return _without_unused(editor), nodes


def _copies(model: onnx.ModelProto) -> onnx.ModelProto:
    editor = Editor(model)
    for node in editor.graph.node:
        if node.op_type == "Conv" and len(node.input) > 2:
            editor.own(node, 2)
    return _without_unused(editor)


def _without_unused(editor: Editor) -> onnx.ModelProto:
    read = {name for node in editor.graph.node for name in node.input}
    for tensor in [t for t in editor.graph.initializer if t.name not in read]:
        editor.graph.initializer.remove(tensor)
    return editor.model


def _integer(model: onnx.ModelProto, subject: Subject) -> onnx.ModelProto:
    step = static(q.QuantFormat.QOperator, per_channel=False, weight_type=q.QuantType.QInt8)
    with tempfile.TemporaryDirectory() as name, quiet():
        return step(copied(model), Desk(Path(name), subject.feeds))


def _shown_at(model: onnx.ModelProto, node: onnx.NodeProto) -> tuple[str, ...]:
    """The convolution's result and what an integer operator may have taken into itself."""
    names = [node.output[0]]
    for _ in range(2):
        readers = [n for n in model.graph.node if names[-1] in n.input]
        names += [reader.output[0] for reader in readers[:1]]
    return tuple(names)
