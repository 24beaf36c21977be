"""Writes a change into a quant graph: what is read in place of what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if.changes import Change
from qdebug.analysis.what_if.computing import FloatLayers
from qdebug.analysis.what_if.kept import reached_nodes
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import (
    BETWEEN_Q_AND_DQ_IN_PLACE,
    CLIPPING,
    DEQUANTIZE_OPS,
    QUANTIZE_OPS,
)
from qdebug.graph.pairs import Pair, Pairing, WeightPair
from qdebug.graph.rewrite import PREFIX, PartBuilder
from qdebug.graph.walk import walk

Array = npt.NDArray[Any]
_AT_ONCE = 1 << 20
"""Values of a weight that are looked at together, in float64."""
_FLOAT = 1  # onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Replacement:
    """What stands in for some tensors.

    Attributes:
        readings: tensors whose consumers read something else.
        raw: tensor that it is made of.
        new: what they read instead.
        emit: adds the nodes that make ``new``, once ``raw`` is there.
        needs: tensors of the quant graph that these nodes read.
        switch: model input that decides whether it is made (``switches``).
    """

    readings: Sequence[str]
    raw: str
    new: str
    emit: Callable[[], None]
    needs: tuple[str, ...] = ()
    switch: str = ""


class Replacements:
    """What a change replaces in a quant graph.

    Args:
        graphs: float and quant graph.
        pairing: of the two.
        shape_of: shape of a pair's float tensor by its position; None where it is not known.
    """

    def __init__(
        self,
        graphs: tuple[Graph, Graph],
        pairing: Pairing,
        shape_of: Callable[[int], tuple[int, ...] | None],
    ) -> None:
        self.float_graph, self.quant_graph = graphs
        self.pairs, self.weights = pairing.pairs, pairing.weights
        self.shape_of = shape_of
        self.float_layers = FloatLayers(graphs, pairing.pairs)

    def can_free(self, at: int) -> bool:
        """Whether a pair's tensor can be taken out of quantization."""
        return bool(self.readings(self.pairs[at]))

    def is_possible(self, change: Change) -> bool:
        """Whether a change touches anything in this graph."""
        if any(self.can_free(at) for at in change.free | set(change.quantizers)):
            return True
        if any(self.shape_of(at) is not None for at in change.given):
            return True
        if any(self.float_layers.can_be_written(at) for at in change.computed):
            return True
        weights = (w.quant_tensor for w in self.weights if w.node in change.weights)
        return any(dequantized(self.quant_graph, tensor) for tensor in weights)

    def reached(self, change: Change) -> int:
        """Number of nodes that a change reaches."""
        read = [self.pairs[at].raw for at in change.free | change.quantizers.keys()]
        read += [w.quant_tensor for w in self.weights if w.node in change.weights]
        graph = self.quant_graph
        replaced = [name for raw in read for name in dequantized(graph, raw)]
        replaced += [self.pairs[at].raw for at in change.given | change.computed]
        return len(reached_nodes(graph, replaced))

    def all(
        self, change: Change, builder: PartBuilder, renames: Mapping[str, str]
    ) -> list[Replacement]:
        """Everything that a change replaces; inputs and constants of it are added at once.

        Args:
            change: what to do otherwise.
            builder: of the changed graph.
            renames: readings to what is read instead, filled when nodes are emitted.
        """
        positions = sorted(change.free | set(change.quantizers))
        found = [
            self._float_value(at, builder, straight=at in change.straight)
            for at in sorted(change.given)
        ]
        computed = sorted(change.computed - change.given)
        found += [
            self._float_layer(at, renames, builder, straight=at in change.straight)
            for at in computed
        ]
        found += [self._activation(at, change, builder) for at in positions]
        weights = [w for w in self.weights if w.node in change.weights]
        return found + [r for w in weights if (r := self._float_weight(w, builder)) is not None]

    def _activation(self, at: int, change: Change, builder: PartBuilder) -> Replacement:
        pair, quantizer = self.pairs[at], change.quantizers.get(at)
        folded = folded_activation(self.float_graph, self.quant_graph, pair)
        tag = f"what-if/{at}"
        is_given = at in change.given | change.computed
        raw = _given_value(at) if is_given else pair.raw
        new = raw if folded is None else f"{PREFIX}{tag}/activation"

        def emit() -> None:
            if folded is not None:
                emit_activation(self.float_graph, folded, raw, tag, builder)
            if quantizer is not None:
                codes = builder.quantization("QuantizeLinear", new, quantizer, f"{tag}/q")
                builder.quantization("DequantizeLinear", codes, quantizer, f"{tag}/dq")

        read = new if quantizer is None else f"{PREFIX}{tag}/dq"
        if at in change.computed - change.given:
            needs = self._sources(at)  # it stands behind what the float layer reads
        else:
            needs = () if is_given else (pair.raw,)
        return Replacement(self.readings(pair), pair.raw, read, emit, needs, switch_of_tensor(at))

    def _float_value(self, at: int, builder: PartBuilder, *, straight: bool) -> Replacement:
        """The float run's value where the layer's result was."""
        pair, shape = self.pairs[at], self.shape_of(at)
        # Samples may have other shapes than the first one.
        name = builder.add_input(given_input(at), _FLOAT, shape and [None] * len(shape))
        known = self.quant_graph.type_of(pair.raw)
        form = replace(pair.raw_form, perm=None) if straight else pair.raw_form
        held = builder.encode(name, form, known.elem_type, known.fixed_shape, f"what-if/given/{at}")
        copy = _given_value(at)
        return Replacement(
            [pair.raw], pair.raw, copy, lambda: _nothing(builder.emit("Identity", [held], copy))
        )

    def _float_layer(
        self, at: int, renames: Mapping[str, str], builder: PartBuilder, *, straight: bool
    ) -> Replacement:
        """What the float nodes make of the twin's tensors where the layer's result was."""
        pair, copy = self.pairs[at], _given_value(at)
        known = self.quant_graph.type_of(pair.raw)
        form = replace(pair.raw_form, perm=None) if straight else pair.raw_form

        def emit() -> None:
            made = self.float_layers.write(at, renames, builder)
            tag = f"what-if/given/{at}"
            kind, shape = known.elem_type, known.fixed_shape
            held = builder.encode(made, form, kind, shape, tag)
            builder.emit("Identity", [held], copy)

        return Replacement([pair.raw], pair.raw, copy, emit, self._sources(at))

    def _sources(self, at: int) -> tuple[str, ...]:
        """Tensors of the quant graph that a layer's float nodes read."""
        return tuple(self.pairs[source].read for source in sorted(self.float_layers.sources(at)))

    def _float_weight(self, weight: WeightPair, builder: PartBuilder) -> Replacement | None:
        readings = dequantized(self.quant_graph, weight.quant_tensor)
        value = in_quant_layout(weight, self.quant_graph) if readings else None
        if value is None:
            return None
        # Layers may share a weight; each has its own value of it.
        tag = f"{PREFIX}what-if/weight/{weight.node}/{weight.quant_tensor}"
        name = builder.constant(tag, value)
        switch = switch_of_weights(weight.node)
        return Replacement(readings, weight.quant_tensor, name, _nothing, switch=switch)

    def readings(self, pair: Pair) -> list[str]:
        """What stands for a pair's tensor behind its quantizers."""
        if pair.raw_form.quantizer is not None:
            return []
        return dequantized(self.quant_graph, pair.raw)


def folded_activation(float_graph: Graph, quant_graph: Graph, pair: Pair) -> Node | None:
    """The float activation that the quant graph leaves to the Q/DQ pair, if any."""
    maker = float_graph.producer.get(pair.float_tensor)
    source = quant_graph.producer.get(pair.raw)
    if maker is None or maker.op not in CLIPPING:
        return None
    if source is not None and source.op in CLIPPING | {"FusedConv"}:
        return None
    return maker


def in_quant_layout(weight: WeightPair, graph: Graph) -> Array | None:
    """The float model's weight as the quant graph's node reads it; None where it cannot be had."""
    value = weight.reference
    target = graph.type_of(weight.quant_tensor).fixed_shape
    if target is None or value.size != int(np.prod(target)):
        return None
    flipped = value.ndim == 2 and value.shape[::-1] == target
    if flipped and (value.shape != target or _is_transposed(weight, graph)):
        value = value.T
    return np.ascontiguousarray(value.reshape(target), np.float32)


def _is_transposed(weight: WeightPair, graph: Graph) -> bool:
    """Whether a square weight is stored the other way round: the codes tell."""
    codes = graph.constant(weight.quant_tensor)
    if codes is None:
        return False
    value, mean = weight.quant_value, codes.mean(dtype=np.float64)
    straight = turned = 0.0
    rows = max(1, _AT_ONCE // len(codes))
    for start in range(0, len(codes), rows):
        part = codes[start : start + rows].astype(np.float64) - mean
        straight += float((part * value[start : start + rows]).sum())
        turned += float((part * value.T[start : start + rows]).sum())
    return turned > straight


def dequantized(graph: Graph, raw: str) -> list[str]:
    """Tensors that stand for ``raw`` after quantization, whatever the number of its Q/DQ pairs."""
    codes = [node.outputs[0] for node in _readers(graph, raw) if node.op in QUANTIZE_OPS]
    codes += [raw] if raw in graph.initializers else []

    def held_in_place(tensor: str) -> list[str]:
        readers = _readers(graph, tensor) if tensor != raw else []
        return [n.outputs[0] for n in readers if n.op in BETWEEN_Q_AND_DQ_IN_PLACE]

    readers = (node for tensor in walk(codes, held_in_place) for node in _readers(graph, tensor))
    return sorted({node.outputs[0] for node in readers if node.op in DEQUANTIZE_OPS})


def _readers(graph: Graph, tensor: str) -> list[Node]:
    """The nodes that compute on the tensor: it is their first operand."""
    return [node for node in graph.consumer_nodes(tensor) if node.inputs[0] == tensor]


def emit_activation(graph: Graph, node: Node, value: str, tag: str, builder: PartBuilder) -> str:
    """Add the node of an activation that a quantizer stands for.

    Args:
        graph: the float graph, which the node is of.
        node: a ``Relu`` or ``Clip``.
        value: what it is applied to, a tensor of the builder's graph.
        tag: makes the names of added tensors unique.
        builder: of the graph that gets it.
    """
    name = f"{PREFIX}{tag}/activation"
    if node.op == "Relu":
        return builder.emit("Relu", [value], name)
    low, high = clip_bounds(graph, node)
    ends = [
        builder.constant(f"{PREFIX}{tag}/{end}", np.asarray(bound, np.float32))
        for end, bound in (("low", low), ("high", high))
    ]
    if builder.graph.opset < 11:
        return builder.emit("Clip", [value], name, min=low, max=high)
    return builder.emit("Clip", [value, *ends], name)


def clip_bounds(graph: Graph, node: Node) -> tuple[float, float]:
    """The two ends of a ``Clip``, of any opset."""
    largest = float(np.finfo(np.float32).max)
    given = [node.attributes.get("min", -largest), node.attributes.get("max", largest)]
    for slot, tensor in enumerate(node.inputs[1:3]):
        value = graph.constant(tensor) if tensor else None
        if value is not None:
            given[slot] = float(value.reshape(()))
    return float(given[0]), float(given[1])


def _nothing(*_: object) -> None:
    """Emits nothing: what is read instead is there already."""


def _given_value(at: int) -> str:
    """That value in the quant graph's form."""
    return f"{PREFIX}what-if/given/{at}/value"


def given_input(at: int) -> str:
    """The model input that takes a pair's float value."""
    return f"{PREFIX}what-if/float/{at}"


def switch_of_tensor(at: int) -> str:
    """The model input that takes a pair's tensor out of quantization."""
    return f"{PREFIX}what-if/switch/tensor/{at}"


def switch_of_weights(node: int) -> str:
    """The model input that puts a float node's weights in."""
    return f"{PREFIX}what-if/switch/weights/{node}"
