"""What kind of model a graph is."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import onnx

from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import (
    DEQUANTIZE_OPS,
    DYNAMIC_OPS,
    FAKE_QUANTIZE_OPS,
    INTEGER_ACCUMULATORS,
    OPS_ON_CODES,
    QUANTIZE_OPS,
    WEIGHT_ONLY_OPS,
)
from qdebug.run.model import ModelInfo

Format = Literal["float", "qdq", "qoperator", "dynamic", "float16", "mixed"]

_HALF = {onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.BFLOAT16: "bfloat16"}


def describe(graph: Graph) -> ModelInfo:
    """Format, producer and counts of a model."""
    ops = Counter(node.op for node in graph.nodes)
    form = _format(graph, ops)
    return ModelInfo(
        file=graph.path.name,
        sha256=graph.sha256,
        opset=graph.opset,
        nodes=len(graph.nodes),
        producer=_producer(graph),
        format=form,
        tensors=sum(bool(name) for n in graph.nodes if n.op != "Constant" for name in n.outputs),
        detail=_detail(graph, form),
    )


def _producer(graph: Graph) -> str:
    return " ".join(p for p in (graph.proto.producer_name, graph.proto.producer_version) if p)


def _format(graph: Graph, ops: Counter[str]) -> Format:
    coded = any(op.startswith("QLinear") or op in OPS_ON_CODES for op in ops)
    dynamic = any(op in DYNAMIC_OPS for op in ops) or any(op in INTEGER_ACCUMULATORS for op in ops)
    qdq = bool(_activation_dtypes(graph)) or any(op in FAKE_QUANTIZE_OPS for op in ops)
    weights = any(op in WEIGHT_ONLY_OPS for op in ops) or any(op in DEQUANTIZE_OPS for op in ops)
    if coded:
        return "mixed" if dynamic else "qoperator"
    if dynamic:
        return "mixed" if qdq and _has_static(graph) else "dynamic"
    if qdq:
        return "qdq"
    if weights:
        return "mixed"
    return "float16" if _half(graph) else "float"


def _has_static(graph: Graph) -> bool:
    return any(node.op in QUANTIZE_OPS for node in graph.nodes)


def _half(graph: Graph) -> str:
    """The half-precision type that most weights have, empty where they have none."""
    sizes: Counter[int] = Counter()
    for tensor in graph.initializers.values():
        if len(tensor.dims) > 1:
            size = 1
            for dim in tensor.dims:
                size *= dim
            sizes[tensor.data_type] += size
    best = max(_HALF, key=lambda kind: sizes[kind])
    return _HALF[best] if sizes[best] * 2 > sum(sizes.values()) else ""


def _activation_dtypes(graph: Graph) -> Counter[str]:
    """Code types of quantized activations, by number of quantizers."""
    found: Counter[str] = Counter()
    for node in graph.nodes:
        if node.op in QUANTIZE_OPS and not graph.is_constant(node.inputs[0]):
            kind = graph.type_of(node.outputs[0])
            found[kind.dtype if kind.elem_type else "uint8"] += 1
    return found


def _detail(graph: Graph, form: Format) -> str:
    if form == "float":
        return "float32"
    if form == "float16":
        return _half(graph)
    bits = next((n.attributes.get("bits", 4) for n in graph.nodes if n.op == "MatMulNBits"), None)
    if bits is not None and form == "mixed":
        return f"float activations, {bits}-bit weights in blocks"
    weights, per_channel = _weights(graph)
    kind = "dynamic uint8" if form == "dynamic" else _joined(_activations(graph))
    how = "per channel" if per_channel else "per tensor"
    parts = [f"{kind} activations" if kind else "float activations"]
    if weights:
        parts.append(f"{_joined(weights)} weights {how}")
    return ", ".join(parts)


def _activations(graph: Graph) -> Counter[str]:
    found = _activation_dtypes(graph)
    for node in graph.nodes:
        if node.op.startswith("QLinear") or node.op in OPS_ON_CODES:
            kind = graph.type_of(node.outputs[0])
            if kind.elem_type and kind.dtype.startswith(("u", "int")):
                found[kind.dtype] += 1
    return found


def _joined(kinds: Counter[str]) -> str:
    names = [name for name, _ in kinds.most_common()]
    return " and ".join(names[:3])


def _weights(graph: Graph) -> tuple[Counter[str], bool]:
    """Code types of weights, and whether any has a scale per channel."""
    found: Counter[str] = Counter()
    per_channel = False
    for node in graph.nodes:
        for codes, scale in _weight_slots(graph, node):
            kind = graph.type_of(codes)
            if kind.dtype == "int32" or not kind.elem_type:
                continue
            found[kind.dtype] += 1
            size = graph.type_of(scale).fixed_shape if scale else None
            per_channel |= size is not None and max(size, default=1) > 1
    return found, per_channel


def _weight_slots(graph: Graph, node: Node) -> list[tuple[str, str]]:
    """``(codes, scale)`` of the constant weights of a node."""
    inputs = (*node.inputs, *[""] * 6)
    if node.op in DEQUANTIZE_OPS:
        slots = [(inputs[0], inputs[1])]
    elif node.op in ("QLinearConv", "QLinearMatMul", "QGemm"):
        slots = [(inputs[3], inputs[4])]
    elif node.op in INTEGER_ACCUMULATORS:
        slots = [(inputs[1], inputs[3])]
    elif node.op in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat"):
        slots = [(inputs[1], inputs[3] if node.op == "MatMulIntegerToFloat" else inputs[2])]
    else:
        return []
    return [(codes, scale) for codes, scale in slots if codes and graph.is_constant(codes)]
