"""The float form of each operator on codes: which operator, and with which attributes.

By the definitions of ONNX and of ONNX Runtime's contributed operators (``ContribOperators.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qdebug.graph.model import Graph, Node

Attributes = dict[str, Any]


@dataclass(frozen=True)
class FloatForm:
    """An operator on real numbers.

    Attributes:
        op: its name, of ONNX's own operators.
        attributes: its attributes.
        axes: of a reduction, where the operator set takes them as an input.
    """

    op: str
    attributes: Attributes = field(default_factory=dict)
    axes: tuple[int, ...] | None = None


def float_form(graph: Graph, node: Node) -> FloatForm | None:
    """What a node on codes computes, had it real numbers; None where that cannot be written."""
    make = _FORMS.get(node.op)
    if make is None or node.attributes.get("channels_last", 0):
        return None  # an optimizer's layout, which no quantizer writes
    return make(graph, node)


def _same(op: str) -> Callable[[Graph, Node], FloatForm]:
    def make(_: Graph, node: Node) -> FloatForm:
        kept = {k: v for k, v in node.attributes.items() if k != "channels_last"}
        return FloatForm(op, kept)

    return make


def _softmax(graph: Graph, node: Node) -> FloatForm | None:
    """Before operator set 13 a softmax ran over all axes from ``axis`` on."""
    axis, made_for = int(node.attributes.get("axis", -1)), int(node.attributes.get("opset", 13))
    shape = graph.type_of(node.inputs[0]).shape or graph.type_of(node.outputs[0]).shape
    is_last = axis == -1 or (shape is not None and axis == len(shape) - 1)
    if not is_last and (made_for >= 13) != (graph.opset >= 13):
        return None
    if axis == -1 and graph.opset < 13 and shape is not None:
        axis = len(shape) - 1
    return FloatForm("Softmax", {"axis": axis})


def _reduce_mean(graph: Graph, node: Node) -> FloatForm:
    axes, keep = node.attributes.get("axes"), int(node.attributes.get("keepdims", 1))
    if axes is None:
        return FloatForm("ReduceMean", {"keepdims": keep})
    if graph.opset >= 18:  # there they are an input
        return FloatForm("ReduceMean", {"keepdims": keep}, tuple(axes))
    return FloatForm("ReduceMean", {"keepdims": keep, "axes": list(axes)})


_FORMS: Mapping[str, Callable[[Graph, Node], FloatForm | None]] = {
    "QGemm": _same("Gemm"),
    "QLinearAdd": _same("Add"),
    "QLinearAveragePool": _same("AveragePool"),
    "QLinearConcat": _same("Concat"),
    "QLinearConv": _same("Conv"),
    "QLinearGlobalAveragePool": _same("GlobalAveragePool"),
    "QLinearLeakyRelu": _same("LeakyRelu"),
    "QLinearMatMul": _same("MatMul"),
    "QLinearMul": _same("Mul"),
    "QLinearReduceMean": _reduce_mean,
    "QLinearSigmoid": _same("Sigmoid"),
    "QLinearSoftmax": _softmax,
    "QLinearWhere": _same("Where"),
}
