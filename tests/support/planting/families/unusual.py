"""Converter bugs in operators that small convolutional networks have not.

Normalizations, recurrent layers, reductions, gathers, products by equation, masks, and activations
that no convolution swallows; as ``converter`` makes its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from tests.support.editor import Editor
from tests.support.planting.families.converter import (
    Edit,
    _constant,
    _drop,
    _get,
    _pick,
    _put,
    _set_kind,
    _shapes,
    _source,
    plant_kind,
)
from tests.support.planting.families.family import Planting, Rng, Subject, UnsuitableError

Node = onnx.NodeProto


def plant(subject: Subject, rng: Rng) -> Planting:
    """A bug of a kind and at a node that chance picks."""
    kinds = list(KINDS)
    rng.shuffle(kinds)
    for kind in kinds:
        slugs = ("weight-mismatch",) if kind in STORED else ()
        late = subject.quantize is None or rng.random() < 0.5
        for source in (late, not late):
            planted = plant_kind(subject, rng, kind, source, KINDS)
            if planted is not None:
                truths = [replace(t, slugs=(*t.slugs, *slugs)) for t in planted.truths]
                return replace(planted, truths=tuple(truths))
    raise UnsuitableError(subject.name)


def sound(subject: Subject, rng: Rng) -> Planting:
    """The twin as it is."""
    return Planting(
        "as quantized", subject.float_model, subject.quant_model, subject.quant_model, ()
    )


def _renamed(before: str, after: str) -> Edit:
    """Another operator with the same inputs."""

    def edit(editor: Editor, rng: Rng) -> list[Node]:
        node = _pick(editor, rng, before)
        _set_kind(node, after)
        del node.input[1 if before in ("Elu", "Selu", "Gelu", "HardSwish") else len(node.input) :]
        return [node]

    return edit


def _attribute(op: str, name: str, *values: object) -> Edit:
    """Another value of an attribute."""

    def edit(editor: Editor, rng: Rng) -> list[Node]:
        node = _pick(editor, rng, op)
        _put(node, **{name: values[int(rng.integers(len(values)))]})
        return [node]

    return edit


def _constant_of(op: str, slot: int, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """A constant input that is no weight of a product is another."""

    def edit(editor: Editor, rng: Rng) -> list[Node]:
        def fits(n: Node) -> bool:
            return len(n.input) > slot and _stored(editor, n, slot) is not None

        node = _pick(editor, rng, op, fits=fits)
        owner, at = _stored(editor, node, slot) or (node, slot)
        before = editor.value(owner.input[at])
        after = change(before)
        if np.array_equal(before, after):
            raise UnsuitableError("nothing changes")
        editor.set(editor.own(owner, at), after.astype(before.dtype))
        maker = _source(editor, node.input[1 - slot]) if slot < 2 else None
        return [node, *([maker] if maker is not None and maker.op_type == "MatMul" else [])]

    return edit


def _stored(editor: Editor, node: Node, slot: int) -> tuple[Node, int] | None:
    """Where a constant input is stored: at the node, or in codes before it."""
    if _constant(editor, node.input[slot]) is not None:
        return node, slot
    dq = editor.dequantizer(node.input[slot])
    return (dq, 0) if dq is not None and _constant(editor, dq.input[0]) is not None else None


def reduction(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "ReduceMean", "ReduceMax", "ReduceL2")
    node.op_type = {"ReduceMean": "ReduceMax", "ReduceMax": "ReduceMean", "ReduceL2": "ReduceL1"}[
        node.op_type
    ]
    return [node]


def gathered(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Gather", fits=lambda n: _constant(editor, n.input[1]) is not None)
    editor.set(editor.own(node, 1), np.array(editor.value(node.input[1])) + 1)
    return [node]


def transposed_pads(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "ConvTranspose", fits=lambda n: _get(n, "output_padding") == [1, 1])
    _put(node, pads=[2, 2, 0, 0])
    return [node]


def equation(editor: Editor, rng: Rng) -> list[Node]:
    """The axes of one operand are read in another order, or those of the result."""
    node = _pick(editor, rng, "Einsum")
    known = {
        "bi,bj->bij": "bi,bj->bji",
        "bnhd,bmhd->bhnm": "bnhd,bmhd->bhmn",
        "bhnm,bmhd->bnhd": "bhmn,bmhd->bnhd",
    }
    _put(node, equation=known[str(_get(node, "equation"))])
    return [node]


def branches(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Where")
    node.input[1], node.input[2] = node.input[2], node.input[1]
    return [node]


def larger(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "Max", "Min", "Greater")
    node.op_type = {"Max": "Min", "Min": "Max", "Greater": "Less"}[node.op_type]
    return [node]


def direction(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "GRU", "LSTM")
    _put(node, direction="reverse")
    return [node]


def mask_dropped(editor: Editor, rng: Rng) -> list[Node]:
    """What keeps positions from those behind is left out."""

    def fits(n: Node) -> bool:
        stored = _stored(editor, n, 1)
        return stored is not None and editor.value(stored[0].input[stored[1]]).ndim == 4

    return _drop(editor, _pick(editor, rng, "Add", fits=fits), 0)


def reshaped(editor: Editor, rng: Rng) -> list[Node]:
    """A Transpose became a Reshape to the same shape."""
    shapes = _shapes(editor)

    def fits(n: Node) -> bool:
        return bool(shapes.get(n.output[0])) and _source(editor, n.input[0]) is not None

    node = _pick(editor, rng, "Transpose", fits=fits)
    name = f"{node.output[0]}/shape"
    dims = np.array(shapes[node.output[0]], np.int64)
    editor.graph.initializer.append(onnx.numpy_helper.from_array(dims, name))
    _set_kind(node, "Reshape")
    node.input.append(name)
    return [node]


def exchanged(editor: Editor, rng: Rng) -> list[Node]:
    """Two Transposes carry each other's permutation."""
    found = [n for n in editor.graph.node if n.op_type == "Transpose"]
    couples = [
        (a, b)
        for at, a in enumerate(found)
        for b in found[:at]
        if len(_axes(a)) == len(_axes(b)) and _axes(a) != _axes(b)
    ]
    if not couples:
        raise UnsuitableError("two permutations")
    a, b = couples[int(rng.integers(len(couples)))]
    first, second = _axes(a), _axes(b)
    _put(a, perm=second)
    _put(b, perm=first)
    return [a, b]


def _axes(node: Node) -> list[int]:
    return list(helper.get_node_attr_value(node, "perm"))


def _rolled(value: np.ndarray) -> np.ndarray:
    return np.roll(value, 1, axis=-1) if value.ndim else value


def swish(editor: Editor, rng: Rng) -> list[Node]:
    """A Relu stands for a product with one's own sigmoid or tanh of softplus."""

    def fits(n: Node) -> bool:
        gates = [_source(editor, name) for name in n.input]
        return any(g is not None and g.op_type in ("Sigmoid", "Tanh") for g in gates)

    node = _pick(editor, rng, "Mul", fits=fits)
    gate = next(
        at
        for at, name in enumerate(node.input)
        if (g := _source(editor, name)) is not None and g.op_type in ("Sigmoid", "Tanh")
    )
    maker = _source(editor, node.input[gate])
    del node.input[gate]
    _set_kind(node, "Relu")
    return [node, *([maker] if maker is not None else [])]


def slope_gone(editor: Editor, rng: Rng) -> list[Node]:
    node = _pick(editor, rng, "PRelu", "LeakyRelu")
    _set_kind(node, "Relu")
    del node.input[1:]
    return [node]


KINDS: dict[str, Edit] = {
    "Relu for swish": swish,
    "Relu for PRelu": slope_gone,
    "LayerNorm epsilon": _attribute("LayerNormalization", "epsilon", 0.3, 1.0),
    "LayerNorm scale left out": _constant_of("LayerNormalization", 1, np.ones_like),
    "InstanceNorm epsilon": _attribute("InstanceNormalization", "epsilon", 0.3, 1.0),
    "PRelu slope": _constant_of("PRelu", 1, lambda v: np.full_like(v, v.max())),
    "PRelu channels": _constant_of("PRelu", 1, lambda v: np.roll(v, 1, axis=0)),
    "Elu alpha": _attribute("Elu", "alpha", 0.05, 2.0),
    "Relu for Elu": _renamed("Elu", "Relu"),
    "Elu for Selu": _renamed("Selu", "Elu"),
    "Relu for Gelu": _renamed("Gelu", "Relu"),
    "Relu for HardSwish": _renamed("HardSwish", "Relu"),
    "Sigmoid for Erf": _renamed("Erf", "Sigmoid"),
    "Relu for Softplus": _renamed("Softplus", "Relu"),
    "reduction": reduction,
    "Gather off by one": gathered,
    "ConvTranspose pads": transposed_pads,
    "Einsum equation": equation,
    "Where branches": branches,
    "Max for Min": larger,
    "direction": direction,
    "linear_before_reset": _attribute("GRU", "linear_before_reset", 0),
    "mask dropped": mask_dropped,
    "Reshape for Transpose": reshaped,
    "Transposes exchanged": exchanged,
    "constant of an Add": _constant_of("Add", 1, _rolled),
    "constant of a Mul": _constant_of("Mul", 1, lambda v: v * 0.5),
    "cubic coefficient": _attribute("Resize", "cubic_coeff_a", -0.2),
    "Resize of another kind": _attribute("Resize", "mode", "nearest"),
}
"""Every bug by name."""
STORED = ("LayerNorm scale left out", "PRelu slope", "PRelu channels", "constant of an Add")
"""Those in what is stored, which may be told as a weight or bias that differs."""
