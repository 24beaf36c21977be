"""Where channels can be scaled: layers of which one makes them and others read nothing else.

What lies between has to pass a positive factor on: ``f(s x) = s f(x)`` for each channel. A ``Relu``
does, a ``Clip`` (ReLU6), a ``Sigmoid`` or a ``HardSwish`` does not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.graph.model import Graph, Node

Array = npt.NDArray[np.float64]

_PASSES = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Identity", "MaxPool", "AveragePool", "GlobalAveragePool"}
)
"""Operators of one input that pass a positive factor of a channel on."""
_LONGEST = 8
"""Operators between two layers; by judgement."""


@dataclass(frozen=True)
class Part:
    """A constant that takes the factors of channels.

    Attributes:
        tensor: initializer of the float graph.
        axis: along which the channels lie.
        node: index of its reader.
        groups: into which a Conv parts the channels that it reads; each part of its rows has the
            channels of its own group along the axis.
    """

    tensor: str
    axis: int
    node: int
    groups: int = 1

    def spread(self, factors: Array, value: Array) -> Array:
        """The factors ``[channels]``, shaped to multiply a value of the constant.

        A channel of a depthwise layer may have several rows.
        """
        if self.groups > 1:
            rows = np.repeat(factors.reshape(self.groups, -1), len(value) // self.groups, axis=0)
            return rows.reshape(*rows.shape, *[1] * (value.ndim - 2))
        shape = [1] * value.ndim
        shape[self.axis] = -1
        return np.repeat(factors, value.shape[self.axis] // len(factors)).reshape(shape)

    def peaks(self, value: Array, channels: int) -> Array:
        """Largest magnitude of each channel, ``[channels]``."""
        if self.groups > 1:
            parts = np.abs(value).reshape(
                self.groups, -1, channels // self.groups, value[0, 0].size
            )
            return np.asarray(parts.max(axis=(1, 3)).ravel(), np.float64)
        rows = np.abs(np.moveaxis(value, self.axis, 0)).reshape(channels, -1)
        return np.asarray(rows.max(axis=1), np.float64)


@dataclass(frozen=True)
class Link:
    """Channels that can be scaled.

    Attributes:
        channels: how many.
        makers: divided by the factors; the weight first.
        readers: multiplied by them.
        tensors: float tensors in between, in execution order.
        axis: of the channels in the first of them.
        is_norm: whether a normalization's gain and offset make them, whose own sizes do not matter.
        label: names of both ends, for people.
        before: weight of the Conv before a BatchNormalization that makes the channels, along its
            output channels; it is not changed. None without.
        deviation: of that BatchNormalization, ``[channels]``.
    """

    channels: int
    makers: tuple[Part, ...]
    readers: tuple[Part, ...]
    tensors: tuple[str, ...]
    axis: int
    is_norm: bool
    label: str
    before: Part | None = None
    deviation: tuple[float, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All constants that take factors."""
        return (*self.makers, *self.readers)


def find_links(graph: Graph, kept: Collection[str] = ()) -> tuple[Link, ...]:
    """The links of a float graph, in execution order.

    Args:
        graph: the float graph.
        kept: tensors that have to stay as they are, beside the outputs.
    """
    finder = _Finder(graph, frozenset(kept) | frozenset(graph.outputs))
    found = (finder.chain(node) or finder.norm(node) for node in graph.nodes)
    return tuple(link for link in found if link is not None)


@dataclass(frozen=True)
class _Batch:
    """A BatchNormalization: gain and offset, the weight of the Conv before it, the deviation."""

    parts: tuple[Part, ...]
    weight: Part
    deviation: tuple[float, ...]


class _Finder:
    def __init__(self, graph: Graph, kept: frozenset[str]) -> None:
        self.graph, self.kept = graph, kept

    def chain(self, node: Node) -> Link | None:
        """From a product through operators that pass factors on to the next product."""
        batch = self._normalized(node)
        makers = self._made_by(node) if batch is None else batch.parts
        if makers is None:
            return None
        channels, of_matrix = self._length(makers[0]), node.op == "Gemm"
        tensors = self._passed_on(node.outputs[0])
        reader = self._only_reader(tensors[-1])
        if reader is None:
            return None
        part = self._read_by(reader, tensors[-1], channels, of_matrix=of_matrix)
        if part is None:
            return None
        label = f"{node.label} to {reader.label}"
        axis = -1 if of_matrix else 1
        link = Link(channels, makers, (part,), tuple(tensors), axis, False, label)
        if batch is None:
            return link
        return replace(link, before=batch.weight, deviation=batch.deviation)

    def _normalized(self, node: Node) -> _Batch | None:
        """A BatchNormalization behind a Conv that nothing else reads."""
        if node.op != "BatchNormalization" or any(node.outputs[1:]):
            return None
        conv = self.graph.producer.get(node.inputs[0])
        if conv is None or conv.op != "Conv" or self._only_reader(node.inputs[0]) is None:
            return None
        weight, variance = (self.graph.constant(n) for n in (conv.inputs[1], node.inputs[4]))
        parts = tuple(Part(name, 0, node.index) for name in node.inputs[1:3])
        if weight is None or variance is None or not all(self._is_own(p.tensor) for p in parts):
            return None
        if variance.shape != weight.shape[:1] or {self._length(p) for p in parts} != {len(weight)}:
            return None
        least = float(node.attributes.get("epsilon", 1e-5))
        deviation = np.sqrt(np.maximum(variance.astype(np.float64), 0) + least)
        before = Part(conv.inputs[1], 0, conv.index)
        return _Batch(parts, before, tuple(map(float, deviation)))

    def _passed_on(self, tensor: str) -> list[str]:
        """A tensor and what operators make of it that pass factors on, one after another."""
        tensors = [tensor]
        while len(tensors) <= _LONGEST:
            reader = self._only_reader(tensors[-1])
            if reader is None or reader.op not in _PASSES or reader.inputs[0] != tensors[-1]:
                break
            if any(reader.outputs[1:]):
                break  # indices of a MaxPool
            tensors.append(reader.outputs[0])
        return tensors

    def norm(self, node: Node) -> Link | None:
        """From the gain and offset of a normalization to the matrices that read its result."""
        makers = self._affine(node)
        if makers is None or node.outputs[0] in self.kept:
            return None
        channels, tensor = self._length(makers[0]), node.outputs[0]
        readers = self.graph.readers.get(tensor, [])
        parts = [self._read_by(reader, tensor, channels, of_matrix=True) for reader in readers]
        known = tuple(part for part in parts if part is not None)
        if not known or len(known) < len(parts):
            return None
        return Link(channels, makers, known, (tensor,), -1, True, f"after {node.label}")

    def _made_by(self, node: Node) -> tuple[Part, ...] | None:
        """Weight and bias of a product, along its output channels."""
        if node.op == "Conv" and node.domain == "":
            axis = 0
        elif node.op == "Gemm" and _is_plain(node):
            axis = 0 if node.attributes.get("transB", 0) else 1
        else:
            return None
        bias = node.inputs[2:3]
        parts = [Part(node.inputs[1], axis, node.index)]
        parts += [Part(name, -1, node.index) for name in bias if name]
        if not all(self._is_own(part.tensor) for part in parts):
            return None
        sizes = {self._length(part) for part in parts}
        return tuple(parts) if len(sizes) == 1 else None

    def _read_by(self, node: Node, tensor: str, channels: int, *, of_matrix: bool) -> Part | None:
        """The weight of a product, along the channels that it reads."""
        weight = node.inputs[1] if len(node.inputs) > 1 else ""
        if node.inputs[0] != tensor or tensor == weight or not self._is_own(weight):
            return None
        shape = tuple(self.graph.initializers[weight].dims)
        if not of_matrix and (groups := _groups_read(node, shape, channels)):
            return Part(weight, 1, node.index, groups)
        axis = _axis_read(node, shape, channels, of_matrix)
        return None if axis is None else Part(weight, axis, node.index)

    def _affine(self, node: Node) -> tuple[Part, ...] | None:
        """Gain and offset over the last axis: of a LayerNormalization, or of a Mul and an Add."""
        if node.op == "LayerNormalization":
            own = [name for name in node.inputs[1:3] if name]
            nodes = [node.index] * len(own)
            if node.attributes.get("axis", -1) != -1 or any(node.outputs[1:]):
                return None
        elif node.op == "Add":
            offset, scaled = self._constant_and_other(node)
            maker = self.graph.producer.get(scaled)
            if maker is None or maker.op != "Mul" or self._only_reader(scaled) is None:
                return None
            own, nodes = [self._constant_and_other(maker)[0], offset], [maker.index, node.index]
        else:
            return None
        if not own or not all(self._is_own(n) and self._rank(n) == 1 for n in own):
            return None
        parts = tuple(Part(name, 0, at) for name, at in zip(own, nodes, strict=True))
        sizes = {self._length(part) for part in parts}
        return parts if len(sizes) == 1 and max(sizes) > 1 else None

    def _constant_and_other(self, node: Node) -> tuple[str, str]:
        first, second = node.inputs[:2]
        return (first, second) if first in self.graph.initializers else (second, first)

    def _only_reader(self, tensor: str) -> Node | None:
        """The one node that reads a tensor, which nothing else needs."""
        readers = self.graph.readers.get(tensor, [])
        if tensor in self.kept or len(readers) != 1 or readers[0].outer_inputs:
            return None
        return readers[0] if list(readers[0].inputs).count(tensor) == 1 else None

    def _is_own(self, name: str) -> bool:
        """Whether a constant of 32-bit floats is read once, and can be replaced."""
        tensor = self.graph.initializers.get(name)
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or name in self.kept:
            return False
        if name in self.graph.inputs or len(self.graph.consumers.get(name, ())) != 1:
            return False
        return len(self.graph.readers.get(name, [])) == 1

    def _rank(self, name: str) -> int:
        return len(self.graph.initializers[name].dims)

    def _length(self, part: Part) -> int:
        dims = self.graph.initializers[part.tensor].dims
        return int(dims[part.axis]) if dims else 0


def _is_plain(node: Node) -> bool:
    return all(float(node.attributes.get(name, 1.0)) == 1.0 for name in ("alpha", "beta"))


def _axis_read(node: Node, shape: tuple[int, ...], channels: int, of_matrix: bool) -> int | None:
    """Along which axis of its weight a product reads so many channels."""
    axis = next(_axes_read(node, shape, channels, of_matrix), None)
    is_whole = axis is not None and shape[axis] and shape[axis] % channels == 0
    return axis if is_whole else None


def _groups_read(node: Node, shape: tuple[int, ...], channels: int) -> int:
    """Groups of a Conv that reads several channels in each of them; 0 for other nodes."""
    groups = int(node.attributes.get("group", 1))
    is_parted = node.op == "Conv" and node.domain == "" and 1 < groups < channels
    return groups if is_parted and shape[1] * groups == channels else 0


def _axes_read(node: Node, shape: tuple[int, ...], channels: int, of_matrix: bool) -> Iterator[int]:
    if node.op == "Conv" and node.domain == "" and not of_matrix:
        group = int(node.attributes.get("group", 1))
        if group == 1 and shape[1] == channels:
            yield 1
        elif group == channels and shape[1] == 1:
            yield 0  # depthwise
    elif node.op == "Gemm" and of_matrix and float(node.attributes.get("alpha", 1.0)) == 1.0:
        axis = 1 if node.attributes.get("transB", 0) else 0
        if not node.attributes.get("transA", 0) and shape[axis] == channels:
            yield axis
    elif node.op == "MatMul" and of_matrix and len(shape) == 2 and shape[0] == channels:
        yield 0
