"""Does the quant graph compute the same operators, its quantization aside?

Every quant layer is run in float arithmetic: fed with the float run's inputs, its activations'
quantizers taken out, the float model's weights in place of its own. What then differs from the
float layer is not quantization: another operator, another parameter, another operand. No
threshold of a network enters: a layer that computes the same agrees up to float32's rounding.

Where either side has a Relu or Clip, both results are cut to what the layer's own quantizer lets
through before they are compared: an activation folded into it is no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from qdebug.analysis.same_layers import SameLayers, float_constant, weight_readings
from qdebug.analysis.what_if import in_quant_layout
from qdebug.capture.session import Session, SessionSettings, side_by_side
from qdebug.capture.shapes import types_for
from qdebug.capture.state import is_nonfinite
from qdebug.capture.stats import Range
from qdebug.errors import QdebugError
from qdebug.graph.model import Graph, Node, TensorType
from qdebug.graph.operators import (
    CLIPPING,
    DEQUANTIZE_OPS,
    DYNAMIC_OPS,
    FAKE_QUANTIZE_OPS,
    INTEGER_ACCUMULATORS,
    OPS_ON_CODES,
    QUANTIZE_OPS,
    WEIGHT_ONLY_OPS,
)
from qdebug.graph.pairs import Pairing
from qdebug.graph.qparams import linear_quantizer
from qdebug.graph.regions import Region, Regions
from qdebug.graph.rewrite import PREFIX, PartBuilder
from qdebug.metrics.moments import Moments, measure
from qdebug.metrics.sqnr import level_db
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

HELD = 1 << 24
"""Elements of float tensors and of weights that a run holds at once."""
_FLOAT = 1
_NO_FLOAT_FORM = (
    DYNAMIC_OPS | FAKE_QUANTIZE_OPS | INTEGER_ACCUMULATORS | OPS_ON_CODES | WEIGHT_ONLY_OPS
)


@dataclass(frozen=True)
class OperatorError:
    """What is left of a layer's local error when nothing is quantized.

    Attributes:
        signal: mean square of the float values.
        error: mean square of the difference.
        exact: whether nothing of the layer stayed quantized: then all of it is the operator.
        peak: largest difference in steps of the layer's quantizer; ``inf`` where it has none.
        cut_db: signal against what is left of the error behind the layer's quantizer, dB.
        between: whether quantizers stand between the operators: the smaller error, of taking them
            out altogether and of leaving their ranges, which may hold an activation.
    """

    signal: float
    error: float
    exact: bool
    peak: float = float("inf")
    cut_db: float = float("inf")
    between: bool = False

    @property
    def sqnr_db(self) -> float:
        """Signal against error, dB; ``inf`` without any."""
        return level_db(self.signal, self.error)


NO_ERROR = OperatorError(math.inf, 0.0, exact=True, peak=0.0)
"""Of a layer that is the float one by its nodes: nothing of it is run or measured."""


class OperatorTest:
    """Runs the layers of a quant graph without their quantization.

    Args:
        graphs: float and quant graph.
        pairing: of the two.
        feeds: inputs of both graphs for one sample.
        settings: how the two are run.
        max_memory: bytes; runs go on side by side as far as this suffices.
    """

    def __init__(
        self,
        graphs: tuple[Graph, Graph],
        pairing: Pairing,
        feeds: tuple[Feeds, Feeds],
        settings: tuple[SessionSettings, SessionSettings],
        max_memory: int = DEFAULT_MEMORY,
    ) -> None:
        self.float_graph, self.quant_graph = graphs
        self.pairs, self.weights = pairing.pairs, pairing.weights
        self.feeds, self.settings = feeds, settings
        self._side_by_side = min(side_by_side(side, max_memory)[0] for side in settings)
        self.float_types = types_for(graphs[0], feeds[0], settings[0])
        self.quant_types = types_for(graphs[1], feeds[1], settings[1])
        self.regions = Regions(*graphs, pairing.pairs, self.float_types, self.quant_types)
        self.same = SameLayers(self.regions, pairing.weights, feeds)

    def errors(self, positions: Iterable[int]) -> dict[int, OperatorError]:
        """What each layer computes otherwise; a layer that cannot be run so is left out.

        Args:
            positions: of pairs.
        """
        found: dict[int, OperatorError] = {}
        run: list[Region] = []
        for region in self._testable(positions):
            if self.same.is_same(region):
                found[region.at] = NO_ERROR
            else:
                run.append(region)
        with ThreadPoolExecutor(self._side_by_side, "qdebug-operators") as pool:
            for errors in pool.map(self._measured, self._chunks(run)):
                found.update(errors)
        return found

    def _testable(self, positions: Iterable[int]) -> Iterator[Region]:
        for at in positions:
            if self._can_be_measured(at):
                region = self.regions.region(at)
                if region.quant_nodes and all(map(_has_float_form, region.quant_nodes)):
                    yield region

    def _chunks(self, regions: Iterable[Region]) -> Iterator[list[Region]]:
        chunk: list[Region] = []
        held = 0
        for region in regions:
            at = region.at
            size = _elements(self._shape(at)) * 2 + self._weights(region)
            if chunk and held + size > HELD:
                yield chunk
                chunk, held = [], 0
            chunk.append(region)
            held += size
        if chunk:
            yield chunk

    def _weights(self, region: Region) -> int:
        """Elements of the constants that the region's float form holds a copy of."""
        graph = self.quant_graph
        nodes = (graph.nodes[index] for index in region.all_quant_nodes)
        names = {name for node in nodes for name in node.inputs if name}
        shapes = (graph.type_of(name).fixed_shape for name in names if graph.is_constant(name))
        return sum(map(_elements, shapes))

    def _can_be_measured(self, at: int) -> bool:
        pair = self.pairs[at]
        real = pair.raw_form.quantizer is None
        return real and pair.raw in self.quant_graph.producer and self._shape(at) is not None

    def _shape(self, at: int) -> tuple[int, ...] | None:
        known = self.float_types.get(self.pairs[at].float_tensor)
        return known.fixed_shape if known is not None else None

    def _measured(self, chunk: Sequence[Region]) -> dict[int, OperatorError]:
        try:
            return self._run(chunk)
        except (QdebugError, KeyError, ValueError):
            if len(chunk) == 1:
                return {}
        middle = len(chunk) // 2  # one layer that cannot be run so must not take the others along
        return {**self._measured(chunk[:middle]), **self._measured(chunk[middle:])}

    def _run(self, chunk: Sequence[Region]) -> dict[int, OperatorError]:
        part = _FloatForm(self, chunk, ranges=True)
        found = self._run_form(part, chunk)
        again = [region for region in chunk if region.at in part.between and region.at in found]
        if again:
            other = self._run_form(_FloatForm(self, again, ranges=False), again)
            for at, error in other.items():
                smaller = min(error, found[at], key=lambda e: e.error)
                found[at] = replace(smaller, between=True)
        return found

    def _run_form(self, part: _FloatForm, chunk: Sequence[Region]) -> dict[int, OperatorError]:
        model = part.build()
        positions = {*part.fed.values(), *(region.at for region in chunk)}
        values = self._float_values([self.pairs[at].float_tensor for at in positions])
        inputs = {
            name: np.ascontiguousarray(values[self.pairs[at].float_tensor], np.float32)
            for name, at in part.fed.items()
        }
        session = Session(model, self.quant_graph, self.settings[1])
        results = session.run({**self.feeds[1], **inputs, **part.given})
        return {
            at: error
            for at, name in part.measured.items()
            if (error := self._error(at, values, results[name], part.exact[at])) is not None
        }

    def _float_values(self, tensors: Sequence[str]) -> dict[str, Array]:
        """The float run's values: all in one run, the chunk bounds how many."""
        graph = self.float_graph
        computed = [name for name in dict.fromkeys(tensors) if name in graph.producer]
        builder = PartBuilder(graph)
        builder.add_nodes(graph.nodes[index] for index in sorted(graph.ancestors(computed)))
        for name in graph.inputs:
            known = graph.type_of(name)
            builder.add_input(name, known.elem_type, known.shape)
        for name in computed:
            builder.add_output(name)
        session = Session(builder.build(), graph, self.settings[0])
        return {**self.feeds[0], **session.run(self.feeds[0])}

    def _clips(self, at: int) -> bool:
        """Whether an activation may stand in the layer's quantizer, all or part of it."""
        region = self.regions.region(at)
        return any(node.op in CLIPPING for node in (*region.float_nodes, *region.quant_nodes))

    def _error(
        self, at: int, values: Mapping[str, Array], found: Array, exact: bool
    ) -> OperatorError | None:
        f = np.asarray(values[self.pairs[at].float_tensor], np.float32)
        if f.size != found.size:
            return None
        q = np.asarray(found, np.float32).reshape(f.shape)
        whole = measure(f, q)
        if is_nonfinite(whole):
            return None
        limits = Range.of(self.pairs[at].quantizer)
        cut = whole if limits is None else _measured_within(limits, f, q, whole)
        counted = cut if self._clips(at) else whole
        step = limits.step if limits is not None and limits.step > 0 else 0.0
        peak = float(counted.max_abs_e[0]) / step if step else float("inf")
        (signal, error), (_, left) = _mean_squares(counted), _mean_squares(cut)
        cut_db = level_db(_mean_squares(whole)[0], left)
        return OperatorError(signal, error, exact, peak, cut_db)


def _measured_within(limits: Range, f: Array, q: Array, whole: Moments) -> Moments:
    """Both values cut to what a quantizer can represent."""
    low, high = min(whole.min_f[0], whole.min_q[0]), max(whole.max_f[0], whole.max_q[0])
    if low >= limits.low and high <= limits.high:
        return whole
    return measure(np.clip(f, limits.low, limits.high), np.clip(q, limits.low, limits.high))


def _mean_squares(moments: Moments) -> tuple[float, float]:
    """Of the float value and of the error."""
    count = max(float(moments.n[0]), 1)
    return float(moments.ff[0]) / count, float(moments.ee[0]) / count


class _FloatForm:
    """Builds the quant layers without their quantization, fed with float values.

    Attributes:
        fed: model input to the pair position whose float value it takes.
        given: model input to the float weight it takes: in the model, it would be there twice more,
            in its bytes and in the session.
        measured: pair position to output name.
        exact: pair position to whether nothing of its layer stayed quantized.
        between: positions of pairs whose layer has quantizers between its operators.
    """

    def __init__(self, test: OperatorTest, chunk: Sequence[Region], *, ranges: bool) -> None:
        self.test, self.chunk, self.ranges = test, chunk, ranges
        self.between: set[int] = set()
        self.graph, self.pairs = test.quant_graph, test.pairs
        self.constants = test.regions.quant_constants
        self.builder = PartBuilder(self.graph)
        self.fed: dict[str, int] = {}
        self.given: dict[str, Array] = {}
        self.measured: dict[int, str] = {}
        self.exact = {region.at: True for region in chunk}
        self.names: dict[str, str] = {}
        self.codes: set[str] = set()

    def build(self) -> Any:
        wanted = sorted({index for region in self.chunk for index in region.all_quant_nodes})
        self._feed(wanted)
        self._weights(wanted)
        for index in wanted:
            self._add(self.graph.nodes[index])
        for region in self.chunk:
            self._measure(region)
        self._graph_inputs()
        return self.builder.build()

    def _feed(self, wanted: Sequence[int]) -> None:
        """Readers of a paired tensor read the float run's value."""
        reads = {name for index in wanted for name in self.graph.nodes[index].reads}
        for raw, at in self.test.regions.of_raw.items():
            shape = self.test._shape(at)
            if raw not in reads or shape is None or raw in self.graph.inputs:
                continue
            name = self.builder.add_input(f"{PREFIX}float/{at}", _FLOAT, shape)
            self.fed[name] = at
            kind = self.test.quant_types.get(raw, TensorType(0, None))
            pair = self.pairs[at]
            if pair.raw_form.quantizer is not None:
                raise ValueError(f"{raw} holds codes")
            self.names[raw] = self.builder.encode(
                name, pair.raw_form, kind.elem_type, kind.fixed_shape, f"feed/{at}"
            )

    def _graph_inputs(self) -> None:
        for name in self.graph.inputs:
            known = self.graph.type_of(name)
            self.builder.add_input(name, known.elem_type, known.shape)

    def _add(self, node: Node) -> None:
        source = node.inputs[0] if node.inputs else ""
        if node.op in QUANTIZE_OPS and source not in self.constants:
            self._quantizer(node, source)
        elif node.op in DEQUANTIZE_OPS and source in self.constants:
            self._constant(node)
        elif node.op in DEQUANTIZE_OPS or (node.op == "Clip" and source in self.codes):
            self._alias(node.outputs[0], source)
        else:
            if source in self.codes:
                self.codes.update(node.outputs)
            self.builder.add_nodes([node], self.names)

    def _alias(self, tensor: str, source: str) -> None:
        self.names[tensor] = self.names.get(source, source)

    def _quantizer(self, node: Node, source: str) -> None:
        """Out of the way; of one between the operators of a layer the range may stay."""
        self.codes.add(node.outputs[0])
        quantizer = linear_quantizer(self.constants, node)
        limits = Range.of(quantizer) if quantizer is not None else None
        at = self.test.regions.quant_source(source)
        if at is None:
            within = [r.at for r in self.chunk if node.index in r.all_quant_nodes]
            self.between.update(within)
        if at is not None or limits is None or not self.ranges:
            self._alias(node.outputs[0], source)
            if limits is None and at is None:
                self._inexact(node)
            return
        tag = f"{PREFIX}range/{node.outputs[0]}"
        ends = [
            self.builder.constant(f"{tag}/{end}", np.asarray(value, np.float32))
            for end, value in (("low", limits.low), ("high", limits.high))
        ]
        value = self.names.get(source, source)
        low = self.builder.emit("Max", [value, ends[0]], f"{tag}/above")
        self.names[node.outputs[0]] = self.builder.emit("Min", [low, ends[1]], tag)

    def _inexact(self, node: Node) -> None:
        for region in self.chunk:
            if node.index in region.all_quant_nodes:
                self.exact[region.at] = False

    def _weights(self, wanted: Sequence[int]) -> None:
        """The float model's weights and biases in place of the quant model's; shared ones once."""
        reads = {name for index in wanted for name in self.graph.nodes[index].reads}
        for weight in self.test.weights:
            readings = [name for name in weight_readings(self.graph, weight) if name in reads]
            done = all(name in self.names for name in readings)
            value = None if done else in_quant_layout(weight, self.graph)
            if value is None:
                continue
            name = f"{PREFIX}weight/{weight.quant_tensor}"
            kind = self.graph.type_of(weight.quant_tensor).dtype
            stored = value.astype(np.float16 if kind == "float16" else np.float32, copy=False)
            known = helper.np_dtype_to_tensor_dtype(stored.dtype)
            self.builder.add_input(name, known, stored.shape)
            self.given[name] = stored
            self.names.update(dict.fromkeys(readings, name))

    def _constant(self, node: Node) -> None:
        if node.outputs[0] in self.names:  # a weight
            return
        regions = [r for r in self.chunk if node.index in r.all_quant_nodes]
        found = (float_constant(self.test.regions, node, r) for r in regions)
        twin = next((value for value in found if value is not None), None)
        if twin is None:
            self.builder.add_nodes([node])
            if _elements(self.graph.type_of(node.inputs[0]).fixed_shape) > 1:
                self._inexact(node)
            return
        name = self.builder.constant(f"{PREFIX}constant/{node.outputs[0]}", twin)
        self.names[node.outputs[0]] = name

    def _measure(self, region: Region) -> None:
        pair = self.pairs[region.at]
        kind = self.test.quant_types.get(pair.raw, TensorType(0, None)).elem_type
        out = self.builder.decode(pair.raw, pair.raw_form, kind, f"operator/{region.at}")
        self.measured[region.at] = out
        self.builder.add_output(out)


def _has_float_form(node: Node) -> bool:
    """Whether the node computes on real numbers, or keeps codes as they are."""
    return node.op not in _NO_FLOAT_FORM and not node.op.startswith(("Ascend", "QLinear"))


def _elements(shape: Sequence[int] | None) -> int:
    return int(np.prod(shape)) if shape is not None else 0
