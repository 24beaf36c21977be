"""Building the graphs that are run: a part of a model, with taps, switches and cuts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdebug.graph.model import Array, Graph, Node
from qdebug.graph.pairs import Quantizer, TensorForm

PREFIX = "qdebug/"
"""Prefix of every tensor name that qdebug adds; no model's own names begin so."""
_MAY_HOLD_GRAPHS = (
    onnx.AttributeProto.UNDEFINED,
    onnx.AttributeProto.GRAPH,
    onnx.AttributeProto.GRAPHS,
)
_MICROSOFT = "com.microsoft"
_WIDE = ("uint16", "int16", "uint4", "int4")
_NP_TYPES = {"uint8": np.uint8, "int8": np.int8, "uint16": np.uint16, "int16": np.int16}


class _Added(NamedTuple):
    """A node with what it reads and makes: to ask it for that takes as long as to add it.

    Attributes:
        node: to be added.
        reads: every tensor that it depends on.
        makes: its outputs; empty for one that is absent.
    """

    node: onnx.NodeProto
    reads: Collection[str]
    makes: Collection[str]


class PartBuilder:
    """Collects nodes of a graph, and nodes added to them, into a model of their own.

    Args:
        graph: where the nodes and constants come from.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._nodes: list[_Added] = []
        self._extra_constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: dict[str, None] = {}
        self._wide = False

    def add_nodes(self, nodes: Iterable[Node], rename: Mapping[str, str] | None = None) -> None:
        """Add nodes of the graph in execution order; inputs found in ``rename`` are replaced."""
        for node in nodes:
            reads = reads_of(node.proto) if node.outer_inputs else node.reads
            if rename and any(name in rename for name in reads):
                self.add_copy(renamed(node.proto, rename))
            else:
                self._nodes.append(_Added(node.proto, reads, node.outputs))

    def add_copy(self, node: onnx.NodeProto) -> None:
        """Add a node that was copied and changed."""
        self._nodes.append(_Added(node, reads_of(node), tuple(node.output)))

    def add_input(self, name: str, elem_type: int, shape: Sequence[int | str | None] | None) -> str:
        """Add a graph input."""
        self._inputs.append(helper.make_tensor_value_info(name, elem_type, shape))
        return name

    def add_output(self, name: str) -> None:
        """Make a tensor an output; ONNX Runtime infers its type."""
        self._outputs[name] = None

    def emit(
        self, op: str, inputs: Sequence[str], output: str, domain: str = "", **attr: Any
    ) -> str:
        """Add one new node with one output.

        Returns:
            The output's name.
        """
        node = helper.make_node(op, list(inputs), [output], name=output, domain=domain, **attr)
        self.add_copy(node)
        return output

    def constant(self, name: str, value: Array) -> str:
        """Add a constant."""
        self._extra_constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def decode(self, tensor: str, form: TensorForm, elem_type: int, tag: str) -> str:
        """The tensor as float32 in the float graph's layout.

        Args:
            tensor: of this graph.
            form: how it holds real values.
            elem_type: its ONNX element type.
            tag: makes the names of added tensors unique.
        """
        name = tensor
        if form.quantizer is not None:
            name = self.quantization("DequantizeLinear", name, form.quantizer, f"{tag}/dq")
        elif elem_type not in (TensorProto.FLOAT, 0):
            name = self.emit("Cast", [name], f"{PREFIX}{tag}/f32", to=TensorProto.FLOAT)
        if form.perm is not None:
            name = self.emit("Transpose", [name], f"{PREFIX}{tag}/t", perm=list(form.perm))
        return self._reshape(name, form.shape, f"{tag}/r")

    def encode(
        self, tensor: str, form: TensorForm, elem_type: int, shape: Sequence[int] | None, tag: str
    ) -> str:
        """A float32 tensor in the float graph's layout as this graph holds it; undoes ``decode``.

        Args:
            tensor: float32, float layout.
            form: target form.
            elem_type: target ONNX element type, where ``form`` has no quantizer.
            shape: target shape, needed where ``form.shape`` is set.
            tag: makes the names of added tensors unique.
        """
        name = tensor
        if form.shape is not None and shape is not None:
            inner = shape if form.perm is None else [shape[axis] for axis in form.perm]
            name = self._reshape(name, tuple(inner), f"{tag}/r")
        if form.perm is not None:
            back = [int(axis) for axis in np.argsort(form.perm)]
            name = self.emit("Transpose", [name], f"{PREFIX}{tag}/t", perm=back)
        if form.quantizer is not None:
            return self.quantization("QuantizeLinear", name, form.quantizer, f"{tag}/q")
        if elem_type not in (TensorProto.FLOAT, 0):
            name = self.emit("Cast", [name], f"{PREFIX}{tag}/cast", to=elem_type)
        return name

    def quantization(self, op: str, tensor: str, quantizer: Quantizer, tag: str) -> str:
        """Add a ``QuantizeLinear`` or ``DequantizeLinear`` with the given parameters."""
        zero_point = quantizer.zero_point.astype(_NP_TYPES[quantizer.dtype])
        scale = self.constant(f"{PREFIX}{tag}/scale", quantizer.scale)
        zero = self.constant(f"{PREFIX}{tag}/zero_point", zero_point)
        wide = quantizer.dtype in _WIDE and self.graph.opset < 21
        self._wide |= wide
        attributes = {} if quantizer.axis is None else {"axis": quantizer.axis}
        domain = _MICROSOFT if wide else ""
        return self.emit(op, [tensor, scale, zero], f"{PREFIX}{tag}", domain, **attributes)

    def switchable(self, tensor: str, tag: str) -> tuple[str, tuple[str, str, str, str]]:
        """Add a quantizer whose parameters are graph inputs.

        The values are cut to an interval, then go through 16-bit codes: with an interval of 256
        steps that is what an 8-bit quantizer does, bit by bit.

        Args:
            tensor: float32.
            tag: makes the names of added tensors unique.

        Returns:
            The quantized tensor, and the scalar inputs: low end, high end and scale (float32),
            zero point (uint16).
        """
        kinds = {"low": TensorProto.FLOAT, "high": TensorProto.FLOAT, "scale": TensorProto.FLOAT}
        kinds["zero_point"] = TensorProto.UINT16
        low, high, scale, zero = (
            self.add_input(f"{PREFIX}{tag}/{name}", kind, []) for name, kind in kinds.items()
        )
        self._wide = True
        cut = self.emit("Clip", [tensor, low, high], f"{PREFIX}{tag}/cut")
        codes = self.emit("QuantizeLinear", [cut, scale, zero], f"{PREFIX}{tag}/q", _MICROSOFT)
        real = self.emit("DequantizeLinear", [codes, scale, zero], f"{PREFIX}{tag}/dq", _MICROSOFT)
        return real, (low, high, scale, zero)

    def settle(self, values: Mapping[str, Array]) -> None:
        """Turn graph inputs that were added before into constants."""
        self._inputs = [item for item in self._inputs if item.name not in values]
        for name, value in values.items():
            self.constant(name, value)

    def build(self) -> onnx.ModelProto:
        """The model, with only the nodes its outputs need and the constants these read.

        ONNX Runtime would run the others as well, and hold on to what they give. Constants kept in
        external files stay there.
        """
        needed = self._needed()
        known = self.graph.initializers
        read = dict.fromkeys(name for added in needed for name in added.reads) | self._outputs
        constants = [known[name] for name in read if name in known]
        graph = helper.make_graph(
            [added.node for added in needed],
            "qdebug",
            self._inputs,
            [onnx.ValueInfoProto(name=name) for name in self._outputs],
            [*constants, *self._extra_constants],
        )
        model = helper.make_model(graph, opset_imports=self._opsets())
        model.ir_version = self.graph.proto.ir_version
        return model

    def _needed(self) -> list[_Added]:
        wanted, found = set(self._outputs), []
        for added in reversed(self._nodes):
            if not wanted.isdisjoint(added.makes):
                found.append(added)
                wanted.update(added.reads)
        return self._constants_late(found[::-1])

    def _constants_late(self, nodes: Sequence[_Added]) -> list[_Added]:
        """The nodes in an order in which what is computed of constants comes when it is read.

        So a session that keeps this order holds one dequantized weight at a time, not all.
        """
        given, known = self.graph.initializers, {tensor.name for tensor in self._extra_constants}
        waiting: dict[str, int] = {}
        ordered: list[_Added] = []
        for at, added in enumerate(nodes):
            is_constant = all(name in given or name in known for name in added.reads)
            if added.reads and is_constant and len(added.makes) == 1:
                (made,) = added.makes
                known.add(made)
                waiting[made] = at
            else:
                ordered.extend(nodes[before] for before in _taken(waiting, nodes, added.reads))
                ordered.append(added)
        return ordered + [nodes[at] for at in waiting.values()]

    def _opsets(self) -> list[onnx.OperatorSetIdProto]:
        found = list(self.graph.proto.opset_import)
        if self._wide and all(o.domain != _MICROSOFT for o in found):
            found.append(helper.make_opsetid(_MICROSOFT, 1))
        return found

    def _reshape(self, name: str, shape: tuple[int, ...] | None, tag: str) -> str:
        if shape is None:
            return name
        target = self.constant(f"{PREFIX}{tag}/shape", np.asarray(shape, np.int64))
        return self.emit("Reshape", [name, target], f"{PREFIX}{tag}")


def _taken(
    waiting: dict[str, int],
    nodes: Sequence[_Added],
    tensors: Iterable[str],
) -> list[int]:
    """Take out of the waiting nodes those that the tensors need; gives them in their order."""
    found: list[int] = []
    left = list(tensors)
    while left:
        at = waiting.pop(left.pop(), None)
        if at is not None:
            found.append(at)
            left.extend(nodes[at].reads)
    return sorted(found)


def renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    """A copy of a node that reads other tensors, its subgraphs included."""
    if not any(name in names for name in reads_of(node)):
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    _renamereads_of(copy, names)
    return copy


def constants_of(graph: Graph) -> set[str]:
    """Names of tensors that depend on no input: constants, and what is computed from them."""
    known = set(graph.initializers)
    for node in graph.nodes:
        if all(name in known for name in node.reads) and not _is_random(node):
            known.update(name for name in node.outputs if name)
    return known


def _is_random(node: Node) -> bool:
    return node.op.startswith("Random") or node.op in ("Multinomial", "Bernoulli")


def reads_of(node: onnx.NodeProto) -> Collection[str]:
    """Every tensor a node depends on, subgraphs included."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        if attribute.type not in _MAY_HOLD_GRAPHS:
            continue
        for body in (attribute.g, *attribute.graphs):
            names.extend(name for inner in body.node for name in reads_of(inner))
            names.extend(output.name for output in body.output)
    return names


def _renamereads_of(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    for slot, name in enumerate(node.input):
        if name in names:
            node.input[slot] = names[name]
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                _renamereads_of(inner, names)
            for output in body.output:
                if output.name in names:
                    output.name = names[output.name]
