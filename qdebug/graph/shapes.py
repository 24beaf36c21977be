"""Types and shapes of every tensor, inferred without reading weights."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from functools import partial

import onnx

from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, TensorType, declared_types, initializer_types

_ROUNDS = 24  # of folding shape parameters; each may make the next one known
_SHAPE_VALUES = 2048  # elements; by judgement, enough for every shape, axes or repeats tensor

# Operators that ONNX's own inference does not know, and the standard operator with the same output
# shape; the second item picks the inputs to hand over.
_STAND_INS: dict[str, tuple[str, tuple[int, ...]]] = {
    "AscendDequant": ("Identity", (0,)),
    "AscendQuant": ("Identity", (0,)),
    "BFPQuantizeDequantize": ("Identity", (0,)),
    "BiasGelu": ("Identity", (0,)),
    "BrevitasQuant": ("Identity", (0,)),
    "DequantizeLinear": ("DequantizeLinear", (0, 1, 2)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)),
    "ExtendedDequantizeLinear": ("DequantizeLinear", (0, 1, 2)),
    "ExtendedQuantizeLinear": ("QuantizeLinear", (0, 1, 2)),
    "FastGelu": ("Identity", (0,)),
    "FusedConv": ("Conv", (0, 1, 2)),
    "FusedGemm": ("Gemm", (0, 1, 2)),
    "FusedMatMul": ("MatMul", (0, 1)),
    "Gelu": ("Identity", (0,)),
    "MatMulIntegerToFloat": ("MatMul", (0, 1)),
    "MatMulNBits": ("MatMul", (0,)),
    "QGemm": ("Gemm", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearConcat": ("Concat", ()),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearLeakyRelu": ("Identity", (0,)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearReduceMean": ("ReduceMean", (0,)),
    "QLinearSigmoid": ("Identity", (0,)),
    "QLinearSoftmax": ("Identity", (0,)),
    "QLinearWhere": ("Where", (0, 1, 4)),
    "Quant": ("Identity", (0,)),
    "QuantizeLinear": ("QuantizeLinear", (0, 1, 2)),
    "QuickGelu": ("Identity", (0,)),
    "SimplifiedLayerNormalization": ("Identity", (0,)),
    "SkipLayerNormalization": ("Identity", (0,)),
    "VitisDequantizeLinear": ("DequantizeLinear", (0, 1, 2)),
    "VitisQuantizeLinear": ("QuantizeLinear", (0, 1, 2)),
}
_STANDARD_DOMAINS = ("", "ai.onnx")
_KEPT_ATTRIBUTES = {
    "AveragePool": {
        "kernel_shape",
        "strides",
        "pads",
        "auto_pad",
        "ceil_mode",
        "count_include_pad",
    },
    "Concat": {"axis"},
    "Conv": {"kernel_shape", "strides", "pads", "auto_pad", "dilations", "group"},
    "DequantizeLinear": {"axis"},
    "Gemm": {"transA", "transB", "alpha", "beta"},
    "QuantizeLinear": {"axis"},
    "ReduceMean": {"axes", "keepdims"},
}


def infer_types(
    graph: Graph, input_shapes: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, TensorType]:
    """Types of all tensors, as far as they follow from the graph.

    Args:
        graph: its weights are not touched: any size will do.
        input_shapes: fixes the inputs' shapes and with them what the file left open; declared
            shapes of intermediate tensors and outputs are then ignored.

    Returns:
        Tensor name to type. What cannot be inferred (behind an unknown custom operator) is left
        out or keeps symbolic dimensions.
    """
    light = _without_weights(graph, input_shapes)
    constants = initializer_types(graph.proto.graph)
    types = declared_types(_inferred(light).graph) | constants
    for _ in range(_ROUNDS):
        if not _fold_parameters(light, graph, types):
            break
        types = declared_types(_inferred(light).graph) | constants
    return types


def _fold_parameters(light: onnx.ModelProto, graph: Graph, types: Mapping[str, TensorType]) -> bool:
    """Replace shape parameters that follow from shapes known by now by their values.

    ONNX's own propagation stops at some operators (a Cast, a Slice with computed bounds).
    """
    open_nodes = [n for n in light.graph.node if any(_open(types, name) for name in n.output)]
    if not open_nodes:
        return False
    view = copy(graph)
    view.types = dict(types)
    constants = Constants(view)
    folded: dict[str, str] = {}
    for node in open_nodes:
        for slot, name in enumerate(node.input):
            if slot == 0 or not name or name in graph.initializers:
                continue
            value = None if name in folded else constants.value(name)
            if value is not None and value.size <= _SHAPE_VALUES and value.dtype.kind in "iuf":
                folded[name] = f"{name}:folded"
                tensor = onnx.numpy_helper.from_array(value, folded[name])
                light.graph.initializer.append(tensor)
            node.input[slot] = folded.get(name, name)
    return bool(folded)


def _open(types: Mapping[str, TensorType], tensor: str) -> bool:
    kind = types.get(tensor)
    return kind is None or kind.fixed_shape is None


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    infer = partial(onnx.shape_inference.infer_shapes, model, check_type=False, strict_mode=False)
    failures = (onnx.shape_inference.InferenceError, RuntimeError, ValueError)
    with suppress(*failures):
        return infer(data_prop=True)
    with suppress(*failures):
        return infer(data_prop=False)
    return model


def _without_weights(
    graph: Graph, input_shapes: Mapping[str, tuple[int, ...]] | None
) -> onnx.ModelProto:
    """A copy that holds the types of large initializers, not their values."""
    source = graph.proto
    light = onnx.ModelProto(ir_version=source.ir_version)
    light.opset_import.extend(source.opset_import)
    light.graph.name = source.graph.name
    unpacked: list[onnx.TensorProto] = []
    light.graph.node.extend(_stand_in(node.proto, unpacked) for node in graph.nodes)
    light.graph.initializer.extend(_light_tensor(graph, t) for t in source.graph.initializer)
    light.graph.initializer.extend(unpacked)
    light.graph.input.extend(source.graph.input)
    light.graph.output.extend(source.graph.output)
    if input_shapes is None:
        light.graph.value_info.extend(source.graph.value_info)
        return light
    for info in light.graph.input:
        if info.name in input_shapes:
            _set_shape(info, input_shapes[info.name])
    for info in light.graph.output:
        if info.type.HasField("tensor_type"):
            info.type.tensor_type.ClearField("shape")
    return light


def _set_shape(info: onnx.ValueInfoProto, shape: tuple[int, ...]) -> None:
    info.type.tensor_type.ClearField("shape")
    info.type.tensor_type.shape.SetInParent()
    for size in shape:
        info.type.tensor_type.shape.dim.add().dim_value = size


def _light_tensor(graph: Graph, tensor: onnx.TensorProto) -> onnx.TensorProto:
    size = 1
    for dim in tensor.dims:
        size *= dim
    external = tensor.data_location == onnx.TensorProto.EXTERNAL
    if size <= _SHAPE_VALUES and not external:
        return tensor
    if size <= _SHAPE_VALUES and tensor.data_type == onnx.TensorProto.INT64:
        value = graph.constant(tensor.name)
        if value is not None:
            return onnx.numpy_helper.from_array(value, tensor.name)
    return onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)


def _stand_in(node: onnx.NodeProto, weights: list[onnx.TensorProto]) -> onnx.NodeProto:
    if node.op_type not in _STAND_INS:
        return node
    if node.domain in _STANDARD_DOMAINS and onnx.defs.has(node.op_type):
        return node
    op, slots = _STAND_INS[node.op_type]
    if node.op_type == "MatMulNBits":
        weights.append(_unpacked_weight(node))
        inputs = [node.input[0], weights[-1].name]
    else:
        slots = slots or tuple(range(2, len(node.input), 3))
        inputs = [node.input[slot] for slot in slots if slot < len(node.input)]
    standard = onnx.helper.make_node(op, inputs, node.output[:1], node.name)
    kept = _KEPT_ATTRIBUTES.get(op, set())
    standard.attribute.extend(a for a in node.attribute if a.name in kept)
    return standard


def _unpacked_weight(node: onnx.NodeProto) -> onnx.TensorProto:
    """Type of the ``[K, N]`` matrix that the node's packed ``[N, blocks, bytes]`` stands for."""
    sizes = {a.name: a.i for a in node.attribute}
    return onnx.TensorProto(
        name=f"{node.output[0]}:unpacked",
        data_type=onnx.TensorProto.FLOAT,
        dims=[sizes.get("K", 0), sizes.get("N", 0)],
    )
