"""An indexed, read-only view of an ONNX graph."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from qdebug.graph.walk import walk

Array = npt.NDArray[Any]
FileState = tuple[int, int, int]
"""Inode, bytes and time of the last change (ns) of a file."""
SMALL = 65536
"""Elements up to which a constant's value is kept once read."""


@dataclass(frozen=True)
class TensorType:
    """Element type (``onnx.TensorProto.DataType``) and shape of a tensor.

    A dimension that is not fixed is its symbolic name, or None; ``shape`` is None where even the
    rank is unknown. ``elem_type`` is 0 where unknown.
    """

    elem_type: int
    shape: tuple[int | str | None, ...] | None

    @property
    def dtype(self) -> str:
        """Lower-case ONNX name of the element type, for instance ``float`` or ``int8``."""
        return _dtype_name(self.elem_type)

    @cached_property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """The shape, where every dimension is a number."""
        if self.shape is None or not all(isinstance(dim, int) for dim in self.shape):
            return None
        return tuple(int(dim) for dim in self.shape)  # type: ignore[arg-type]


@cache
def _dtype_name(elem_type: int) -> str:
    return str(onnx.TensorProto.DataType.Name(elem_type)).lower()


UNKNOWN = TensorType(0, None)
"""Type of a tensor that nothing is known of."""


@dataclass(frozen=True)
class Node:
    """One node, with its position in execution order.

    Empty strings in ``inputs`` and ``outputs`` stand for optional ones that are absent.
    """

    index: int
    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    proto: onnx.NodeProto = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """The node's name, or its first output's where it has none."""
        return self.name or next((name for name in self.outputs if name), f"{self.op}_{self.index}")

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Attributes as Python values; strings decoded."""
        found = {a.name: helper.get_attribute_value(a) for a in self.proto.attribute}
        return {
            k: v.decode("utf-8", "replace") if isinstance(v, bytes) else v for k, v in found.items()
        }

    @cached_property
    def outer_inputs(self) -> tuple[str, ...]:
        """Names that the node's subgraphs (``If``, ``Loop``, ``Scan``) take from outside."""
        names = (name for body in bodies_of(self.proto) for name in _free_names(body))
        return tuple(dict.fromkeys(names))

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Every tensor the node depends on, subgraphs included."""
        return tuple(name for name in (*self.inputs, *self.outer_inputs) if name)


class Graph:
    """Index over a loaded model; nodes in a valid execution order.

    Args:
        proto: the model, its functions inlined.
        path: file it came from.
        sha256: of that file.
        files: that file and those of its external data, with their states when they were read.
        folder: that external data is relative to; the file's by default.
        is_made: whether the model was made here, so that no file holds it.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        path: Path,
        sha256: str,
        files: Mapping[Path, FileState | None] | None = None,
        *,
        folder: Path | None = None,
        is_made: bool = False,
    ) -> None:
        self.proto = proto
        self.folder = folder or path.parent
        self.is_made = is_made
        self.path = path
        self.sha256 = sha256
        self.files = files or {}
        self.initializers = {t.name: t for t in proto.graph.initializer}
        self.nodes = _ordered_nodes(proto.graph, self.initializers)
        self.inputs = [i.name for i in proto.graph.input if i.name not in self.initializers]
        self.outputs = [o.name for o in proto.graph.output]
        self.producer: dict[str, Node] = {
            name: node for node in self.nodes for name in node.outputs if name
        }
        self.consumers: dict[str, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for slot, name in enumerate(node.inputs):
                if name:
                    self.consumers.setdefault(name, []).append((node, slot))
        self._constants: dict[str, Array | None] = {}

    @cached_property
    def external(self) -> tuple[onnx.TensorProto, ...]:
        """Initializers whose values lie in files beside the model's."""
        return tuple(t for t in self.initializers.values() if t.external_data)

    @cached_property
    def types(self) -> dict[str, TensorType]:
        """Types of the tensors: what the graph declares, until they are set to what is inferred."""
        return initializer_types(self.proto.graph) | declared_types(self.proto.graph)

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        versions = [o.version for o in self.proto.opset_import if o.domain in ("", "ai.onnx")]
        return max(versions, default=0)

    @property
    def metadata(self) -> dict[str, str]:
        """The model's metadata properties."""
        return {p.key: p.value for p in self.proto.metadata_props}

    @property
    def whole(self) -> onnx.ModelProto | Path:
        """The model to run as it is deployed: its file, or itself where no file holds it."""
        return self.proto if self.is_made else self.path

    def type_of(self, tensor: str) -> TensorType:
        """Type of a tensor; element type 0 and shape None where unknown."""
        return self.types.get(tensor, UNKNOWN)

    def is_constant(self, tensor: str) -> bool:
        """Whether the tensor is an initializer or the output of a ``Constant`` node."""
        if tensor in self.initializers:
            return True
        node = self.producer.get(tensor)
        return node is not None and node.op == "Constant" and node.domain in ("", "ai.onnx")

    def constant(self, tensor: str) -> Array | None:
        """Value of an initializer or ``Constant``; None for anything computed.

        Small integer types (int4, uint4, float8) come as ``ml_dtypes`` arrays.
        """
        if tensor in self._constants:
            return self._constants[tensor]
        value = self._read_constant(tensor)
        if value is None or value.size <= SMALL:
            self._constants[tensor] = value
        return value

    def _read_constant(self, tensor: str) -> Array | None:
        if tensor in self.initializers:
            return numpy_helper.to_array(self.initializers[tensor], str(self.folder))
        if not self.is_constant(tensor):
            return None
        attributes = self.producer[tensor].attributes
        if "value" in attributes:
            return numpy_helper.to_array(attributes["value"], str(self.folder))
        plain = next((v for k, v in attributes.items() if k.startswith("value_")), None)
        return None if plain is None else _plain_constant(plain)

    def consumer_nodes(self, tensor: str) -> list[Node]:
        """Nodes that read the tensor directly, in execution order, each once."""
        return list(dict.fromkeys(node for node, _ in self.consumers.get(tensor, ())))

    @cached_property
    def readers(self) -> dict[str, list[Node]]:
        """Nodes that depend on each tensor, the outer inputs of subgraphs included."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.reads):
                found.setdefault(name, []).append(node)
        return found

    def ancestors(self, tensors: Iterable[str], stop: Container[str] = ()) -> set[int]:
        """Indices of the nodes needed to compute the tensors, not passing beyond ``stop``."""

        def before(tensor: str) -> list[str]:
            return [name for name in self.sources(tensor) if name not in stop]

        start = [tensor for tensor in tensors if tensor not in stop]
        made = (self.producer.get(tensor) for tensor in walk(start, before))
        return {node.index for node in made if node is not None}

    def sources(self, tensor: str) -> tuple[str, ...]:
        """What the tensor is computed of; nothing for an input or an initializer."""
        node = self.producer.get(tensor)
        return () if node is None else node.reads


def _plain_constant(value: Any) -> Array:
    if isinstance(value, (int, float)):
        return np.asarray(value, np.int64 if isinstance(value, int) else np.float32)
    if isinstance(value, str):
        return np.asarray(value, object)
    values = list(value)
    is_float = bool(values) and isinstance(values[0], float)
    return np.asarray(values, np.float32 if is_float else np.int64)


def bodies_of(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs inside a node: one an attribute, or several."""
    found: list[onnx.GraphProto] = []
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            found.append(attribute.g)
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            found.extend(attribute.graphs)
    return found


def _free_names(body: onnx.GraphProto) -> list[str]:
    """Names that a subgraph reads but does not define."""
    bound = {i.name for i in body.input} | {t.name for t in body.initializer}
    free: list[str] = []
    for node in body.node:
        nested = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
        read = [*node.input, *(name for inner in nested for name in _free_names(inner))]
        free.extend(name for name in read if name and name not in bound)
        bound.update(node.output)
    free.extend(o.name for o in body.output if o.name not in bound)
    return free


def _ordered_nodes(graph: onnx.GraphProto, initializers: Iterable[str]) -> list[Node]:
    """Nodes in execution order; the file's own order is kept where it is valid."""
    known = {i.name for i in graph.input} | set(initializers) | {""}
    known |= {t.values.name for t in graph.sparse_initializer}
    waiting = [
        Node(i, n.name, n.op_type, n.domain, tuple(n.input), tuple(n.output), n)
        for i, n in enumerate(graph.node)
    ]
    ordered: list[Node] = []
    while waiting:
        later: list[Node] = []
        for node in waiting:
            if all(name in known for name in node.reads):
                known.update(node.outputs)
                ordered.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            ordered.extend(later)  # a dangling input: ONNX Runtime will name it
            break
        waiting = later
    return [
        n if n.index == i else Node(i, n.name, n.op, n.domain, n.inputs, n.outputs, n.proto)
        for i, n in enumerate(ordered)
    ]


def initializer_types(graph: onnx.GraphProto) -> dict[str, TensorType]:
    """Types of the initializers."""
    return {t.name: TensorType(t.data_type, tuple(t.dims)) for t in graph.initializer}


def declared_types(graph: onnx.GraphProto) -> dict[str, TensorType]:
    """Types that the graph declares of inputs, outputs and in ``value_info``."""
    found: dict[str, TensorType] = {}
    for info in (*graph.input, *graph.output, *graph.value_info):
        kind = info.type
        if kind.HasField("tensor_type"):
            tensor = kind.tensor_type
            shape = tuple(map(_dimension, tensor.shape.dim)) if tensor.HasField("shape") else None
            found[info.name] = TensorType(tensor.elem_type, shape)
    return found


def _dimension(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    size: int = dim.dim_value
    if size or dim.HasField("dim_value"):
        return size
    return str(dim.dim_param) if dim.dim_param else None
