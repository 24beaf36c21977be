"""What if: the quant graph with some of its quantization undone or done otherwise, run again.

This is how an estimated gain is computed rather than guessed: the same samples, the same
simulation, one thing changed, and the error at the model's outputs before and after. A tensor is
freed by letting its consumers read what comes before its Q/DQ pair, a weight by putting the float
model's in its place, a range by another Q/DQ pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import Session, SessionSettings, side_by_side
from qdebug.capture.shapes import types_for
from qdebug.errors import QdebugError
from qdebug.graph.channels import channel_axes
from qdebug.graph.model import Graph, Node, TensorType
from qdebug.graph.operators import (
    BETWEEN_Q_AND_DQ_IN_PLACE,
    CLIPPING,
    DEQUANTIZE_OPS,
    QUANTIZE_OPS,
)
from qdebug.graph.pairs import Pair, Pairing, Quantizer, WeightPair
from qdebug.graph.rewrite import PREFIX, PartBuilder
from qdebug.graph.shapes import infer_types
from qdebug.graph.walk import walk
from qdebug.metrics.metric import sqnr_db
from qdebug.metrics.moments import Moments, include, measure
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

SAMPLES = 4
"""The first samples of the run, which a gain is computed on: it bounds what the checks cost. By
judgement."""
LOW_DB, HIGH_DB = -20.0, 60.0
"""SQNR is cut to these ends before a gain is taken: beyond them differences mean nothing. By
judgement."""
COUNTED_DB = 35.0
"""A gain counts where the output has less than this: above, quantization does no harm. By
judgement."""
_FLOAT = 1  # onnx.TensorProto.FLOAT


@dataclass(frozen=True)
class Change:
    """What is done otherwise than in the quant graph.

    Attributes:
        free: positions of pairs whose tensor is not quantized.
        weights: indices of float nodes whose weight and bias are the float model's.
        quantizers: pair position to the quantizer it gets instead of its own.
        given: positions of pairs whose layer's result is replaced by the float run's value, which
            then goes through the layer's own quantizer.
    """

    free: frozenset[int] = frozenset()
    weights: frozenset[int] = frozenset()
    quantizers: Mapping[int, Quantizer] = field(default_factory=dict)
    given: frozenset[int] = frozenset()

    @property
    def key(self) -> str:
        """Equal for equal changes."""
        given = [(at, str(self.quantizers[at])) for at in sorted(self.quantizers)]
        return str((sorted(self.free), sorted(self.weights), given, sorted(self.given)))


@dataclass(frozen=True)
class Part:
    """Some channels of one output, measured as one.

    Attributes:
        output: its name in the float graph.
        channels: which ones; None for all.
    """

    output: str
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """Error at the outputs.

    Attributes:
        moments: by float output name, a row for every channel.
    """

    moments: Mapping[str, Moments]

    def sqnr_db(self, part: Part) -> float:
        """SQNR of a part of an output, dB."""
        whole = self.moments[part.output]
        chosen = whole if part.channels is None else whole.rows(part.channels)
        total = chosen.total()
        if float(total.nonfinite_f[0] + total.nonfinite_q[0]) > 0:
            return float("nan")
        return float(sqnr_db(total)[0])


@dataclass(frozen=True)
class Gain:
    """What a change wins at the part of the outputs where it wins most.

    Attributes:
        part: which part.
        before: SQNR there as the quant model is, dB.
        after: SQNR there with the change, dB.
    """

    part: Part
    before: float
    after: float

    @property
    def db(self) -> float:
        """Gain in dB."""
        return _bounded(self.after) - _bounded(self.before)


@dataclass(frozen=True)
class _Replacement:
    """What stands in for some tensors.

    Attributes:
        readings: tensors whose consumers read something else.
        raw: tensor that it is made of.
        new: what they read instead.
        emit: adds the nodes that make ``new``, once ``raw`` is there.
    """

    readings: Sequence[str]
    raw: str
    new: str
    emit: Callable[[], None]


class WhatIf:
    """Runs changed quant graphs; results are kept.

    Args:
        graphs: float and quant graph.
        pairing: of the two.
        outputs: float output name to quant output name.
        feeds: inputs of both graphs for a sample by its number.
        count: number of samples there are; the first ``SAMPLES`` are used.
        settings: how the float and the quant graph are run.
        max_memory: bytes; changes are run side by side as far as this suffices.
    """

    def __init__(
        self,
        graphs: tuple[Graph, Graph],
        pairing: Pairing,
        outputs: Mapping[str, str],
        feeds: Callable[[int], tuple[Feeds, Feeds]],
        count: int,
        settings: tuple[SessionSettings, SessionSettings],
        max_memory: int = DEFAULT_MEMORY,
    ) -> None:
        self.float_graph, self.quant_graph = graphs
        self.pairs, self.weights = pairing.pairs, pairing.weights
        self.outputs = {f: q for f, q in outputs.items() if self._is_comparable(f, q)}
        self._forms = {pair.float_tensor: pair.read_form for pair in pairing.pairs}
        self._feeds, self.settings = feeds, settings
        self._side_by_side, self._shared = side_by_side(settings[1], max_memory)
        self.samples = range(min(count, SAMPLES))
        self._known: dict[tuple[str, int], Outcome | None] = {}

    @cached_property
    def feeds(self) -> list[tuple[Feeds, Feeds]]:
        """Inputs of the samples."""
        return [self._feeds(number) for number in self.samples]

    def can_free(self, at: int) -> bool:
        """Whether a pair's tensor can be taken out of quantization."""
        return bool(self._readings(self.pairs[at]))

    def is_possible(self, change: Change) -> bool:
        """Whether a change touches anything in this graph."""
        if any(self.can_free(at) for at in change.free | set(change.quantizers)):
            return True
        if any(self._shape(at) is not None for at in change.given):
            return True
        weights = (w.quant_tensor for w in self.weights if w.node in change.weights)
        return any(_dequantized(self.quant_graph, tensor) for tensor in weights)

    def outcome(self, change: Change, count: int = SAMPLES) -> Outcome | None:
        """Error at the outputs under a change; None where it cannot be made or run.

        Args:
            change: what to do otherwise.
            count: samples to run.
        """
        key = change.key, self._taken(count)
        if key not in self._known:
            self._known[key] = self._tried(change, count, self.settings[1])
        return self._known[key]

    def run_ahead(self, changes: Iterable[Change], count: int = SAMPLES) -> None:
        """Compute the outcomes of several changes side by side, to be asked for after.

        Each takes its share of the processors: most of a short run is opening its session, which
        only one of them does.

        Args:
            changes: what to do otherwise, one by one.
            count: samples to run.
        """
        known = {key for key, taken in self._known if taken == self._taken(count)}
        new = {c.key: c for c in changes if c.key not in known and self.is_possible(c)}
        if len(new) < 2 or self._side_by_side < 2:
            return
        _ = self._reference, self._axes, self._types  # before several threads ask for them
        with ThreadPoolExecutor(self._side_by_side, "qdebug-what-if") as pool:
            found = pool.map(lambda c: self._tried(c, count, self._shared), new.values())
            for key, outcome in zip(new, found, strict=True):
                self._known[key, self._taken(count)] = outcome

    def _taken(self, count: int) -> int:
        return min(count, len(self.samples))

    def _tried(self, change: Change, count: int, settings: SessionSettings) -> Outcome | None:
        try:
            return self._run(change, count, settings)
        except (QdebugError, KeyError, ValueError):
            return None

    def gain(
        self,
        change: Change,
        parts: Sequence[Part] = (),
        base: Change | None = None,
        count: int = SAMPLES,
    ) -> Gain | None:
        """Gain of a change at the part that wins most, among those that are damaged.

        Args:
            change: what to do otherwise.
            parts: of the outputs; by default each output as a whole.
            base: what the gain is taken against; None for the quant graph as it is.
            count: samples to run.

        Returns:
            None where the change cannot be made: it would change nothing.
        """
        if not self.is_possible(change):
            return None
        before = self.outcome(Change() if base is None else base, count)
        after = self.outcome(change, count)
        if before is None or after is None:
            return None
        asked = parts or [Part(name) for name in before.moments]
        gains = [
            Gain(part, before.sqnr_db(part), after.sqnr_db(part))
            for part in asked
            if part.output in before.moments
        ]
        damaged = [g for g in gains if not g.before > COUNTED_DB] or gains
        return max(damaged, key=lambda g: g.db, default=None)

    @cached_property
    def _reference(self) -> list[dict[str, Array]]:
        session = Session(self.float_graph.path, self.float_graph, self.settings[0].deployed)
        names = list(self.outputs)
        return [
            {n: np.array(v, np.float32) for n, v in session.run(feeds[0], names).items()}
            for feeds in self.feeds
        ]

    @cached_property
    def _axes(self) -> Mapping[str, int]:
        shapes = {name: value.shape for name, value in self.feeds[0][0].items()}
        return channel_axes(self.float_graph, infer_types(self.float_graph, shapes))

    @cached_property
    def _types(self) -> Mapping[str, TensorType]:
        return types_for(self.float_graph, self.feeds[0][0], self.settings[0])

    def _shape(self, at: int) -> tuple[int, ...] | None:
        """Shape of a pair's float tensor on the first sample."""
        known = self._types.get(self.pairs[at].float_tensor)
        return known.fixed_shape if known is not None else None

    @cached_property
    def _fetcher(self) -> Fetcher:
        return Fetcher(self.float_graph, self.settings[0])

    def _given(self, change: Change, feeds: Feeds) -> dict[str, Array]:
        """The float run's values that a change puts in, by model input."""
        names = {at: self.pairs[at].float_tensor for at in sorted(change.given)}
        values = self._fetcher.values(list(names.values()), feeds) if names else {}
        return {_given_input(at): np.asarray(values[n], np.float32) for at, n in names.items()}

    def _run(self, change: Change, count: int, settings: SessionSettings) -> Outcome:
        builder = PartBuilder(self.quant_graph)
        where = self._build(change, builder)
        session = Session(builder.build(), self.quant_graph, settings)
        moments: dict[str, Moments] = {}
        for feeds, reference in list(zip(self.feeds, self._reference, strict=True))[:count]:
            values = session.run({**feeds[1], **self._given(change, feeds[0])})
            for name in where:
                f, q = reference[name], values[where[name]].astype(np.float32, copy=False)
                axis = self._axes.get(name)
                part = measure(f, np.reshape(q, f.shape), axis if f.ndim > 1 else None)
                include(moments, name, part)
        return Outcome(moments)

    def _build(self, change: Change, builder: PartBuilder) -> dict[str, str]:
        """Emit the changed graph; where each compared output is found in it."""
        graph = self.quant_graph
        replaced = self._replacements(change, builder)
        renames = {tensor: r.new for r in replaced for tensor in r.readings}
        after: dict[str, list[Callable[[], None]]] = {}
        for replacement in replaced:
            after.setdefault(replacement.raw, []).append(replacement.emit)
        for name in graph.inputs:
            known = graph.type_of(name)
            builder.add_input(name, known.elem_type, known.shape)
        _emit_all(after, [*graph.inputs, *graph.initializers])
        for node in graph.nodes:
            builder.add_nodes([node], renames)
            _emit_all(after, node.outputs)
        return {name: self._output(name, renames, builder) for name in self.outputs}

    def _output(self, name: str, renames: Mapping[str, str], builder: PartBuilder) -> str:
        quant_name = self.outputs[name]
        held = renames.get(quant_name, quant_name)
        form = self._forms.get(name)
        if form is not None and form.perm is not None:
            elem_type = self.quant_graph.type_of(quant_name).elem_type
            held = builder.decode(held, form, elem_type, f"out/{name}")
        builder.add_output(held)
        return held

    def _replacements(self, change: Change, builder: PartBuilder) -> list[_Replacement]:
        positions = sorted(change.free | set(change.quantizers))
        found = [self._float_value(at, builder) for at in sorted(change.given)]
        found += [self._activation(at, change, builder) for at in positions]
        weights = [w for w in self.weights if w.node in change.weights]
        return found + [r for w in weights if (r := self._float_weight(w, builder)) is not None]

    def _activation(self, at: int, change: Change, builder: PartBuilder) -> _Replacement:
        pair, quantizer = self.pairs[at], change.quantizers.get(at)
        folded, tag = self._folded(pair), f"what-if/{at}"
        raw = _given_value(at) if at in change.given else pair.raw
        new = raw if folded is None else f"{PREFIX}{tag}/activation"

        def emit() -> None:
            if folded is not None:
                _emit_activation(self.float_graph, folded, raw, tag, builder)
            if quantizer is not None:
                codes = builder.quantization("QuantizeLinear", new, quantizer, f"{tag}/q")
                builder.quantization("DequantizeLinear", codes, quantizer, f"{tag}/dq")

        read = new if quantizer is None else f"{PREFIX}{tag}/dq"
        return _Replacement(self._readings(pair), pair.raw, read, emit)

    def _float_value(self, at: int, builder: PartBuilder) -> _Replacement:
        """The float run's value where the layer's result was."""
        pair, shape = self.pairs[at], self._shape(at)
        name = builder.add_input(_given_input(at), _FLOAT, shape)
        known = self.quant_graph.type_of(pair.raw)
        form = pair.raw_form
        held = builder.encode(name, form, known.elem_type, known.fixed_shape, f"what-if/given/{at}")
        copy = _given_value(at)
        return _Replacement(
            [pair.raw], pair.raw, copy, lambda: _nothing(builder.emit("Identity", [held], copy))
        )

    def _float_weight(self, weight: WeightPair, builder: PartBuilder) -> _Replacement | None:
        readings = _dequantized(self.quant_graph, weight.quant_tensor)
        value = in_quant_layout(weight, self.quant_graph) if readings else None
        if value is None:
            return None
        name = builder.constant(f"{PREFIX}what-if/weight/{weight.quant_tensor}", value)
        return _Replacement(readings, weight.quant_tensor, name, _nothing)

    def _readings(self, pair: Pair) -> list[str]:
        if pair.raw_form.quantizer is not None:
            return []
        return _dequantized(self.quant_graph, pair.raw)

    def _folded(self, pair: Pair) -> Node | None:
        """The float activation that the quant graph leaves to the Q/DQ pair, if any."""
        maker = self.float_graph.producer.get(pair.float_tensor)
        source = self.quant_graph.producer.get(pair.raw)
        if maker is None or maker.op not in CLIPPING:
            return None
        if source is not None and source.op in CLIPPING | {"FusedConv"}:
            return None
        return maker

    def _is_comparable(self, float_name: str, quant_name: str) -> bool:
        kinds = self.float_graph.type_of(float_name), self.quant_graph.type_of(quant_name)
        return all(kind.dtype in ("float", "float16", "undefined") for kind in kinds)


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
    stored = codes.astype(np.float64)
    stored -= stored.mean()
    value = weight.quant_value.astype(np.float64)
    return float((stored * value.T).sum()) > float((stored * value).sum())


def _dequantized(graph: Graph, raw: str) -> list[str]:
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


def _emit_activation(graph: Graph, node: Node, value: str, tag: str, builder: PartBuilder) -> str:
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


def _emit_all(after: dict[str, list[Callable[[], None]]], tensors: Sequence[str]) -> None:
    for tensor in tensors:
        for emit in after.pop(tensor, ()):
            emit()


def _bounded(db: float) -> float:
    return LOW_DB if np.isnan(db) else float(np.clip(db, LOW_DB, HIGH_DB))


def _nothing(*_: object) -> None:
    """Emits nothing: what is read instead is there already."""


def _given_value(at: int) -> str:
    """That value in the quant graph's form."""
    return f"{PREFIX}what-if/given/{at}/value"


def _given_input(at: int) -> str:
    """The model input that takes a pair's float value."""
    return f"{PREFIX}what-if/float/{at}"
