"""The float model with the biases that were corrected for its quantized twin.

A toolchain that quantizes the float model itself takes corrected biases no other way: its tables
say ranges and widths only. The model is not equivalent to the given one: it is a little wrong on
purpose, by as much as rounding the weights errs in the other direction.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from qdebug.cure.network import Network, Numbers
from qdebug.cure.sites import Weight
from qdebug.graph.marks import mark_of_corrected
from qdebug.graph.model import Graph

_BIAS = 2
"""Input of a product that is its bias."""


def corrected_float(network: Network, numbers: Numbers) -> tuple[onnx.ModelProto, int]:
    """The float model with corrected biases, and in how many layers they could not be placed.

    A layer whose bias came of folding (BatchNormalization, say) has none of its own to correct.

    Args:
        network: the pair of graphs.
        numbers: corrected biases by ``Weight.tensor``.
    """
    graph = network.float_graph
    new: dict[str, np.ndarray] = {}
    left = 0
    for weight in network.weights:
        if weight.role == "bias" and weight.tensor in numbers:
            name = _own_bias(graph, weight)
            if name is None:
                left += 1
            else:
                change = np.asarray(numbers[weight.tensor], np.float64) - weight.given
                value = np.asarray(graph.constant(name), np.float64)
                new[name] = np.asarray(value + change.reshape(value.shape), np.float32)
    model = with_constants(graph, new)
    if not new:
        return model, left
    key, value_of_mark = mark_of_corrected(new)
    model.metadata_props.add(key=key, value=value_of_mark)
    return model, left


def with_constants(graph: Graph, values: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy of a model with other initializers, its weights inside.

    Args:
        graph: the model.
        values: by name of the initializer, of its type and shape.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.proto)
    onnx.load_external_data_for_model(model, str(graph.folder.resolve()))
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return model


def _own_bias(graph: Graph, weight: Weight) -> str | None:
    """The initializer that is a layer's bias in the float graph, and nothing else."""
    if weight.node is None or weight.reference is None:
        return None
    node = graph.nodes[weight.node]
    name = node.inputs[_BIAS] if len(node.inputs) > _BIAS else ""
    if name not in graph.initializers or len(graph.consumers[name]) > 1:
        return None
    if node.op == "Gemm" and float(node.attributes.get("beta", 1.0)) != 1.0:
        return None
    value = graph.constant(name)
    if value is None or value.size != weight.reference.size:
        return None
    return name if np.allclose(value.ravel(), weight.reference.ravel()) else None
