"""Which tensors are quantized where a float model is calibrated anew."""

from __future__ import annotations

import onnx

from qdebug.encodings.placing import fused_into
from qdebug.encodings.rules import Rules
from qdebug.encodings.weights import symmetric
from qdebug.graph.model import Graph
from qdebug.graph.operators import ACTIVATIONS, CLIPPING, KEEPS_CODES, WEIGHTED

RULES = Rules(
    weights=symmetric("int8"),
    integer_bias=True,
    fuses=CLIPPING,
    rest="stays float: no operator beside it is quantized",
)
"""As ONNX Runtime's ``quantize_static``: int8 weights, one scale a channel, int32 biases, Relu and
Clip together with what is before them."""
_OPS = (
    WEIGHTED
    | KEEPS_CODES
    | (ACTIVATIONS - set("Celu Erf Gelu Mish Softplus Softsign ThresholdedRelu".split()))
    | frozenset("Add Mul AveragePool GlobalAveragePool ReduceMean Softmax Where".split())
)
"""What ONNX Runtime's quantizer takes up by default, and the activations that hardware computes."""


def quantizable(graph: Graph) -> list[str]:
    """Tensors that get codes, in execution order: all that a quantized operator reads or makes."""
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.op not in _OPS:
            continue
        for tensor in (*node.inputs, *node.outputs):
            if tensor and _holds_values(graph, tensor) and not fused_into(graph, RULES, tensor):
                found[tensor] = None
    return list(found)


def kept_codes(graph: Graph, tensor: str) -> str | None:
    """The tensor whose codes another one repeats; None where it has codes of its own."""
    node = graph.producer.get(tensor)
    if node is None or node.op not in KEEPS_CODES - {"Concat", "Pad"} or not node.inputs:
        return None
    source = node.inputs[0]
    return source if _holds_values(graph, source) else None


def _holds_values(graph: Graph, tensor: str) -> bool:
    known = graph.type_of(tensor).elem_type == onnx.TensorProto.FLOAT
    return known and not graph.is_constant(tensor)
