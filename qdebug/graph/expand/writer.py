"""Writes the QDQ form of a graph with operators on codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdebug.graph.expand.expansion import Expansion
from qdebug.graph.expand.forms import FloatForm, float_form
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import KEEPS_CODES, NEUTRAL
from qdebug.graph.pairing.ops import CodeOp, Operand, code_op

_MICROSOFT = "com.microsoft"
_WIDE = ("uint16", "int16", "uint4", "int4")
_WIDE_OPSET, _AXIS_OPSET = 21, 13
"""Operator sets from which on ONNX's own quantizers know these types, and scales per channel."""
_CODES_SUFFIX = "_quantized"
"""What ONNX Runtime's quantizer appends to a tensor's name for its codes."""


def expand(graph: Graph) -> Expansion:
    """The QDQ graph that computes what a graph with operators on codes computes.

    Each ``QLinear...`` operator and ``QGemm`` becomes ``DequantizeLinear``, the operator on real
    numbers, ``QuantizeLinear``, with the very same scale and zero point tensors; an operator that
    moves or picks codes gets the same pair around it. Names of tensors and nodes stay. The values
    agree as far as ONNX Runtime's integer kernels round as real arithmetic does: up to single codes
    in each layer, which add up with depth.

    Args:
        graph: any graph; one without operators on codes comes back as it is. It is not changed.

    Returns:
        The expansion. An operator without a float form here (``QAttention``, layouts that
        optimizers write, scales computed while running) stays as it is and is told in ``left``.
    """
    return _Writer(graph).expansion()


@dataclass(frozen=True)
class _Parameters:
    """Names of a scale and a zero point (empty for none), and the axis of several scales."""

    scale: str
    zero: str
    axis: int | None = None


class _Writer:
    """Writes one graph; see ``expand``."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self.types: list[onnx.ValueInfoProto] = []
        self.coded: dict[str, _Parameters] = {}
        self.real: dict[str, str] = {}
        self.read: dict[str, str] = {}
        self.known: dict[tuple[str, _Parameters], str] = {}
        self.left: list[str] = []
        self.needs_microsoft = self.is_expanded = False
        self.taken = {*graph.inputs, *graph.initializers, *graph.producer}
        self.labels = {node.name for node in graph.nodes}

    def expansion(self) -> Expansion:
        for node in self.graph.nodes:
            self._add(node)
        if not self.is_expanded:
            return Expansion(self.graph, self.graph, {}, {}, tuple(self.left))
        graph = Graph(self._model(), self.graph.path, self.graph.sha256, self.graph.files)
        return Expansion(self.graph, graph, self.real, self.read, tuple(self.left))

    def _model(self) -> onnx.ModelProto:
        before = self.graph.proto
        graph = helper.make_graph(
            self.nodes,
            before.graph.name,
            before.graph.input,
            before.graph.output,
            [*before.graph.initializer, *self.constants],
            value_info=[*before.graph.value_info, *self.types],
            sparse_initializer=before.graph.sparse_initializer,
        )
        opsets = list(before.opset_import)
        if self.needs_microsoft and all(o.domain != _MICROSOFT for o in opsets):
            opsets.append(helper.make_opsetid(_MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = before.ir_version
        model.metadata_props.extend(before.metadata_props)
        return model

    # Nodes.

    def _add(self, node: Node) -> None:
        layout = code_op(node)
        if layout is not None:
            if self._expanded(node, layout):
                return
            self._leave(node, layout)
        elif node.op == "QuantizeLinear":
            self.coded[node.outputs[0]] = self._written(node)
        elif node.op in KEEPS_CODES and self._reads_codes(node) and self._moved(node):
            return
        self.nodes.append(node.proto)

    def _written(self, node: Node) -> _Parameters:
        """What a ``QuantizeLinear`` of the graph writes its codes with."""
        axis = None if _elements(self.graph, _at(node, 1)) == 1 else node.attributes.get("axis", 1)
        return _Parameters(_at(node, 1), _at(node, 2), axis)

    def _leave(self, node: Node, layout: CodeOp) -> None:
        """Keep an operator on codes that has no float form; its result is in codes all the same."""
        if layout.out_scale < 0:
            return
        result = self._result(node, layout)
        if result.scale:
            self.left.append(node.label)
            self.coded[node.outputs[0]] = result

    def _expanded(self, node: Node, layout: CodeOp) -> bool:
        """Write the float form of an operator on codes, where it has one."""
        form = float_form(self.graph, node)
        if form is None:
            return False
        parameters = [self._of_operand(node, operand) for operand in layout.operands]
        if any(p is None for p in parameters):
            return False
        scales = [p for p in parameters if isinstance(p, _Parameters)]
        inputs = []
        for operand, found in zip(layout.operands, parameters, strict=True):
            tensor = _at(node, operand.slot)
            if isinstance(found, _Parameters):
                inputs.append(self._real(tensor, found, node))
            elif tensor and operand.slot and len(scales) == 2 and self._is_bias(tensor):
                bias = self._bias(node, tensor, scales)
                if bias is None:
                    return False
                inputs.append(bias)
            else:
                inputs.append(tensor)
        self._write(node, form, [*inputs, *self._axes(node, form)], self._result(node, layout))
        return True

    def _write(
        self, node: Node, form: FloatForm, inputs: Sequence[str], result: _Parameters
    ) -> None:
        """One float operator and the quantizer of its result, if it has one."""
        self.is_expanded = True
        codes = node.outputs[0]
        out = self._real_name(codes) if result.scale else codes
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(
            helper.make_node(form.op, list(inputs), [out], name=node.name, **form.attributes)
        )
        if result.scale:
            self._quantize(out, codes, result, node)

    def _moved(self, node: Node) -> bool:
        """Write an operator that moves codes on real numbers, between quantizers."""
        parameters = self.coded[node.inputs[0]]
        codes = [name for name in node.outputs if name]
        self.coded.update(dict.fromkeys(codes, parameters))
        if not self._can_move(node, parameters):
            return False
        joined = node.inputs if node.op == "Concat" else node.inputs[:1]
        renames = {name: self._real(name, self.coded[name], node) for name in joined}
        copy = onnx.NodeProto()
        copy.CopyFrom(node.proto)
        for slot, name in enumerate(node.inputs):
            if slot < len(joined):
                copy.input[slot] = renames[name]
        if node.op == "Pad" and _at(node, 2):
            copy.input[2] = self._real(node.inputs[2], parameters, node)
        for slot, name in enumerate(node.outputs):
            if name:
                copy.output[slot] = self._real_name(name)
        self.nodes.append(copy)
        for name in codes:
            self._quantize(self.real[name], name, parameters, node)
        return True

    def _reads_codes(self, node: Node) -> bool:
        return bool(node.inputs) and node.inputs[0] in self.coded

    def _can_move(self, node: Node, parameters: _Parameters) -> bool:
        if node.domain not in ("", "ai.onnx") or parameters.axis is not None:
            return False
        if node.op in NEUTRAL:  # codes go on as they are
            return False
        if node.op == "MaxPool" and len([name for name in node.outputs if name]) > 1:
            return False  # its second output are places, not codes
        if node.op == "Pad":  # without a value it pads with code 0, whatever that stands for
            constant = node.attributes.get("mode", "constant") == "constant"
            return not constant or bool(_at(node, 2))
        if node.op == "Concat":
            return all(self.coded.get(name) == parameters for name in node.inputs)
        return True

    # Operands.

    def _of_operand(self, node: Node, operand: Operand) -> _Parameters | str | None:
        """Parameters of an operand, or its name where it holds real numbers or a bias.

        None where the parameters cannot be written.
        """
        tensor = _at(node, operand.slot)
        if operand.scale < 0 or not tensor:
            return tensor
        scale, zero = _at(node, operand.scale), _at(node, operand.zero)
        if _elements(self.graph, scale) == 1:
            return _Parameters(scale, zero)
        shape = self.graph.type_of(tensor).shape
        if shape is None or len(_shape(self.graph, scale) or ()) != 1:
            return None
        return _Parameters(scale, zero, _channel_axis(node, len(shape)))

    def _result(self, node: Node, layout: CodeOp) -> _Parameters:
        if layout.out_scale < 0:
            return _Parameters("", "")
        return _Parameters(_at(node, layout.out_scale), _at(node, layout.out_zero))

    def _real(self, codes: str, parameters: _Parameters, reader: Node) -> str:
        """Real numbers of codes, behind a ``DequantizeLinear`` that is written once.

        It is labelled by the node that reads them first, which holds its parameters.
        """
        key = (codes, parameters)
        if key not in self.known:
            name = self._free(f"{codes.removesuffix(_CODES_SUFFIX)}_DequantizeLinear_Output")
            label = f"{reader.label} (input {reader.inputs.index(codes)})"
            self._linear("DequantizeLinear", codes, name, parameters, label)
            self.known[key] = name
            self.read.setdefault(codes, name)
            self._note(name, codes)
        return self.known[key]

    def _quantize(self, real: str, codes: str, parameters: _Parameters, maker: Node) -> None:
        self.coded[codes] = parameters
        label = f"{maker.label} (output)"
        self._linear("QuantizeLinear", real, codes, parameters, label)

    def _real_name(self, codes: str) -> str:
        base = codes.removesuffix(_CODES_SUFFIX)
        name = base if base not in self.taken else f"{base}_QuantizeLinear_Input"
        self.real[codes] = self._free(name)
        self._note(self.real[codes], codes)
        return self.real[codes]

    def _linear(
        self, op: str, source: str, target: str, parameters: _Parameters, label: str
    ) -> None:
        attributes: dict[str, Any] = {}
        if parameters.axis is not None:
            attributes["axis"] = parameters.axis
        inputs = [source, parameters.scale, *([parameters.zero] if parameters.zero else [])]
        kind = self.graph.type_of(parameters.zero).dtype if parameters.zero else ""
        wide = kind in _WIDE and self.graph.opset < _WIDE_OPSET
        foreign = wide or (bool(attributes) and self.graph.opset < _AXIS_OPSET)
        self.needs_microsoft |= foreign
        domain = _MICROSOFT if foreign else ""
        self.nodes.append(
            helper.make_node(
                op, inputs, [target], name=self._label(label), domain=domain, **attributes
            )
        )

    # An int32 bias has the product of the operands' scales.

    def _is_bias(self, tensor: str) -> bool:
        return self.graph.type_of(tensor).dtype == "int32"

    def _bias(self, node: Node, tensor: str, operands: Sequence[_Parameters]) -> str | None:
        scales = [self.graph.constant(p.scale) for p in operands]
        shape = self.graph.type_of(tensor).fixed_shape
        if scales[0] is None or scales[1] is None or not shape:
            return None
        product = scales[0].reshape(-1) * scales[1].reshape(-1)
        product = product * np.float32(node.attributes.get("alpha", 1.0))
        several = product.size > 1
        scale = self._constant(
            f"{node.outputs[0]}_bias_scale", product if several else product.reshape(())
        )
        axis = len(shape) - 1 if several else None
        return self._real(tensor, _Parameters(scale, "", axis), node)

    def _axes(self, node: Node, form: FloatForm) -> list[str]:
        if form.axes is None:
            return []
        return [self._constant(f"{node.outputs[0]}_axes", np.asarray(form.axes, np.int64))]

    # Names.

    def _constant(self, wanted: str, value: Any) -> str:
        name = self._free(wanted)
        value = np.asarray(value)
        kept = value.astype(np.float32) if value.dtype.kind == "f" else value
        self.constants.append(numpy_helper.from_array(kept, name))
        return name

    def _free(self, wanted: str) -> str:
        name = _unlike(wanted, self.taken)
        self.taken.add(name)
        return name

    def _label(self, wanted: str) -> str:
        name = _unlike(wanted, self.labels)
        self.labels.add(name)
        return name

    def _note(self, real: str, codes: str) -> None:
        """The type of real numbers is known where the shape of their codes is."""
        shape = self.graph.type_of(codes).shape
        if shape is not None:
            self.types.append(helper.make_tensor_value_info(real, TensorProto.FLOAT, shape))


def _unlike(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def _at(node: Node, slot: int) -> str:
    return node.inputs[slot] if 0 <= slot < len(node.inputs) else ""


def _elements(graph: Graph, tensor: str) -> int:
    """Elements of a scale: one where its shape is not known, as the operators define it."""
    return math.prod(_shape(graph, tensor) or ())


def _shape(graph: Graph, tensor: str) -> tuple[int, ...] | None:
    known = graph.type_of(tensor).fixed_shape
    if known is not None:
        return known
    value = graph.constant(tensor)
    return None if value is None else value.shape


def _channel_axis(node: Node, rank: int) -> int:
    """Axis of a weight's scales, by ONNX's definition: its output channels."""
    if node.op == "QLinearConv":
        return 0
    return 0 if node.attributes.get("transB", 0) else rank - 1
