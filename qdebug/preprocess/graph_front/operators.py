"""What each operator that converters put in front of a network does to the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from qdebug.graph.operators import (
    BEFORE_INPUT_QUANTIZER,
    MAY_BE_PREPROCESSING,
    NEUTRAL_IN_FRONT,
)
from qdebug.graph.walk import walk
from qdebug.preprocess.graph_front.front import GraphFront, Quantizer
from qdebug.preprocess.graph_front.reader import Floats, Reader, attribute, label
from qdebug.preprocess.steps import LayoutName

_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_MOST_MOVES = 64


def read_front(model: Any, input_name: str, folder: str = "") -> GraphFront:
    """Read the front of an ONNX graph.

    Args:
        model: an ``onnx.ModelProto``.
        input_name: the graph input to follow.
        folder: where external data lies.
    """
    reader = Reader(model, input_name, folder)
    while True:
        following = _follow(reader)
        if following is None:
            return _ended(reader)
        reader.tensor = following


def _follow(reader: Reader) -> str | None:
    """Return the tensor behind the next node, None where the front ends."""
    consumers = reader.consumers.get(reader.tensor, [])
    if len(consumers) > 1:
        return _meeting(reader, consumers)
    if len(consumers) == 1 and consumers[0].op_type in _HANDLERS:
        return _HANDLERS[consumers[0].op_type](reader, consumers[0])
    return None


def _ended(reader: Reader) -> GraphFront:
    """Note the node at which the reading ended, and a quantizer a little further on."""
    front = reader.front
    for node in reader.consumers.get(reader.tensor, []):
        kind = node.op_type.lower()
        if "preprocess" in kind or kind.startswith("aipp"):
            return replace(front, unknown=label(node))
        if node.op_type in MAY_BE_PREPROCESSING:
            front = replace(front, unread=front.unread or label(node))
    return replace(front, quantizer=front.quantizer or _quantizer_behind(reader))


def _quantizer_behind(reader: Reader) -> Quantizer | None:
    """The quantizers behind nodes that only move values, if all have the same range."""
    found = {_quantizer(reader, node) for node in _quantizers_behind(reader)}
    return found.pop() if len(found) == 1 else None


def _quantizers_behind(reader: Reader) -> Iterator[Any]:
    def moved(tensor: str) -> list[str]:
        readers = reader.consumers.get(tensor, [])
        return [n.output[0] for n in readers if n.op_type in BEFORE_INPUT_QUANTIZER]

    for tensor in islice(walk([reader.tensor], moved), _MOST_MOVES):
        readers = reader.consumers.get(tensor, [])
        yield from (node for node in readers if node.op_type == "QuantizeLinear")


def _meeting(reader: Reader, parts: list[Any]) -> str | None:
    """Follow three single-channel Slices or Gathers that meet in one Concat."""
    if len(parts) != 3 or any(part.op_type not in ("Slice", "Gather") for part in parts):
        return None
    indices = [_picked(reader, part) for part in parts]
    targets = [reader.consumers.get(part.output[0], []) for part in parts]
    if None in indices or any(len(t) != 1 or t[0].op_type != "Concat" for t in targets):
        return None
    concat = targets[0][0]
    by_output = {part.output[0]: index for part, index in zip(parts, indices, strict=True)}
    return _ordered(reader, [by_output.get(name) for name in concat.input], concat)


def _ordered(reader: Reader, order: list[int | None], concat: Any) -> str | None:
    """Continue behind a Concat that restores or reverses the channels."""
    if order == [2, 1, 0]:
        return reader.reverse(concat)
    return str(concat.output[0]) if order == [0, 1, 2] else None


def _picked(reader: Reader, node: Any) -> int | None:
    """The one channel that a Slice or Gather takes."""
    if node.op_type == "Gather" and reader.on_channels(attribute(node, "axis", 0)):
        index = reader.constant(node.input[1])
        return int(index.reshape(-1)[0]) if index is not None and index.size == 1 else None
    starts, ends, axes, _ = _slice(reader, node)
    if starts and ends and axes and reader.on_channels(axes[0]) and ends[0] - starts[0] == 1:
        return starts[0]
    return None


def _arithmetic(reader: Reader, node: Any) -> str | None:
    """Read Sub, Add, Mul or Div with a constant."""
    first = node.input[0] == reader.tensor
    raw = reader.constant(node.input[1] if first else node.input[0])
    return None if raw is None else _computed(reader, node, node.op_type, raw, first)


def _qlinear(reader: Reader, node: Any) -> str | None:
    """Read ONNX Runtime's QLinearAdd or QLinearMul with a constant: ``A, scale, zero, B, ...``."""
    first = node.input[0] == reader.tensor
    raw = reader.dequantized(node.input[3:6] if first else node.input[:3])
    operator = node.op_type.removeprefix("QLinear")
    return None if raw is None else _computed(reader, node, operator, raw, first)


def _computed(reader: Reader, node: Any, operator: str, raw: Floats, first: bool) -> str | None:
    """Apply ``operator`` with a constant; ``first`` if the input is its first operand."""
    value = reader.per_channel(raw)
    if value is None or (operator == "Div" and not (first and value.all())):
        return None
    zero, one = np.zeros_like(value), np.ones_like(value)
    if operator == "Mul":
        return reader.apply(value, zero, node)
    if operator == "Div":
        return reader.apply(1 / value, zero, node)
    if operator == "Add":
        return reader.apply(one, value, node)
    return reader.apply(one, -value, node) if first else reader.apply(-one, value, node)


def _batch_norm(reader: Reader, node: Any) -> str | None:
    """Formula: ``(x - mean) / sqrt(var + epsilon) * scale + bias``."""
    values = [reader.constant(name) for name in node.input[1:5]]
    if any(v is None or v.size > 4 for v in values):
        return None
    scale, bias, mean, variance = (np.asarray(v) for v in values)
    gain = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    return reader.apply(gain, bias - mean * gain, node)


def _transpose(reader: Reader, node: Any) -> str | None:
    order = tuple(attribute(node, "perm", []))
    layouts: dict[tuple[int, ...], LayoutName] = {_TO_FIRST: "nchw", _TO_LAST: "nhwc"}
    if order not in layouts:
        return None
    reader.channels_last = order == _TO_LAST
    nodes = (*reader.front.nodes, label(node))
    reader.front = replace(reader.front, layout=layouts[order], nodes=nodes)
    return str(node.output[0])


def _gather(reader: Reader, node: Any) -> str | None:
    index = reader.constant(node.input[1])
    on_channels = reader.on_channels(attribute(node, "axis", 0))
    if index is None or not on_channels or index.reshape(-1).tolist() != [2, 1, 0]:
        return None
    return reader.reverse(node)


def _slice(reader: Reader, node: Any) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return starts, ends, axes and steps of a Slice of any opset."""
    found: list[list[int]] = []
    for position, name in enumerate(("starts", "ends", "axes", "steps"), 1):
        values = reader.constant(node.input[position]) if len(node.input) > position else None
        stated = [] if values is None else [int(v) for v in values.reshape(-1)]
        found.append(stated or list(attribute(node, name, [])))
    return found[0], found[1], found[2], found[3]


def _slice_reversed(reader: Reader, node: Any) -> str | None:
    _, _, axes, steps = _slice(reader, node)
    if steps == [-1] and len(axes) == 1 and reader.on_channels(axes[0]):
        return reader.reverse(node)
    return None


def _split_concat(reader: Reader, node: Any) -> str | None:
    """Read a Split into channels whose parts meet in one Concat."""
    targets = [reader.consumers.get(name, []) for name in node.output]
    if len(node.output) != 3 or any(len(t) != 1 or t[0].op_type != "Concat" for t in targets):
        return None
    concat, outputs = targets[0][0], list(node.output)
    order = [outputs.index(name) if name in outputs else None for name in concat.input]
    return _ordered(reader, order, concat)


def _quantize(reader: Reader, node: Any) -> str:
    """Note the range of the input's quantizer; the values pass."""
    if reader.front.quantizer is None:
        reader.front = replace(reader.front, quantizer=_quantizer(reader, node))
    reader.in_codes = True
    return str(node.output[0])


def _quantizer(reader: Reader, node: Any) -> Quantizer | None:
    """The range of a QuantizeLinear or DequantizeLinear with one scale, where it stands."""
    scale = reader.constant(node.input[1])
    if scale is None or scale.size != 1:
        return None
    low, high, zero = _codes(reader, node)
    step = float(scale.reshape(-1)[0])
    symmetric = zero == (low + high + 1) // 2 and not _is_asymmetric(reader, (low, high))
    front = reader.front
    bounds = (low - zero) * step, (high - zero) * step
    return Quantizer(*bounds, symmetric, front.gain, front.offset)


def _is_asymmetric(reader: Reader, codes: tuple[int, int]) -> bool:
    """Whether activations of the same codes have zero points that only their values can explain.

    Symmetric calibration puts zero in the middle, or at an end where nothing is negative.
    """
    low, high = codes
    usual = {low, (low + high + 1) // 2, high}
    return any(
        found[:2] == codes and found[2] not in usual
        for found in (_codes(reader, node) for node in reader.activation_quantizers())
    )


def _codes(reader: Reader, node: Any) -> tuple[int, int, int]:
    """Smallest and largest code and the zero point of a quantizer; uint8 without a zero point."""
    zero = reader.stored(node.input[2]) if len(node.input) > 2 else None
    if zero is None or zero.dtype.kind not in "iu":
        return 0, 255, 0
    limits = np.iinfo(zero.dtype)
    return int(limits.min), int(limits.max), int(zero.reshape(-1)[0])


def _dequantize(reader: Reader, node: Any) -> str | None:
    """Read the end of a Q/DQ pair, or that of an integer input: an affine map."""
    if reader.in_codes:
        reader.in_codes = False
        return str(node.output[0])
    scale = reader.constant(node.input[1])
    if scale is None or scale.size != 1:
        return None
    zero = _codes(reader, node)[2]
    following = reader.apply(scale.reshape(1), -zero * scale.reshape(1), node)
    reader.front = replace(reader.front, quantizer=_quantizer(reader, node))
    return following


def _horizon(reader: Reader, node: Any) -> str | None:
    """Read Horizon's HzPreprocess: mean and scale are attributes."""
    mean, scale = (attribute(node, name, None) for name in ("mean", "scale"))
    if mean is None and scale is None:
        return None
    gain = np.atleast_1d(np.array(1.0 if scale is None else scale, np.float64))
    shift = np.atleast_1d(np.array(0.0 if mean is None else mean, np.float64))
    return reader.apply(gain, -shift * gain, node)


_Handler = Callable[[Reader, Any], str | None]
_HANDLERS: dict[str, _Handler] = {
    **dict.fromkeys(("Sub", "Add", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _qlinear),
    **dict.fromkeys(NEUTRAL_IN_FRONT, lambda _, node: str(node.output[0])),
    "BatchNormalization": _batch_norm,
    "Transpose": _transpose,
    "Gather": _gather,
    "Slice": _slice_reversed,
    "Split": _split_concat,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "HzPreprocess": _horizon,
}
