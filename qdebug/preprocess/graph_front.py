"""What the first nodes of a graph compute on its input, read symbolically.

Converters move normalization, channel order and layout into the graph: as Sub, Mul, Div or
BatchNormalization, as Transpose, as a reversed Gather, Slice or Split and Concat, or as a vendor's
own node. What they compute is written as steps of a spec, so that a pipeline and a graph can be
put together and compared with another pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdebug.preprocess.spec import Affine, PreprocessSpec
from qdebug.preprocess.steps import Color, Layout, LayoutName, Normalize, Step

Floats = NDArray[np.float64]
_PASSING = frozenset({"Identity", "Cast", "Dropout"})
_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


@dataclass(frozen=True)
class GraphFront:
    """What happens to the input before the first layer with weights."""

    gain: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    reversed: bool = False
    """Whether the channels are reversed; gain and offset are in the order behind it."""
    layout: LayoutName | None = None
    """The layout behind a Transpose; None if there is none."""
    nodes: tuple[str, ...] = ()
    """The nodes that do it, as ``Op name``."""
    quantized: tuple[float, float] | None = None
    """Smallest and largest value that the input's quantizer can hold."""
    symmetric: bool = False
    """Whether that quantizer's zero point is in the middle, so that one side may be unused."""
    unknown: str | None = None
    """A preprocessing node that could not be read."""

    @property
    def normalizes(self) -> bool:
        """Whether the values are changed."""
        return any(g != 1 for g in self.gain) or any(self.offset)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The same as steps behind a pipeline."""
        steps: list[Step] = []
        if self.normalizes:
            mean = tuple(-o / g + 0.0 for g, o in zip(self.gain, self.offset, strict=True))
            steps.append(Normalize(mean, self.gain, multiply=True))
        if self.layout:
            steps.append(Layout(self.layout))
        return tuple(steps)

    def behind(self, spec: PreprocessSpec) -> PreprocessSpec:
        """Append what the graph computes to a pipeline."""
        swap: tuple[Step, ...] = ()
        if self.reversed and spec.channels == 3:
            swap = (Color("bgr" if spec.order == "rgb" else "rgb"),)
        return PreprocessSpec((*spec.steps, *swap, *self.steps))

    def describe(self) -> str:
        """Write what is computed, for people."""
        parts = []
        if self.reversed:
            parts.append("reverses the channels")
        if self.normalizes:
            affine = Affine(self.gain, self.offset)
            mean = ",".join(f"{m + 0.0:.6g}" for m in affine.mean)
            std = ",".join(f"{s:.6g}" for s in affine.std)
            parts.append(f"computes (x - mean) / std with mean {mean} and std {std}")
        if self.layout:
            parts.append(f"brings the input to {self.layout.upper()}")
        return " and ".join(parts) or "leaves the input as it is"


def read_front(model: Any, input_name: str) -> GraphFront:
    """Read the front of an ONNX graph.

    Args:
        model: an ``onnx.ModelProto``.
        input_name: the graph input to follow.
    """
    return _Reader(model, input_name).run()


class _Reader:
    """Follows one input along its only consumer."""

    def __init__(self, model: Any, input_name: str) -> None:
        graph = model.graph
        self.tensor = input_name
        self.consumers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self.consumers.setdefault(name, []).append(node)
        self.initializers = {item.name: item for item in graph.initializer}
        self.constants = {node.output[0]: node for node in graph.node if node.op_type == "Constant"}
        self.front = GraphFront()
        self.channels_last = _is_channels_last(graph, input_name)

    def run(self) -> GraphFront:
        while True:
            consumers = self.consumers.get(self.tensor, [])
            if not consumers:
                return self.front
            if len(consumers) > 1:
                following = self._meeting()
            elif consumers[0].op_type in _HANDLERS:
                following = _HANDLERS[consumers[0].op_type](self, consumers[0])
            else:
                return self._stopped(consumers[0])
            if following is None:
                return self.front
            self.tensor = following

    def _stopped(self, node: Any) -> GraphFront:
        """Note a vendor's preprocessing node that cannot be read."""
        vendor = "preprocess" in node.op_type.lower() or node.op_type.lower().startswith("aipp")
        return replace(self.front, unknown=_label(node)) if vendor else self.front

    def constant(self, name: str) -> Floats | None:
        """Return a constant's values, None if the tensor is none."""
        from onnx import numpy_helper

        if name in self.initializers:
            return np.asarray(numpy_helper.to_array(self.initializers[name]), np.float64)
        if name in self.constants:
            value = next((a.t for a in self.constants[name].attribute if a.name == "value"), None)
            return None if value is None else np.asarray(numpy_helper.to_array(value), np.float64)
        return None

    def per_channel(self, values: Floats) -> Floats | None:
        """Reduce a broadcast constant to one value a channel; None if it varies otherwise."""
        if values.size == 1:
            return values.reshape(1)
        channel = -1 if self.channels_last else -3
        sides = [s for i, s in enumerate(values.shape) if i - values.ndim != channel]
        single = values.ndim >= -channel and all(side == 1 for side in sides)
        return values.reshape(-1) if single and values.size <= 4 else None

    def apply(self, gain: Floats, offset: Floats, node: Any) -> str:
        """Compose ``gain * x + offset`` behind what is known."""
        before_gain, before_offset = np.array(self.front.gain), np.array(self.front.offset)
        new_gain = np.atleast_1d(before_gain * gain)
        new_offset = np.broadcast_to(
            before_offset * gain + offset,
            np.broadcast_shapes(new_gain.shape, np.shape(before_offset * gain + offset)),
        )
        new_gain = np.broadcast_to(new_gain, new_offset.shape)
        self.front = replace(
            self.front,
            gain=tuple(float(g) for g in new_gain),
            offset=tuple(float(o) for o in new_offset),
            nodes=(*self.front.nodes, _label(node)),
        )
        return str(node.output[0])

    def reverse(self, node: Any) -> str:
        """Reverse the channels behind what is known."""
        self.front = replace(
            self.front,
            reversed=not self.front.reversed,
            gain=self.front.gain[::-1],
            offset=self.front.offset[::-1],
            nodes=(*self.front.nodes, _label(node)),
        )
        return str(node.output[0])

    def channel_axis(self) -> tuple[int, int]:
        """The channel axis, counted from both ends."""
        return (3, -1) if self.channels_last else (1, -3)

    def _meeting(self) -> str | None:
        """Follow three single-channel Slices or Gathers that meet in one Concat."""
        parts = self.consumers[self.tensor]
        if len(parts) != 3 or any(part.op_type not in ("Slice", "Gather") for part in parts):
            return None
        indices = [self._picked(part) for part in parts]
        targets = [self.consumers.get(part.output[0], []) for part in parts]
        if None in indices or any(len(t) != 1 or t[0].op_type != "Concat" for t in targets):
            return None
        concat = targets[0][0]
        by_output = {part.output[0]: index for part, index in zip(parts, indices, strict=True)}
        order = [by_output.get(name) for name in concat.input]
        return self.ordered(order, concat)

    def ordered(self, order: list[int | None], concat: Any) -> str | None:
        """Continue behind a Concat that restores or reverses the channels."""
        if order == [2, 1, 0]:
            return self.reverse(concat)
        return str(concat.output[0]) if order == [0, 1, 2] else None

    def _picked(self, node: Any) -> int | None:
        """The one channel that a Slice or Gather takes."""
        if node.op_type == "Gather" and _attribute(node, "axis", 0) in self.channel_axis():
            index = self.constant(node.input[1])
            return int(index.reshape(-1)[0]) if index is not None and index.size == 1 else None
        starts, ends, axes, _ = _slice(self, node)
        if starts and ends and axes and axes[0] in self.channel_axis() and ends[0] - starts[0] == 1:
            return starts[0]
        return None


def _is_channels_last(graph: Any, name: str) -> bool:
    """Whether a graph input has its channels last, going by its shape."""
    for item in graph.input:
        if item.name == name:
            sides = [d.dim_value for d in item.type.tensor_type.shape.dim]
            return len(sides) == 4 and sides[3] in (1, 3, 4) and sides[1] not in (1, 3, 4)
    return False


def _label(node: Any) -> str:
    return f"{node.op_type} {node.name or node.output[0]}"


def _attribute(node: Any, name: str, default: Any) -> Any:
    for item in node.attribute:
        if item.name == name:
            return list(item.ints) if item.ints else (list(item.floats) or item.f or item.i)
    return default


def _arithmetic(reader: _Reader, node: Any) -> str | None:
    """Read Sub, Add, Mul or Div with a constant."""
    first = node.input[0] == reader.tensor
    raw = reader.constant(node.input[1] if first else node.input[0])
    value = None if raw is None else reader.per_channel(raw)
    if value is None or (node.op_type == "Div" and not first):
        return None
    zero, one = np.zeros_like(value), np.ones_like(value)
    if node.op_type == "Mul":
        return reader.apply(value, zero, node)
    if node.op_type == "Div":
        return reader.apply(1 / value, zero, node) if value.all() else None
    if node.op_type == "Add":
        return reader.apply(one, value, node)
    return reader.apply(one, -value, node) if first else reader.apply(-one, value, node)


def _batch_norm(reader: _Reader, node: Any) -> str | None:
    """Formula: ``(x - mean) / sqrt(var + epsilon) * scale + bias``."""
    values = [reader.constant(name) for name in node.input[1:5]]
    if any(v is None or v.size > 4 for v in values):
        return None
    scale, bias, mean, variance = (np.asarray(v) for v in values)
    gain = scale / np.sqrt(variance + _attribute(node, "epsilon", 1e-5))
    return reader.apply(gain, bias - mean * gain, node)


def _transpose(reader: _Reader, node: Any) -> str | None:
    order = tuple(_attribute(node, "perm", []))
    layouts: dict[tuple[int, ...], LayoutName] = {_TO_FIRST: "nchw", _TO_LAST: "nhwc"}
    if order not in layouts:
        return None
    reader.channels_last = order == _TO_LAST
    nodes = (*reader.front.nodes, _label(node))
    reader.front = replace(reader.front, layout=layouts[order], nodes=nodes)
    return str(node.output[0])


def _gather(reader: _Reader, node: Any) -> str | None:
    index = reader.constant(node.input[1])
    on_channels = _attribute(node, "axis", 0) in reader.channel_axis()
    if index is None or not on_channels or index.reshape(-1).tolist() != [2, 1, 0]:
        return None
    return reader.reverse(node)


def _slice(reader: _Reader, node: Any) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return starts, ends, axes and steps of a Slice of any opset."""
    found: list[list[int]] = []
    for position, name in enumerate(("starts", "ends", "axes", "steps"), 1):
        values = reader.constant(node.input[position]) if len(node.input) > position else None
        stated = [] if values is None else [int(v) for v in values.reshape(-1)]
        found.append(stated or list(_attribute(node, name, [])))
    return found[0], found[1], found[2], found[3]


def _slice_reversed(reader: _Reader, node: Any) -> str | None:
    _, _, axes, steps = _slice(reader, node)
    if steps == [-1] and len(axes) == 1 and axes[0] in reader.channel_axis():
        return reader.reverse(node)
    return None


def _split_concat(reader: _Reader, node: Any) -> str | None:
    """Read a Split into channels whose parts meet in one Concat."""
    targets = [reader.consumers.get(name, []) for name in node.output]
    if len(node.output) != 3 or any(len(t) != 1 or t[0].op_type != "Concat" for t in targets):
        return None
    concat, outputs = targets[0][0], list(node.output)
    order = [outputs.index(name) if name in outputs else None for name in concat.input]
    return reader.ordered(order, concat)


def _quantize(reader: _Reader, node: Any) -> str | None:
    """Note the range of the input's quantizer; the values pass."""
    limits = _limits(reader, node)
    if limits and reader.front.quantized is None:
        low, high, symmetric = limits
        reader.front = replace(reader.front, quantized=(low, high), symmetric=symmetric)
    following = reader.consumers.get(node.output[0], [])
    if len(following) == 1 and following[0].op_type == "DequantizeLinear":
        return str(following[0].output[0])
    return None


def _limits(reader: _Reader, node: Any) -> tuple[float, float, bool] | None:
    scale = reader.constant(node.input[1])
    if scale is None or scale.size != 1:
        return None
    low, high, zero = _codes(reader, node)
    step = float(scale.reshape(-1)[0])
    return (low - zero) * step, (high - zero) * step, zero in (0, 128, 32768) and zero != low


def _codes(reader: _Reader, node: Any) -> tuple[int, int, int]:
    """Smallest and largest code and the zero point of a quantizer; uint8 without a zero point."""
    from onnx import numpy_helper

    if len(node.input) < 3 or node.input[2] not in reader.initializers:
        return 0, 255, 0
    zero = numpy_helper.to_array(reader.initializers[node.input[2]])
    limits = np.iinfo(zero.dtype)
    return int(limits.min), int(limits.max), int(zero.reshape(-1)[0])


def _dequantize(reader: _Reader, node: Any) -> str | None:
    """Read the DequantizeLinear of an integer input: an affine map."""
    scale = reader.constant(node.input[1])
    if scale is None or scale.size != 1:
        return None
    limits = _limits(reader, node)
    zero = _codes(reader, node)[2]
    if limits:
        reader.front = replace(reader.front, quantized=limits[:2], symmetric=limits[2])
    return reader.apply(scale.reshape(1), -zero * scale.reshape(1), node)


def _horizon(reader: _Reader, node: Any) -> str | None:
    """Read Horizon's HzPreprocess: mean and scale are attributes."""
    mean, scale = (_attribute(node, name, None) for name in ("mean", "scale"))
    if mean is None and scale is None:
        reader.front = replace(reader.front, unknown=_label(node))
        return None
    gain = np.atleast_1d(np.array(1.0 if scale is None else scale, np.float64))
    shift = np.atleast_1d(np.array(0.0 if mean is None else mean, np.float64))
    return reader.apply(gain, -shift * gain, node)


_Handler = Callable[[_Reader, Any], str | None]
_HANDLERS: dict[str, _Handler] = {
    **dict.fromkeys(("Sub", "Add", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(_PASSING, lambda _, node: str(node.output[0])),
    "BatchNormalization": _batch_norm,
    "Transpose": _transpose,
    "Gather": _gather,
    "Slice": _slice_reversed,
    "Split": _split_concat,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "HzPreprocess": _horizon,
}
