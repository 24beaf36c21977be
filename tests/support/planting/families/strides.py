"""Strides and groups that a converter gets wrong; as control, groups spelled out soundly."""

from __future__ import annotations

import numpy as np
import onnx

from tests.support.editor import Array, Editor
from tests.support.planting.families.converter import (
    SLUGS,
    _get,
    _pick,
    _put,
    _runs,
    check_shapes,
    truth_of,
)
from tests.support.planting.families.family import Planting, Rng, Subject, UnsuitableError

Node = onnx.NodeProto


def plant(subject: Subject, rng: Rng) -> Planting:
    """Another stride where the shapes bear it, or groups that read each other's channels."""
    if subject.quantize is None:
        raise UnsuitableError(subject.name)
    kinds = {"stride": _stride, "groups exchanged": _exchanged}
    for kind in rng.permutation(sorted(kinds)):
        editor = Editor(subject.float_model)
        try:
            node = kinds[str(kind)](editor, rng)
            check_shapes(editor.model)
        except (UnsuitableError, onnx.checker.ValidationError):
            continue
        if not _runs(editor.model, subject.feeds[0]):
            continue
        truth = truth_of(subject.float_model, [node], str(kind))
        assert truth.slugs == SLUGS
        made = subject.quantize(editor.model)
        return Planting(str(kind), subject.float_model, made, subject.quant_model, (truth,))
    raise UnsuitableError(subject.name)


def spelled_out(subject: Subject, rng: Rng) -> Planting:
    """The control: a convolution of groups as a whole one with zeros."""
    if subject.quantize is None:
        raise UnsuitableError(subject.name)
    editor = Editor(subject.float_model)
    _dense(editor, _grouped(editor, rng), shift=0)
    del editor.model.graph.value_info[:]
    made = subject.quantize(editor.model)
    return Planting("groups spelled out", subject.float_model, made, subject.quant_model, ())


def _stride(editor: Editor, rng: Rng) -> Node:
    node = _pick(editor, rng, "Conv", fits=lambda n: _get(n, "strides") in ([1, 1], [2, 2]))
    _put(node, strides=[1, 1] if _get(node, "strides") == [2, 2] else [2, 2])
    return node


def _exchanged(editor: Editor, rng: Rng) -> Node:
    node = _grouped(editor, rng)
    _dense(editor, node, shift=1)
    return node


def _grouped(editor: Editor, rng: Rng) -> Node:
    def fits(n: Node) -> bool:
        return int(_get(n, "group", 1)) > 1 and n.input[1] in editor.constants  # type: ignore[call-overload]

    return _pick(editor, rng, "Conv", fits=fits)


def _dense(editor: Editor, node: Node, shift: int) -> None:
    """One group instead of several; ``shift`` groups on is what each of them reads."""
    group = int(_get(node, "group", 1))  # type: ignore[call-overload]
    weight: Array = editor.value(node.input[1])
    rows, width = weight.shape[0] // group, weight.shape[1]
    whole = np.zeros((weight.shape[0], width * group, *weight.shape[2:]), np.float32)
    for at in range(group):
        first = (at + shift) % group * width
        out = slice(at * rows, (at + 1) * rows)
        whole[out, first : first + width] = weight[out]
    editor.set(editor.own(node, 1), whole)
    _put(node, group=1)
