"""The fake-quantized twin: a float graph with encodings written into it as Q and DQ nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from qdebug.encodings import opsets
from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.placing import Placement, fused_into, place
from qdebug.encodings.rest import Rest, left_over
from qdebug.encodings.rules import DECLARED, Rules
from qdebug.encodings.weights import Coded, code, output_axis, rounded
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import WEIGHTED
from qdebug.graph.qparams import code_range
from qdebug.graph.rewrite import reads_of, renamed
from qdebug.graph.shapes import infer_types
from qdebug.graph.simplify import simplified

Array = npt.NDArray[Any]

QUANTIZED, DEQUANTIZED = "_QuantizeLinear_Output", "_DequantizeLinear_Output"
BEFORE = "_QuantizeLinear_Input"
"""Suffixes of the tensors that are added, as ONNX Runtime's quantizer names them."""
_BIAS_SLOT = 2


@dataclass(frozen=True)
class Application:
    """Encodings on a float graph.

    Attributes:
        model: the twin, with shapes; external weights stay where the float model has them.
        placements: one for each entry, in their order.
        rest: what becomes of the tensors that no entry speaks of.
    """

    model: onnx.ModelProto
    placements: tuple[Placement, ...]
    rest: tuple[Rest, ...]

    @property
    def placed(self) -> int:
        """Entries that found their place."""
        return sum(item.target is not None for item in self.placements)

    def reasons(self) -> Counter[str]:
        """Why entries are not used, with their numbers."""
        return Counter(item.reason for item in self.placements if item.reason)


def apply_encodings(
    model: onnx.ModelProto,
    encodings: Encodings,
    rules: Rules = DECLARED,
    folder: str | Path = "",
) -> Application:
    """Write encodings into a float graph.

    A tensor with an entry goes through QuantizeLinear and DequantizeLinear behind the node that
    makes it; a weight becomes its codes behind DequantizeLinear. What has no entry is as the rules
    have it. The model that is given is not changed.

    Args:
        model: the float model, its functions inlined.
        encodings: what is known.
        rules: what the toolchain does besides.
        folder: where external weights of the model lie.

    Raises:
        ModelError: the model is not well formed.
    """
    folder = Path(folder)
    graph, placements = _base(model, encodings, rules, folder)
    kinds = [item.entry.encoding for item in placements if item.is_used]
    proto, domain = opsets.raised(graph.proto, opsets.needed_opset(kinds))
    if proto is not graph.proto:
        graph = _indexed(proto, folder)
    twin = _Twin(graph, placements, rules, domain)
    return Application(twin.build(), placements, left_over(graph, placements, rules))


def _base(
    model: onnx.ModelProto, encodings: Encodings, rules: Rules, folder: Path
) -> tuple[Graph, tuple[Placement, ...]]:
    """The float graph to write into: as it is or simplified, where more entries find a place."""
    tries: list[tuple[Graph, tuple[Placement, ...]]] = []
    for wanted in (rules.simplify, not rules.simplify):
        if tries and all(item.target is not None for item in tries[0][1]):
            break
        proto = simplified(model, folder) if wanted else model
        if proto is None:
            continue
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        if rules.rewrite is not None:
            copy = rules.rewrite(copy, encodings)
        graph = _indexed(copy, folder)
        tries.append((graph, place(graph, encodings, rules)))
    return max(tries, key=lambda one: sum(item.target is not None for item in one[1]))


def _indexed(proto: onnx.ModelProto, folder: Path) -> Graph:
    graph = Graph(proto, folder / "float", "")
    graph.types = infer_types(graph)
    return graph


class _Twin:
    """One twin being written."""

    def __init__(
        self, graph: Graph, placements: Sequence[Placement], rules: Rules, domain: str
    ) -> None:
        self.graph, self.rules, self.domain = graph, rules, domain
        self.tensors: dict[str, list[Entry]] = {}
        self.constants: dict[str, Entry] = {}
        self.float_nodes: set[str] = set()
        for item in placements:
            if item.is_used:
                self._take(item)
        self.nodes: list[onnx.NodeProto] = []
        self.new: dict[str, onnx.TensorProto] = {}
        self.read_as: dict[tuple[str, str], str] = {}
        """What a node reads instead of a tensor, by tensor and label; for all: an empty label."""
        self.scales: dict[str, Encoding] = {}
        """Encodings of the tensors that nodes read, by the tensor's name in the twin."""
        self.weights: dict[tuple[str, str], tuple[str, Encoding]] = {}

    def _take(self, item: Placement) -> None:
        assert item.target is not None
        encoding = item.entry.encoding
        if item.entry.kind == "node":
            if encoding.is_float:
                self.float_nodes |= self._computed_with(item.target)
        elif self.graph.is_constant(item.target):
            self.constants[item.target] = item.entry
        elif encoding.is_linear:
            self.tensors.setdefault(item.target, []).append(item.entry)

    def _computed_with(self, label: str) -> set[str]:
        """A node, and the product before it where the node is an activation fused with that."""
        found = {label}
        node = next(node for node in self.graph.nodes if node.label == label)
        for tensor in node.inputs:
            maker = self.graph.producer.get(tensor)
            if maker is not None and fused_into(self.graph, self.rules, tensor) is not None:
                found.add(maker.label)
        return found

    def build(self) -> onnx.ModelProto:
        """The whole twin."""
        for tensor in self.graph.inputs:
            self._quantize(tensor, tensor)
        for node in self.graph.nodes:
            self._add(node)
        proto = self.graph.proto
        kept = onnx.ModelProto()
        kept.CopyFrom(proto)
        del kept.graph.node[:]
        del kept.graph.value_info[:]
        kept.graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in reads_of(node)}
        read |= {output.name for output in kept.graph.output}
        constants = [t for t in kept.graph.initializer if t.name in read]
        del kept.graph.initializer[:]
        kept.graph.initializer.extend([*constants, *self.new.values()])
        if any(node.domain == opsets.MICROSOFT for node in self.nodes):
            opsets.with_own(kept)
        kept_inputs = [i for i in kept.graph.input if i.name not in self.graph.initializers]
        del kept.graph.input[:]
        kept.graph.input.extend(kept_inputs)
        return _with_shapes(kept)

    def _add(self, node: Node) -> None:
        copy = onnx.NodeProto()
        outer = {tensor: self._read(tensor, node.label) for tensor in node.outer_inputs}
        copy.CopyFrom(renamed(node.proto, outer))
        for slot, tensor in enumerate(node.inputs):
            copy.input[slot] = self._operand(node, slot, tensor, copy)
        raw = list(node.outputs)
        self.nodes.append(copy)
        for slot, tensor in enumerate(node.outputs):
            if tensor in self.tensors and self._replaces_output(tensor):
                raw[slot] = copy.output[slot] = tensor + BEFORE
        for slot, tensor in enumerate(node.outputs):
            if tensor:
                self._quantize(tensor, raw[slot])

    def _replaces_output(self, tensor: str) -> bool:
        """Whether the quantized value takes the name: it is an output of the model, in codes."""
        in_codes = tensor in self.graph.outputs and not self._is_made_in_float(tensor)
        return in_codes and any(not e.readers for e in self.tensors[tensor])

    def _is_made_in_float(self, tensor: str) -> bool:
        maker = self.graph.producer.get(tensor)
        return maker is not None and maker.label in self.float_nodes

    def _is_read_in_codes(self, tensor: str) -> bool:
        """Whether anything takes codes of a tensor: float nodes hand real numbers on."""
        if not self._is_made_in_float(tensor):
            return True
        return any(n.label not in self.float_nodes for n in self.graph.readers.get(tensor, ()))

    def _read(self, tensor: str, label: str) -> str:
        """What a node reads in the place of a tensor."""
        return self.read_as.get((tensor, label)) or self.read_as.get((tensor, ""), tensor)

    def _quantize(self, tensor: str, raw: str) -> None:
        """Add Q and DQ behind a tensor, for each of its entries, where anything reads codes."""
        if tensor in self.tensors and not self._is_read_in_codes(tensor):
            return
        for number, entry in enumerate(self.tensors.get(tensor, ())):
            stem = f"{tensor}_{number}" if number else tensor
            whole = self._replaces_output(tensor) and not entry.readers
            out = tensor if whole else stem + DEQUANTIZED
            self._pair(raw, stem, out, entry.encoding)
            self.scales[out] = entry.encoding
            for label in entry.readers or ("",):
                self.read_as[tensor, label] = out
        if self.float_nodes and tensor in self.tensors:
            self._let_float_read_raw(tensor, raw)

    def _let_float_read_raw(self, tensor: str, raw: str) -> None:
        """A float node that reads a float node's result reads it before it is quantized."""
        maker = self.graph.producer.get(tensor)
        if maker is None or maker.label in self.float_nodes:
            for reader in self.graph.readers.get(tensor, ()):
                if reader.label in self.float_nodes and maker is not None:
                    self.read_as[tensor, reader.label] = raw

    def _pair(self, source: str, stem: str, out: str, encoding: Encoding) -> None:
        quantizer = encoding.quantizer(_channel_axis(self.graph, source))
        axis: dict[str, Any] = {} if quantizer.axis is None else {"axis": quantizer.axis}
        if quantizer.block_size:
            axis["block_size"] = quantizer.block_size
        scale = self._constant(f"{stem}_scale", quantizer.scale)
        zero = self._constant(f"{stem}_zero_point", _typed(quantizer.zero_point, encoding.dtype))
        codes = stem + QUANTIZED
        source = self._narrowed(source, stem, encoding)
        domain = opsets.domain_of(encoding.dtype, self.graph.opset, self.domain)
        axis["domain"] = domain
        self._emit("QuantizeLinear", [source, scale, zero], codes, f"{stem}_QuantizeLinear", **axis)
        if encoding.dequantize_scale is not None:
            scale = self._constant(f"{stem}_dequantize_scale", encoding.dequantize_scale)
            one = np.zeros((), np.int64)
            zero = self._constant(f"{stem}_dequantize_zero_point", _typed(one, encoding.dtype))
            axis = {"domain": domain}
        self._emit(
            "DequantizeLinear", [codes, scale, zero], out, f"{stem}_DequantizeLinear", **axis
        )

    def _narrowed(self, source: str, stem: str, encoding: Encoding) -> str:
        """The tensor without the values whose code a narrow type leaves out."""
        if not encoding.narrow or encoding.scale is None or encoding.scale.ndim:
            return source
        low, high = encoding.quantizer().real_range
        limits = [
            self._constant(f"{stem}_{which}", np.float32(value))
            for which, value in (("lowest", low), ("highest", high))
        ]
        return self._emit("Clip", [source, *limits], f"{stem}_clipped", f"{stem}_Clip", domain="")

    def _operand(self, node: Node, slot: int, tensor: str, copy: onnx.NodeProto) -> str:
        """What the twin of a node reads at a slot: a weight's codes, a quantized value, or it."""
        if not tensor or not self.graph.is_constant(tensor):
            return self._read(tensor, node.label)
        if tensor in self.constants:
            return self._coded_constant(node, slot, tensor)
        if node.op not in WEIGHTED or node.label in self.float_nodes:
            return tensor
        if slot == _BIAS_SLOT and node.op != "MatMul":
            return self._bias(node, tensor, copy)
        return self._ruled(node, slot, tensor)

    def _coded_constant(self, node: Node, slot: int, tensor: str) -> str:
        encoding = self.constants[tensor].encoding
        if node.label in self.float_nodes or not encoding.is_linear:
            return tensor
        value = self._value(tensor)
        quantizer = encoding.quantizer(output_axis(node, value.ndim) if slot else None)
        settled = Encoding.of(quantizer)
        codes = code(value, quantizer, self.rules.rounding, per_unit=encoding.per_unit)
        return self._stored(tensor, "", Coded(codes, settled))

    def _ruled(self, node: Node, slot: int, tensor: str) -> str:
        """A weight without an entry, by the toolchain's rule."""
        value = self._value(tensor)
        if self.rules.weights is None or value.dtype.kind != "f" or value.ndim < 2:
            return tensor
        axis = output_axis(node, value.ndim) if slot else 0
        return self._stored(tensor, f"{node.op}{axis}", self.rules.weights(value, node, axis))

    def _bias(self, node: Node, tensor: str, copy: onnx.NodeProto) -> str:
        """An int32 bias at the scale of input times weight, where both are known."""
        fed, weight = (self.scales.get(name) for name in copy.input[:2])
        if not self.rules.integer_bias or fed is None or weight is None:
            return tensor
        read_with = fed.scale if fed.dequantize_scale is None else fed.dequantize_scale
        value = self._value(tensor)
        if read_with is None or weight.scale is None or read_with.ndim or value.ndim != 1:
            return tensor
        if weight.scale.size not in (1, value.size):
            return tensor
        steps = read_with.astype(np.float64) * weight.scale.astype(np.float64)
        encoding = Encoding.linear("int32", steps, 0, 0)
        codes = np.clip(rounded(value / steps, self.rules.rounding), *code_range("int32"))
        return self._stored(tensor, node.label, Coded(codes.astype(np.int64), encoding))

    def _stored(self, tensor: str, tag: str, coded: Coded) -> str:
        """The dequantized constant; made once for each way in which it is read."""
        if (tensor, tag) in self.weights:
            return self.weights[tensor, tag][0]
        taken = any(name == tensor for name, _ in self.weights)
        stem = f"{tensor}_{len(self.weights)}" if taken else tensor
        codes = self._constant(f"{stem}_quantized", _typed(coded.codes, coded.encoding.dtype))
        quantizer = coded.encoding.quantizer()
        scale = self._constant(f"{stem}_scale", quantizer.scale)
        zero = self._constant(f"{stem}_zero_point", _typed(quantizer.zero_point, quantizer.dtype))
        axis: dict[str, Any] = {} if quantizer.axis is None else {"axis": quantizer.axis}
        axis["domain"] = opsets.domain_of(quantizer.dtype, self.graph.opset, self.domain)
        if quantizer.block_size:
            axis["block_size"] = quantizer.block_size
        out = stem + DEQUANTIZED
        self._emit(
            "DequantizeLinear", [codes, scale, zero], out, f"{stem}_DequantizeLinear", **axis
        )
        self.weights[tensor, tag] = out, coded.encoding
        self.scales[out] = coded.encoding
        return out

    def _value(self, tensor: str) -> Array:
        value = self.graph.constant(tensor)
        assert value is not None
        return value

    def _constant(self, name: str, value: Any) -> str:
        made = (
            value
            if isinstance(value, onnx.TensorProto)
            else numpy_helper.from_array(np.asarray(value))
        )
        made.name = name
        self.new[name] = made
        return name

    def _emit(self, op: str, inputs: Sequence[str], out: str, name: str, **attributes: Any) -> str:
        domain = attributes.pop("domain", self.domain)
        self.nodes.append(helper.make_node(op, inputs, [out], name, domain=domain, **attributes))
        return out


def _channel_axis(graph: Graph, tensor: str) -> int:
    """The axis on which the channels of an activation are: 1, or the last one of a matrix."""
    shape = graph.type_of(tensor.removesuffix(BEFORE)).shape
    return 1 if shape is None or len(shape) != 3 else len(shape) - 1


def _typed(codes: Array, dtype: str) -> onnx.TensorProto:
    """Codes as a tensor of an ONNX type; two of 4 bits share a byte."""
    kind = onnx.TensorProto.DataType.Value(dtype.upper())
    known = helper.tensor_dtype_to_np_dtype(kind)
    if known.kind in "iu":  # byte by byte: a negative number takes ten bytes in the other form
        return numpy_helper.from_array(codes.astype(known))
    return helper.make_tensor("", kind, codes.shape, codes.reshape(-1).tolist())


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that onnx can infer; as it is where it is too large for that."""
    if model.ByteSize() >= onnx.checker.MAXIMUM_PROTOBUF:
        return model
    if all(node.domain != opsets.MICROSOFT for node in model.graph.node):
        return onnx.shape_inference.infer_shapes(model)
    types = infer_types(Graph(model, Path("twin"), ""))
    outputs = {item.name for item in model.graph.output}
    made = [name for node in model.graph.node for name in node.output if name not in outputs]
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, types[name].elem_type, types[name].shape)
        for name in made
        if name in types and types[name].elem_type
    )
    return model
