"""Which tensors do not depend on the inputs, and their values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from qdebug.graph.model import SMALL, Array, Graph, Node
from qdebug.graph.operators import DEQUANTIZE_OPS, QUANTIZE_OPS, RANDOM_OPS, SHAPE_OPS
from qdebug.graph.qparams import dequantize, linear_quantizer, quantize

_QUICK = frozenset({"Cast", "Transpose"}) | QUANTIZE_OPS | DEQUANTIZE_OPS
_LARGE = 1 << 26  # elements; a folded constant beyond this is left symbolic


class Constants:
    """Constant tensors of a graph, evaluated when asked for.

    A tensor is constant if no value of a graph input can reach it. Sizes do not count as values:
    what follows from ``Shape`` alone is constant, with a known value only if the shape is fixed.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._dynamic = _reachable(graph)
        self._values: dict[str, Array | None] = {}

    def __contains__(self, tensor: str) -> bool:
        return tensor not in self._dynamic

    def value(self, tensor: str) -> Array | None:
        """Value of a constant tensor; None for any other, or where it cannot be evaluated."""
        if not tensor or tensor in self._dynamic:
            return None
        if self.graph.is_constant(tensor):
            return self.graph.constant(tensor)
        if tensor in self._values:
            return self._values[tensor]
        node = self.graph.producer.get(tensor)
        found = {} if node is None else _evaluate(self, node)
        kept = {k: v for k, v in found.items() if v is None or v.size <= SMALL}
        self._values.update(kept)
        return found.get(tensor)


def _reachable(graph: Graph) -> set[str]:
    """Tensors that depend on the values of the graph's inputs."""
    found = set(graph.inputs)
    for node in graph.nodes:
        if node.op in SHAPE_OPS:
            continue
        if node.op in RANDOM_OPS or any(name in found for name in node.reads):
            found.update(name for name in node.outputs if name)
    return found


def _evaluate(constants: Constants, node: Node) -> dict[str, Array | None]:
    if node.op in SHAPE_OPS and node.inputs[0] not in constants.graph.initializers:
        shape = _fixed_shape(constants, node)
        return {node.outputs[0]: None if shape is None else _shape_slice(node, shape)}
    inputs = [constants.value(name) if name else None for name in node.inputs]
    missing = any(name and value is None for name, value in zip(node.inputs, inputs, strict=True))
    if missing or node.outer_inputs:
        return {}
    if sum(0 if value is None else value.size for value in inputs) > _LARGE:
        return {}
    if node.op == "Identity":
        return {node.outputs[0]: inputs[0]}
    if node.op in _QUICK and inputs[0] is not None:
        return {node.outputs[0]: _quick(constants, node, inputs[0])}
    return _by_reference(constants.graph, node, inputs)


def _fixed_shape(constants: Constants, node: Node) -> tuple[int, ...] | None:
    value = None if node.inputs[0] in constants._dynamic else constants.value(node.inputs[0])
    if value is not None:
        return value.shape
    return constants.graph.type_of(node.inputs[0]).fixed_shape


def _shape_slice(node: Node, shape: tuple[int, ...]) -> Array:
    if node.op == "Size":
        return np.asarray(int(np.prod(shape)), np.int64)
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
    return np.asarray(shape[start:end], np.int64)


def _quick(constants: Constants, node: Node, value: Array) -> Array | None:
    """Value of the frequent operators, without the reference implementation's start-up time."""
    if node.op == "Cast":
        cast: Array = value.astype(helper.tensor_dtype_to_np_dtype(node.attributes["to"]))
        return cast
    if node.op == "Transpose":
        return np.transpose(value, node.attributes.get("perm"))
    quantizer = linear_quantizer(constants, node)
    if quantizer is None:
        return None
    return (dequantize if node.op in DEQUANTIZE_OPS else quantize)(value, quantizer)


def _by_reference(graph: Graph, node: Node, inputs: list[Any]) -> dict[str, Array | None]:
    """Evaluate with ONNX's own reference implementation."""
    if node.domain not in ("", "ai.onnx"):
        return {}
    from onnx.reference import ReferenceEvaluator

    names = [name for name in node.inputs if name]
    values = [value for value in inputs if value is not None]
    body = helper.make_graph(
        [node.proto],
        "constant",
        [helper.make_value_info(name, onnx.TypeProto()) for name in dict.fromkeys(names)],
        [helper.make_value_info(name, onnx.TypeProto()) for name in node.outputs if name],
    )
    opset = helper.make_opsetid("", max(graph.opset, 1))
    try:
        model = helper.make_model(body, opset_imports=[opset])
        results = ReferenceEvaluator(model).run(None, dict(zip(names, values, strict=True)))
    except Exception:  # any operator it lacks or refuses: the constant stays symbolic
        return {}
    return dict(zip([name for name in node.outputs if name], results, strict=True))
