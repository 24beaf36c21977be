"""Two faults at once in a QDQ graph, at places apart; the truths are told the larger first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from tests.support.editor import Editor
from tests.support.planting.families.converter import KINDS as BUGS
from tests.support.planting.families.converter import check_shapes, truth_of
from tests.support.planting.families.family import Planting, Rng, Subject, Truth, UnsuitableError
from tests.support.planting.families.loss import loss_db
from tests.support.planting.planted import after, is_quantized, parts, source

TRIES = 12
LEAST_DB = 3.0
"""What each of the two has to cost, by itself or with the other mended."""


@dataclass(frozen=True)
class _Fault:
    kind: str
    truth: Truth


Edit = Callable[[Editor, Rng], _Fault]


def plant(subject: Subject, rng: Rng) -> Planting:
    """Two faults that each cost something, in the order of what they cost.

    Each is planted alone as well: the larger one is the one that costs more alone, and the smaller
    one has to cost something where the larger is not there. Costs are those on all of the subject's
    inputs, which it is compared on: on the first one alone a fault may cost 4 dB that costs 2.9 on
    all, and of two within a decibel the other one may be the larger. A second fault that stands
    elsewhere beside the first than alone is none whose place and cost are known.
    """
    for _ in range(TRIES):
        found = _couple(subject, rng)
        if found is not None:
            return found
    raise UnsuitableError(subject.name)


def _couple(subject: Subject, rng: Rng) -> Planting | None:
    kinds = [str(kind) for kind in rng.choice(sorted(KINDS), 2)]
    seeds = [int(seed) for seed in rng.integers(1 << 31, size=2)]
    try:
        first, one = _with(subject.quant_model, kinds[0], seeds[0])
        second, two = _with(subject.quant_model, kinds[1], seeds[1])
        both, again = _with(first, kinds[1], seeds[1])
        costs = [loss_db(subject, model) for model in (first, second)]
    except (UnsuitableError, ValueError, IndexError, onnx.checker.ValidationError):
        return None
    # the first fault may leave the second one fewer places, and so another one
    if again.truth != two.truth or _touch(one.truth, two.truth) or min(costs) < LEAST_DB:
        return None
    order = [one, two] if costs[0] >= costs[1] else [two, one]
    return Planting(
        f"{order[0].kind} ({max(costs):.1f} dB), {order[1].kind} ({min(costs):.1f} dB)",
        subject.float_model,
        both,
        subject.quant_model,
        tuple(fault.truth for fault in order),
    )


def _with(model: onnx.ModelProto, kind: str, seed: int) -> tuple[onnx.ModelProto, _Fault]:
    """A fault whose place follows from the seed, as long as the graph keeps its nodes."""
    editor = Editor(model)
    fault = KINDS[kind](editor, np.random.default_rng(seed))
    return editor.model, fault


def _touch(one: Truth, two: Truth) -> bool:
    return bool(set(one.tensors) & set(two.tensors))


# Faults.


def _conv(editor: Editor, rng: Rng) -> onnx.NodeProto:
    found = [n for n in editor.graph.node if is_quantized(editor, n)]
    if not found:
        raise UnsuitableError("no quantized Conv")
    node: onnx.NodeProto = found[int(rng.integers(len(found)))]
    return node


def _rescaled(kind: str, slug: str, low: float, high: float) -> Edit:
    def edit(editor: Editor, rng: Rng) -> _Fault:
        node = _conv(editor, rng)
        factor = np.float32(rng.uniform(low, high))
        tensors = source(editor, node)
        dq = editor.dequantizer(node.input[0])
        entries = {item.name for item in editor.graph.input}
        if not tensors or dq is None or entries & set(tensors):  # the input has a gate of its own
            raise UnsuitableError("no quantizer")
        scale = editor.value(dq.input[1]) * factor
        for quantizer in [n for n in editor.readers(tensors[0]) if n.op_type == "QuantizeLinear"]:
            for user in (quantizer, *editor.readers(quantizer.output[0])):
                editor.set(editor.own(user, 1), scale.astype(np.float32))
        return _Fault(kind, Truth((slug,), tensors))

    return edit


def _misread(editor: Editor, rng: Rng) -> _Fault:
    node = _conv(editor, rng)
    _, (data, _, _) = parts(editor, node.output[0])
    factor = np.float32(rng.choice([0.5, 0.7, 1.4, 2.0]))
    name = editor.own(data, 1)
    editor.set(name, (editor.value(name) * factor).astype(np.float32))
    tensors = (*after(editor, node.output[0]), *source(editor, node))
    return _Fault("misread scale", Truth(("qdq-mismatch",), tensors))


def _weight_rolled(editor: Editor, rng: Rng) -> _Fault:
    node = _conv(editor, rng)
    _, (_, weight, _) = parts(editor, node.output[0])
    name = editor.own(weight, 0)
    editor.set(name, np.roll(editor.value(name), 1, axis=0))
    tensors = after(editor, node.output[0])
    return _Fault("weight rolled", Truth(("weight-mismatch",), tensors))


def _bias_zeroed(editor: Editor, rng: Rng) -> _Fault:
    node = _conv(editor, rng)
    _, (_, _, bias) = parts(editor, node.output[0])
    name = editor.own(bias, 0)
    editor.set(name, np.zeros_like(editor.value(name)))
    tensors = after(editor, node.output[0])
    return _Fault("bias zeroed", Truth(("weight-mismatch",), tensors))


def _bug(kind: str) -> Edit:
    def edit(editor: Editor, rng: Rng) -> _Fault:
        nodes = BUGS[kind](editor, rng)
        check_shapes(editor.model)
        return _Fault(kind, truth_of(editor.model, nodes, kind))

    return edit


KINDS: dict[str, Edit] = {
    "range cut": _rescaled("range cut", "activation-clipping", 0.08, 0.25),
    "range stretched": _rescaled("range stretched", "range-too-wide", 12.0, 40.0),
    "misread scale": _misread,
    "weight rolled": _weight_rolled,
    "bias zeroed": _bias_zeroed,
    **{kind: _bug(kind) for kind in ("Conv pads", "LeakyRelu alpha", "MaxPool for AveragePool")},
}
"""Every fault that is planted beside another, by name."""
