"""TPU-MLIR multiplies two linear 1x1 Convs in a row together before it quantizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from qdebug.encodings.model import Encodings
from qdebug.graph.model import Array, Graph, Node


def merge_linear(model: onnx.ModelProto, encodings: Encodings) -> onnx.ModelProto:
    """Merge pairs of 1x1 Convs whose inner tensor has no entry; changes and returns the model.

    Args:
        model: a float model whose weights are inside.
        encodings: in TPU-MLIR's names.
    """
    names = {entry.name for entry in encodings.entries}
    graph = Graph(model, Path("float"), "")
    for node in graph.nodes:
        second = _partner(graph, node, names)
        if second is not None:
            _merge(model, graph, node, second)
    return model


def _partner(graph: Graph, node: Node, names: set[str]) -> Node | None:
    """The Conv that reads this one's result alone; None where the two cannot be one."""
    if not _is_pointwise(graph, node) or f"{node.outputs[0]}_Conv" in names:
        return None
    readers = graph.readers.get(node.outputs[0], [])
    lone = len(readers) == 1 and node.outputs[0] not in graph.outputs
    second = readers[0] if lone else None
    if second is None or not _is_pointwise(graph, second) or second.inputs[0] != node.outputs[0]:
        return None
    after = [second, *graph.readers.get(second.outputs[0], [])]
    return second if any(f"{x.outputs[0]}_{x.op}" in names for x in after) else None


def _is_pointwise(graph: Graph, node: Node) -> bool:
    """Whether a node is a plain 1x1 Conv with a stored weight."""
    if node.op != "Conv" or node.attributes.get("group", 1) != 1:
        return False
    weight = graph.initializers.get(node.inputs[1])
    plain = not any(node.attributes.get("pads", [0])) and set(
        node.attributes.get("strides", [1])
    ) == {1}
    inside = weight is not None and weight.data_location != onnx.TensorProto.EXTERNAL
    return plain and inside and weight is not None and list(weight.dims[2:]) == [1, 1]


def _merge(model: onnx.ModelProto, graph: Graph, first: Node, second: Node) -> None:
    one, two = (_matrix(graph, node) for node in (first, second))
    weight = np.zeros((two.shape[0], one.shape[1]), np.float32)
    bias = np.zeros(two.shape[0], np.float32)
    inner = _bias(graph, first, one.shape[0])
    # Summed in float32 one after the other: another order gives other codes.
    for at in range(one.shape[0]):
        weight = weight + two[:, at : at + 1] * one[at : at + 1]
        bias = bias + two[:, at] * inner[at]
    bias = bias + _bias(graph, second, two.shape[0])
    stem = second.outputs[0]
    parts = {f"{stem}_merged_weight": weight[:, :, None, None], f"{stem}_merged_bias": bias}
    for name, value in parts.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    del second.proto.input[:]
    second.proto.input.extend([first.inputs[0], *parts])
    model.graph.node.remove(first.proto)


def _matrix(graph: Graph, node: Node) -> Array:
    value = graph.constant(node.inputs[1])
    assert value is not None
    return value[:, :, 0, 0]


def _bias(graph: Graph, node: Node, size: int) -> Array:
    value = graph.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    return np.zeros(size, np.float32) if value is None else value
