"""Reading a graph as values and operations, whatever way it is quantized."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from qdebug.graph.constants import Constants
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import (
    COMMUTATIVE_FAMILIES,
    DEQUANTIZE_OPS,
    FAKE_QUANTIZE_OPS,
    INTEGER_ACCUMULATORS,
    KEEPS_CODES,
    NEUTRAL,
    QUANTIZE_OPS,
    RANDOM_OPS,
    WEIGHTED,
    WEIGHTED_FAMILIES,
    family_of,
)
from qdebug.graph.pairing.logical import Const, Logical, Op, Value
from qdebug.graph.pairing.ops import PARAMETER_INPUTS, CodeOp, Operand, code_op
from qdebug.graph.pairing.packed import PackedConst
from qdebug.graph.pairs import Quantizer
from qdebug.graph.qparams import (
    bias_quantizer,
    linear_quantizer,
    make_quantizer,
    qonnx_quantizer,
)

FLOAT_TYPES = frozenset(
    {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
        onnx.TensorProto.DOUBLE,
    }
)
_BY_CONTENT = 4096  # elements up to which constants are compared by content; by judgement, for time


def build(graph: Graph, constants: Constants | None = None, apart: Container[int] = ()) -> Logical:
    """Values and operations of a graph.

    Args:
        graph: to read.
        constants: of it.
        apart: indices of nodes that stand for themselves, even where others compute the same.
    """
    builder = _Builder(Logical(graph, constants or Constants(graph)), apart)
    return builder.run()


class _Builder:
    def __init__(self, logical: Logical, apart: Container[int]) -> None:
        self.logical, self.apart = logical, apart
        self.graph = logical.graph
        self.constants = logical.constants
        self.seen: dict[Any, Op] = {}

    def run(self) -> Logical:
        for name in self.graph.inputs:
            self._new_value(name, None)
        for node in self.graph.nodes:
            if any(name and name not in self.constants for name in node.outputs):
                self._add(node)
        for name in self.graph.outputs:
            value = self.logical.of_tensor.get(name)
            if value is not None:
                value.outputs.append(name)
                value.readers[name] = value.readers.get(name, 0) + 1
        return self.logical

    def _add(self, node: Node) -> None:
        value = self.logical.of_tensor.get(node.inputs[0]) if node.inputs else None
        if self._is_plumbing(node):
            return
        if value is not None and self._same_value(node, value):
            return
        if self._finishes_accumulator(node):
            return
        self._add_op(node)

    # Tensors that serve quantization only.

    def _is_plumbing(self, node: Node) -> bool:
        plumbing = self.logical.plumbing
        dynamic = [name for name in node.reads if name not in self.constants]
        if not dynamic or not all(name in plumbing for name in dynamic):
            return False
        plumbing.update({name: plumbing[dynamic[0]] for name in node.outputs if name})
        return True

    # Tensors that hold a value already known.

    def _same_value(self, node: Node, value: Value) -> bool:
        source, out = node.inputs[0], node.outputs[0]
        if node.op in NEUTRAL or self._is_float_cast(node):
            self._member(value, node, source, value.quantizers.get(source))
        elif node.op == "DynamicQuantizeLinear":
            self._member(value, node, source, None)
            value.codes[out] = None
            phrase = "parameter of a dynamic quantization"
            self.logical.plumbing.update(dict.fromkeys(node.outputs[1:], phrase))
        elif node.op in QUANTIZE_OPS:
            quantizer = linear_quantizer(self.constants, node)
            self._member(value, node, source, quantizer)
            value.codes[out] = quantizer
        elif node.op in DEQUANTIZE_OPS and not value.accumulator:
            self._dequantized(node, value)
        elif node.op == "Clip" and source in value.codes:
            quantizer = self._narrowed(node, value.codes[source])
            self._member(value, node, source, quantizer)
            value.codes[out] = quantizer
        elif node.op in FAKE_QUANTIZE_OPS:
            self._member(value, node, source, qonnx_quantizer(self.constants, node))
        else:
            return False
        return True

    def _member(self, value: Value, node: Node, source: str, quantizer: Quantizer | None) -> None:
        out = node.outputs[0]
        value.paths[out] = (*value.paths[source], node.index)
        value.quantizers[out] = quantizer
        self.logical.of_tensor[out] = value

    def _is_float_cast(self, node: Node) -> bool:
        if node.op != "Cast":
            return False
        source = self.graph.type_of(node.inputs[0]).elem_type
        return source in FLOAT_TYPES and node.attributes.get("to") in FLOAT_TYPES

    def _dequantized(self, node: Node, value: Value) -> None:
        source = node.inputs[0]
        if source not in value.codes:  # integer input of the graph, or of an operator on integers
            value.codes[source] = value.quantizers[source] = linear_quantizer(self.constants, node)
        self._member(value, node, source, value.codes[source])

    def _narrowed(self, node: Node, quantizer: Quantizer | None) -> Quantizer | None:
        low, high = (
            self.constants.value(name) if name else None for name in (*node.inputs[1:3], "", "")[:2]
        )
        if quantizer is None:
            return None
        return replace(
            quantizer,
            low=quantizer.low if low is None else int(low),
            high=quantizer.high if high is None else int(high),
        )

    # Integer sums that a cast and a multiplication turn into real numbers.

    def _finishes_accumulator(self, node: Node) -> bool:
        found = [self.logical.of_tensor[n] for n in node.inputs if n in self.logical.of_tensor]
        value = found[0] if len(found) == 1 else None
        if value is None or not value.accumulator:
            return False
        if node.op not in ("Cast", "Mul", "AscendDequant", "DequantizeLinear"):
            return False
        self.logical.plumbing.update(dict.fromkeys(value.paths, "integer accumulator"))
        value.raw = out = node.outputs[0]
        value.type = self.graph.type_of(out)
        value.paths, value.codes, value.quantizers = {out: ()}, {}, {out: None}
        self.logical.of_tensor[out] = value
        value.accumulator = node.op == "Cast"
        if node.op == "Mul":
            self._set_weight_scale(node, value)
        elif node.op == "AscendDequant":
            self._set_ascend_scales(node, value)
        return True

    def _set_ascend_scales(self, node: Node, value: Value) -> None:
        """AMCT keeps ``input scale x weight scale`` as float32 bits in a uint64 per channel."""
        packed = self.constants.value(node.inputs[1])
        consts = value.op.consts if value.op is not None else []
        source = self.logical.of_tensor.get(value.op.node.inputs[0]) if value.op else None
        data = source.codes.get(value.op.node.inputs[0]) if source and value.op else None
        if packed is None or data is None or not consts:
            return
        product = packed.reshape(-1).astype(np.uint32).view(np.float32)
        scale = product / data.scale if product.size > 1 else (product / data.scale).reshape(())
        zero = np.zeros(scale.shape, np.int64)
        axis = _weight_axis(value.op.node, consts[0].shape) if value.op and scale.ndim else None
        consts[0].quantizer = Quantizer("int8", scale, zero, axis, -128, 127)
        if len(consts) > 1:
            consts[1].quantizer = bias_quantizer(product)

    def _set_weight_scale(self, node: Node, value: Value) -> None:
        """The product ``input scale x weight scale`` tells the weight's scale."""
        product = next((n for n in node.inputs if n in self.logical.plumbing), "")
        maker = self.graph.producer.get(product)
        weight = value.op.consts[0] if value.op and value.op.consts else None
        if maker is None or weight is None or weight.quantizer is None or value.op is None:
            return
        scale = next((n for n in maker.inputs if n in self.constants), "")
        inputs = (*value.op.node.inputs, "", "")
        axis = 0 if value.op.family == "Conv" else max(len(weight.shape or ()) - 1, 0)
        made = make_quantizer(self.constants, scale, inputs[3], weight.quantizer.dtype, axis)
        weight.quantizer = made or weight.quantizer

    # Operations.

    def _add_op(self, node: Node) -> None:
        family = family_of(node.op)
        inputs = self._operands(node)
        op = Op(len(self.logical.ops), family, node, inputs, _params(self.constants, node))
        key = None if node.index in self.apart else _key(op)
        twin = self.seen.get(key) if key is not None else None
        self._outputs(op, twin)
        self._read(op, register=twin is None)
        if twin is not None:
            twin.repeats.append(node.index)
        else:
            self.logical.ops.append(op)
            if key is not None:
                self.seen[key] = op

    def _operands(self, node: Node) -> tuple[Value | Const | None, ...]:
        if node.op == "MatMulNBits":
            weight = PackedConst(node.inputs[1], self.constants, node=node)
            return (self._operand(node, Operand(0)), weight)
        layout = code_op(node)
        if layout is not None:
            operands = tuple(self._operand(node, operand) for operand in layout.operands)
            self._scale_bias(node, layout, operands)
            return operands
        skipped = PARAMETER_INPUTS.get(node.op, ())
        count = 1 if skipped and node.op != "Concat" else len(node.inputs)
        plain = [self._operand(node, Operand(slot)) for slot in range(count)]
        return (*plain, *(self._of(name) for name in node.outer_inputs))

    def _scale_bias(
        self, node: Node, layout: CodeOp, operands: tuple[Value | Const | None, ...]
    ) -> None:
        """An int32 bias has the product of the operands' scales."""
        bias = operands[2] if len(operands) > 2 else None
        if not isinstance(bias, Const) or self.graph.type_of(bias.tensor).dtype != "int32":
            return
        slots = [operand.scale for operand in layout.operands[:2]]
        scales = [self.constants.value(node.inputs[slot]) for slot in slots if slot >= 0]
        if len(scales) == 2 and scales[0] is not None and scales[1] is not None:
            product = (scales[0].reshape(-1) * scales[1].reshape(-1)).astype(np.float32)
            bias.quantizer = bias_quantizer(product)

    def _of(self, tensor: str) -> Value | Const | None:
        if not tensor or tensor in self.logical.plumbing:
            return None
        if tensor in self.constants:
            return Const(tensor, self.constants)
        value = self.logical.of_tensor.get(tensor)
        return value.root if value is not None else None

    def _operand(self, node: Node, operand: Operand) -> Value | Const | None:
        inputs = (*node.inputs, *[""] * 12)
        found = self._of(inputs[operand.slot])
        if isinstance(found, Const):
            kind = self.graph.type_of(found.tensor).dtype
            if operand.scale >= 0:
                scale, zero = inputs[operand.scale], inputs[operand.zero]
                axis = _weight_axis(node, found.shape)
                found.quantizer = make_quantizer(self.constants, scale, zero, kind, axis)
            elif node.op in INTEGER_ACCUMULATORS:
                found.quantizer = self._unscaled(inputs[operand.slot + 2], kind)
        return found

    def _unscaled(self, zero_point: str, dtype: str) -> Quantizer:
        zero = self.constants.value(zero_point) if zero_point else None
        zero = np.zeros((), np.int64) if zero is None else zero.reshape(-1)[:1].reshape(())
        return Quantizer(dtype, np.ones((), np.float32), zero.astype(np.int64), None, 0, 0)

    def _outputs(self, op: Op, twin: Op | None) -> None:
        for slot, name in enumerate(op.node.outputs):
            if not name:
                op.outputs.append(None)
                continue
            value = self._new_value(name, op)
            value.accumulator = self._accumulates(op)
            is_codes, quantizer = self._result_codes(op)
            if (is_codes and slot == 0) or (is_codes and op.node.op in KEEPS_CODES):
                value.codes[name] = value.quantizers[name] = quantizer
            repeated = twin.outputs[slot] if twin is not None else None
            value.root = repeated.root if repeated is not None else value
            op.outputs.append(value)

    def _accumulates(self, op: Op) -> bool:
        if op.node.op in INTEGER_ACCUMULATORS:
            return True
        source = self.logical.of_tensor.get(op.node.inputs[0]) if op.node.inputs else None
        if source is None or op.node.op not in WEIGHTED:
            return False
        return op.node.inputs[0] in source.codes  # AMCT: Conv on codes, AscendDequant behind it

    def _result_codes(self, op: Op) -> tuple[bool, Quantizer | None]:
        layout = code_op(op.node)
        inputs = (*op.node.inputs, *[""] * 12)
        if layout is not None:
            if layout.out_scale < 0 or not inputs[layout.out_scale]:
                return False, None
            kind = self.graph.type_of(op.node.outputs[0]).dtype
            scale, zero = inputs[layout.out_scale], inputs[layout.out_zero]
            return True, make_quantizer(self.constants, scale, zero, kind)
        source = self.logical.of_tensor.get(inputs[0])
        if source is None or inputs[0] not in source.codes:
            return False, None
        kept = op.node.op in KEEPS_CODES or op.node.op == "Relu"
        return kept, source.codes[inputs[0]]

    def _read(self, op: Op, register: bool) -> None:
        tensors = {*op.node.inputs, *op.node.outer_inputs}
        for name in tensors:
            value = self.logical.of_tensor.get(name)
            if value is not None:
                value.readers[name] = value.readers.get(name, 0) + 1
        for slot, operand in enumerate(op.inputs):
            if register and isinstance(operand, Value):
                operand.consumers.append((op, slot))

    def _new_value(self, tensor: str, op: Op | None) -> Value:
        kind = self.graph.type_of(tensor)
        value = Value(len(self.logical.values), tensor, op, kind, {tensor: ()})
        value.quantizers[tensor] = None
        self.logical.values.append(value)
        self.logical.of_tensor[tensor] = value
        return value


def _weight_axis(node: Node, shape: tuple[int, ...] | None) -> int:
    """Output-channel axis of a weight whose scale has several entries."""
    if "Conv" in node.op or not shape:
        return 0
    if node.attributes.get("transB", 0):
        return 0
    return len(shape) - 1


_NEUTRAL_DEFAULTS: dict[str, Any] = {
    "group": 1,
    "auto_pad": "NOTSET",
    "alpha": 1.0,
    "beta": 1.0,
    "transA": 0,
    "transB": 0,
    "ceil_mode": 0,
    "storage_order": 0,
    "keepdims": 1,
    "allowzero": 0,
}
_NOT_PARAMETERS = frozenset({"to", "value", "channels_last", "activation", "activation_params"})


def _params(constants: Constants, node: Node) -> dict[str, Any]:
    found = {
        k: _plain(v)
        for k, v in node.attributes.items()
        if k not in _NOT_PARAMETERS and _NEUTRAL_DEFAULTS.get(k) != v
    }
    names = PARAMETER_INPUTS.get(node.op, ())
    for name, tensor in zip(names, node.inputs[1:], strict=False):
        value = constants.value(tensor) if tensor else None
        if value is not None and value.size:
            found[name] = _plain(value)
    if node.op == "Relu":
        found["min"] = 0.0
    for key, neutral in (("pads", 0), ("strides", 1), ("dilations", 1)):
        if key in found and all(item == neutral for item in np.ravel(found[key])):
            del found[key]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        items = value.reshape(-1).tolist()
        return items[0] if value.size == 1 else items[:64]
    if isinstance(value, onnx.GraphProto | onnx.TensorProto):
        return id(value)
    return value


def _key(op: Op) -> Any:
    """Equal for operations that compute the same; None where that cannot be said."""
    if op.node.op in RANDOM_OPS or op.node.outer_inputs:
        return None
    if op.family in WEIGHTED_FAMILIES and op.consts:
        return None  # equal weights, all zero for instance, may be the fault that is looked for
    operands = [_operand_key(operand) for operand in op.inputs]
    if op.family in COMMUTATIVE_FAMILIES:
        operands.sort(key=repr)
    to = op.node.attributes.get("to")
    return (op.family, op.node.op, repr(sorted(op.params.items())), to, tuple(operands))


def _operand_key(operand: Value | Const | None) -> Any:
    if operand is None:
        return None
    if isinstance(operand, Value):
        return operand.root.index
    shape = operand.shape
    if shape is None or int(np.prod(shape)) > _BY_CONTENT or isinstance(operand, PackedConst):
        return operand.tensor
    value = operand.read()
    return operand.tensor if value is None else (str(value.dtype), value.shape, value.tobytes())
