"""ncnn's calibration table: two lines for each layer with weights, and whose they are.

The names are those of ``pnnx``, which keeps none of ONNX's. But a table holds the scale of each
weight channel, ``127 / largest magnitude``, and so tells the weight that it was made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qdebug.encodings.source import Source
from qdebug.encodings.weights import largest, output_axis
from qdebug.graph.model import Graph, Node
from qdebug.graph.simplify import simplified
from qdebug.graph.validity import name_of

TOP = 127
"""Largest code; the smallest is its negative."""
_SHORT_TOP = 31
"""Largest code of a weight that ncnn computes by Winograd's algorithm (3x3, stride 1)."""
_ALPHA_8, _ALPHA_6 = 3.92403714, 3.28691474
"""Deviations at which ACIQ cuts a normal distribution for 8 and 6 bits, from ncnn2table."""
OPS = ("Conv", "Gemm", "MatMul")
"""What becomes a Convolution, a ConvolutionDepthWise or an InnerProduct, which ncnn quantizes."""
WEIGHT_LINE = re.compile(r"^(.+)_param_0$")
OTHER_LINE = re.compile(r"_param_[1-9]\d*$")
_TOLERANCE = 2.0**-9
"""Relative. pnnx may store weights as float16 and truncates them, by up to ``2 ** -10``."""
_SUBNORMAL = 2.0**-14
"""pnnx writes smaller weights as zero where it stores float16."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """One layer of a table.

    Attributes:
        name: as ncnn has it.
        weight: float64 ``[channels]``, or ``[groups]``: codes a unit; infinite for zeros.
        fed: the same of the layer's input.
        line: of the weight's scales.
        fed_line: of the input's.
    """

    name: str
    weight: Floats
    fed: float
    line: int
    fed_line: int


def is_table(source: Source) -> bool:
    """Whether a file is a table: by the names of its first lines."""
    rows = [line.split(maxsplit=1) for _, line in source.lines()]
    return (
        any(WEIGHT_LINE.match(row[0]) and len(row) == 2 for row in rows)
        and "{" not in (source.head[:1])
    )


def layers_of(source: Source) -> list[Layer]:
    """The layers of a table, in its order.

    Raises:
        EncodingsError: a scale is no number, not above zero, or one of a layer's two lines is
            missing.
    """
    weights: dict[str, tuple[int, Floats]] = {}
    inputs: dict[str, tuple[int, float]] = {}
    for number, line in source.lines():
        key, *texts = line.split()
        found = WEIGHT_LINE.match(key)
        name = found[1] if found else key
        rows: dict[str, tuple[int, Floats]] | dict[str, tuple[int, float]]
        rows = weights if found else inputs
        if OTHER_LINE.search(key):
            continue
        if name in rows:
            raise source.fault(f"{name_of(key)} has a second line, as line {rows[name][0]}", number)
        scales = np.asarray([_scale(source, text, key, number) for text in texts])
        if found:
            weights[name] = number, scales
        elif len(scales) == 1:
            inputs[name] = number, float(scales[0])
        else:
            raise source.fault(
                f"{name_of(key)} has {len(scales)} scales; an input has one",
                number,
                "the table is cut off, or was edited by hand",
            )
    _check_pairs(source, weights, inputs)
    return [
        Layer(name, scales, inputs[name][1], line, inputs[name][0])
        for name, (line, scales) in weights.items()
    ]


def _scale(source: Source, text: str, key: str, line: int) -> float:
    if text == "inf" and WEIGHT_LINE.match(key):
        return float("inf")
    value = source.number(text, f"a scale of {name_of(key)}", line)
    if value <= 0:
        raise source.fault(f"a scale of {name_of(key)} is {value:g}; it must be above zero", line)
    return value


def _check_pairs(
    source: Source,
    weights: dict[str, tuple[int, Floats]],
    inputs: dict[str, tuple[int, float]],
) -> None:
    """Refuse a layer with one line: ncnn2int8 then gives up on all later layers of that type."""
    hint = "a layer needs both its lines; comment out both to keep it in float"
    for name, (line, scales) in weights.items():
        if name not in inputs:
            raise source.fault(f"{name_of(name)} has no line for its input", line, hint)
        if not scales.size:
            raise source.fault(f"{name_of(name)} has no scales", line, hint)
    for name, (line, _) in inputs.items():
        if name not in weights:
            raise source.fault(f"{name_of(name)} has no line for its weight", line, hint)
    if not weights:
        raise source.fault("it has no entries", hint="the file is cut off or of another format")


@dataclass(frozen=True)
class Mark:
    """What tells a weight of the float graph.

    Attributes:
        node: its reader.
        largest: float64 ``[channels]``, or ``[groups]``: magnitudes of what ncnn stores.
        channels: of the weight's output.
        size: weights of one channel or group.
        factor: float64, shaped like ``largest``: what pnnx multiplies the weight with before.
    """

    node: Node
    channels: int
    size: int
    largest: Floats
    factor: Floats


def matched(layers: Sequence[Layer], graph: Graph) -> dict[str, Mark]:
    """Find the weight of each layer by its scales; equal weights are told apart by their order.

    Returns:
        By the layer's name; of the float graph, or of that with BatchNormalization in its weights
        where more layers are found so.
    """
    folded = simplified(graph.proto, graph.folder)
    bases = [Graph(folded, graph.path, graph.sha256, folder=graph.folder)] if folded else []
    return max((_matched(layers, base) for base in [*bases, graph]), key=len)


def _matched(layers: Sequence[Layer], graph: Graph) -> dict[str, Mark]:
    marks = list(_marks(graph))
    taken: set[str] = set()
    found: dict[str, Mark] = {}
    for layer in layers:
        free = [mark for mark in marks if mark.node.label not in taken]
        best = min(free, key=lambda mark: _distance(layer.weight, mark), default=None)
        if best is not None and _distance(layer.weight, best) <= _TOLERANCE:
            found[layer.name] = best
            taken.add(best.node.label)
    return found


def _marks(graph: Graph) -> Iterator[Mark]:
    """What each weight looks like in a table: as it is, and with a factor behind its product."""
    for node in graph.nodes:
        if node.op not in OPS or len(node.inputs) < 2:
            continue
        weight = graph.constant(node.inputs[1]) if graph.is_constant(node.inputs[1]) else None
        if weight is None or weight.ndim < 2:
            continue
        reach = largest(weight, output_axis(node, weight.ndim)).astype(np.float64)
        channels = reach.size
        reach = reach.reshape(groups(node) or reach.size, -1).max(axis=1)
        size = weight.size // reach.size
        yield Mark(node, channels, size, reach, np.ones_like(reach))
        factor = _factor(graph, node)
        if factor is not None and factor.size in (1, reach.size):
            wide = np.broadcast_to(factor, reach.shape)
            yield Mark(node, channels, size, reach * wide, wide)


def _factor(graph: Graph, node: Node) -> Floats | None:
    """Magnitudes of the constant that alone multiplies a node's result; None for no such."""
    readers = graph.readers.get(node.outputs[0], [])
    if len(readers) != 1 or readers[0].op != "Mul":
        return None
    constant = next((t for t in readers[0].inputs if graph.is_constant(t)), None)
    value = graph.constant(constant) if constant is not None else None
    return None if value is None else np.abs(value).astype(np.float64).reshape(-1)


def groups(node: Node) -> int:
    """The number of groups of a grouped product, each of which has one scale; else 0."""
    count = int(node.attributes.get("group", 1))
    return count if count > 1 else 0


def _distance(scales: Floats, mark: Mark) -> float:
    """The largest relative difference between scales and what a weight would have."""
    marks = mark.largest
    if scales.shape != marks.shape:
        return float("inf")
    zero = np.isinf(scales)
    if (marks[zero] >= _SUBNORMAL).any() or (marks[~zero] == 0).any():
        return float("inf")
    reach = marks[~zero] * scales[~zero]
    return min(float(np.abs(reach / top - 1).max(initial=0)) for top in _tops(mark.size))


def _tops(size: int) -> Iterator[float]:
    """Codes of a channel's largest magnitude, of ``size`` weights: by KL's way, and by ACIQ's.

    ncnn2table estimates the deviation of normally distributed weights from the largest and sets
    the threshold at a multiple of that (Banner et al., Post training 4-bit quantization, 2019).
    """
    spread = 0.35 * (1 + np.sqrt(np.pi * np.log(4))) / np.sqrt(2 * np.log(size)) if size > 1 else 0
    for top, alpha in ((TOP, _ALPHA_8), (_SHORT_TOP, _ALPHA_6)):
        yield top
        if spread:
            yield top / (alpha * spread)
