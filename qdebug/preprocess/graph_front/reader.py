"""Following a graph's input along its only consumer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.graph_front.front import GraphFront

Floats = NDArray[np.float64]
_MOST_CHANNELS = 4
_OF_ACTIVATIONS = ("QuantizeLinear", "QLinearConv", "QLinearMatMul")


class Reader:
    """A position in the graph and what is known about the way to it."""

    def __init__(self, model: Any, input_name: str, folder: str) -> None:
        graph = model.graph
        self.tensor = input_name
        self.folder = folder
        self.consumers: dict[str, list[Any]] = {}
        self.producer: dict[str, Any] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self.consumers.setdefault(name, []).append(node)
            if node.op_type in ("Constant", "DequantizeLinear"):
                self.producer[node.output[0]] = node
        self.initializers = {item.name: item for item in graph.initializer}
        self._nodes = graph.node
        self.front = GraphFront()
        self.channels_last = _is_channels_last(graph, input_name)
        self.in_codes = False
        """Whether the tensor holds the integer codes of a quantizer that was passed."""

    def constant(self, name: str) -> Floats | None:
        """Return a constant's values, dequantized where it is stored so; None for others."""
        stored = self.stored(name)
        if stored is not None:
            return stored.astype(np.float64)
        node = self.producer.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return None
        return self.dequantized(node.input)

    def dequantized(self, inputs: Sequence[str]) -> Floats | None:
        """Return ``(codes - zero point) * scale``, all three constants; None otherwise."""
        values = [self.stored(name) for name in inputs[:3]]
        if values[0] is None or values[1] is None or values[1].size != 1:
            return None
        zero = values[2] if len(values) > 2 else None
        codes = values[0].astype(np.float64)
        if zero is not None:
            codes = codes - zero.astype(np.float64).reshape(-1)[0]
        self.front = replace(self.front, rounded=True)
        return np.asarray(codes * values[1].astype(np.float64).reshape(-1)[0])

    def stored(self, name: str) -> NDArray[Any] | None:
        """Return an initializer or the value of a Constant node, as it is stored."""
        from onnx import numpy_helper

        if name in self.initializers:
            return np.asarray(numpy_helper.to_array(self.initializers[name], self.folder))
        node = self.producer.get(name)
        if node is None or node.op_type != "Constant":
            return None
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        return None if value is None else np.asarray(numpy_helper.to_array(value))

    def activation_quantizers(self) -> Iterator[Any]:
        """The nodes whose first three inputs are an activation, its scale and its zero point."""
        for node in self._nodes:
            if node.op_type in _OF_ACTIVATIONS and node.input[0] not in self.initializers:
                yield node

    def per_channel(self, values: Floats) -> Floats | None:
        """Reduce a broadcast constant to one value a channel; None if it varies otherwise."""
        if values.size == 1:
            return values.reshape(1)
        channel = -1 if self.channels_last else -3
        sides = [s for i, s in enumerate(values.shape) if i - values.ndim != channel]
        single = values.ndim >= -channel and all(side == 1 for side in sides)
        return values.reshape(-1) if single and values.size <= _MOST_CHANNELS else None

    def apply(self, gain: Floats, offset: Floats, node: Any) -> str:
        """Compose ``gain * x + offset`` behind what is known."""
        before_gain, before_offset = np.array(self.front.gain), np.array(self.front.offset)
        new_gain, new_offset = np.broadcast_arrays(
            np.atleast_1d(before_gain * gain), np.atleast_1d(before_offset * gain + offset)
        )
        self.front = replace(
            self.front,
            gain=tuple(float(g) for g in new_gain),
            offset=tuple(float(o) for o in new_offset),
            nodes=(*self.front.nodes, label(node)),
        )
        return str(node.output[0])

    def reverse(self, node: Any) -> str:
        """Reverse the channels behind what is known."""
        self.front = replace(
            self.front,
            reversed=not self.front.reversed,
            gain=self.front.gain[::-1],
            offset=self.front.offset[::-1],
            nodes=(*self.front.nodes, label(node)),
        )
        return str(node.output[0])

    def on_channels(self, axis: int) -> bool:
        """Whether an axis, counted from either end, is that of the channels."""
        return axis in ((3, -1) if self.channels_last else (1, -3))


def _is_channels_last(graph: Any, name: str) -> bool:
    """Whether a graph input has its channels last, going by its shape."""
    for item in graph.input:
        if item.name == name:
            sides = [d.dim_value for d in item.type.tensor_type.shape.dim]
            return len(sides) == 4 and sides[3] in (1, 3, 4) and sides[1] not in (1, 3, 4)
    return False


def label(node: Any) -> str:
    """Write a node as ``Op name``."""
    return f"{node.op_type} {node.name or node.output[0]}"


def attribute(node: Any, name: str, default: Any) -> Any:
    """Return an attribute's value, whatever its type."""
    for item in node.attribute:
        if item.name == name:
            return list(item.ints) if item.ints else (list(item.floats) or item.f or item.i)
    return default
