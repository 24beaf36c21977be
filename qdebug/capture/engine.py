"""Runs both graphs side by side, segment by segment, and streams the pairs to their statistics."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdebug.capture.measuring import KEPT_FROM, Measuring, SampleParts, Sink
from qdebug.capture.parts import Part, Tap, local_shapes
from qdebug.capture.plan import Plan, carried_bytes, plan_segments, schedule
from qdebug.capture.session import SessionSettings, release_memory, shared, side_by_side
from qdebug.capture.shapes import types_for
from qdebug.capture.stages import Opened, Stage, Stages, TappedGraph
from qdebug.capture.stats import LayerStats
from qdebug.errors import ModelError
from qdebug.graph.channels import channel_axes
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairs import Pair, TensorForm
from qdebug.graph.walk import walk
from qdebug.processors import processors
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

Observer = Callable[[range, Feeds, Mapping[int, Array], Mapping[int, Array]], None]
"""Receives a segment's positions, the float graph's tensors known when it began, and the float
and local values of its pairs. It must keep none of them."""

PIECE = 96 << 20
"""Bytes of tensors captured at once, where the cap allows more: the same memory is used again and
again, and part of it is still in the cache. ``docs/benchmarks.md`` has the times by size."""
MOST_PAIRS = 256
"""Pairs captured at once: opening a session takes time with the square of its outputs. Of 5,069
layers all sessions take 1.6 seconds of processor time, as many as in pieces of 128, in pieces of
512 2.0 and of 1,024 3.0."""
_FLOAT_BYTES = 4
_ALIGNMENT = 64 // _FLOAT_BYTES


@dataclass(frozen=True)
class CaptureSettings:
    """What to capture and how.

    Attributes:
        float_session: how the float graph is run.
        quant_session: how the quant graph is run.
        max_memory: bytes of captured tensors held at once.
        local: measure local error too.
        measure: whether there is anything to measure, or only a sink to be fed.
        workers: threads that run and measure; 0 for one a processor.
    """

    float_session: SessionSettings = field(default_factory=SessionSettings)
    quant_session: SessionSettings = field(default_factory=SessionSettings)
    max_memory: int = DEFAULT_MEMORY
    local: bool = True
    measure: bool = True
    workers: int = 0


class Scratch:
    """Memory that the tapped tensors of one side are written to, reused by every run."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.float32)

    def buffers(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """Float32 arrays of the given shapes, side by side, valid until the next call."""
        sizes = {n: -(-_elements(s) // _ALIGNMENT) * _ALIGNMENT for n, s in shapes.items()}
        if sum(sizes.values()) > len(self._memory):
            self._memory = np.empty(0, np.float32)
            self._memory = np.empty(sum(sizes.values()), np.float32)
        found, start = {}, 0
        for name, shape in shapes.items():
            found[name] = self._memory[start : start + _elements(shape)].reshape(shape)
            start += sizes[name]
        return found


_Run = tuple[Opened, Mapping[str, Any], Mapping[str, Array]]
"""What is run, what it is fed with, and memory for outputs."""


class Capture:
    """Captures every pair of two graphs, over any number of samples.

    Args:
        float_graph: the reference.
        quant_graph: its twin.
        pairs: in execution order of the float graph.
        feeds: inputs of both graphs for one sample, to plan memory by.
        samples: number of samples to come.
        settings: what to capture.
        segments: fixed ranges of pairs to capture together; by default the memory plan's.
        observer: told about every segment while its values are there.

    Raises:
        ModelError: ONNX Runtime cannot run one of the graphs.
    """

    def __init__(
        self,
        float_graph: Graph,
        quant_graph: Graph,
        pairs: Sequence[Pair],
        feeds: tuple[Feeds, Feeds],
        samples: int,
        settings: CaptureSettings,
        *,
        segments: Sequence[range] | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.float_graph, self.quant_graph = float_graph, quant_graph
        self.pairs, self.settings = pairs, settings
        self.float_types = types_for(float_graph, feeds[0], settings.float_session)
        self.quant_types = types_for(quant_graph, feeds[1], settings.quant_session)
        self._signature = _signature(feeds)
        self.shapes = self._pair_shapes()
        self.local_shapes = local_shapes(self.pairs, self.float_types, self.quant_types)
        """Of the pairs whose float value can stand in for the quant one."""
        axes = channel_axes(float_graph, self.float_types)
        ends = set(float_graph.outputs)
        self.stats = [
            LayerStats(
                p.quantizer, axes.get(p.float_tensor), samples, prefix=p.float_tensor in ends
            )
            for p in pairs
        ]
        self._float_taps = [Tap(i, p.float_tensor, TensorForm()) for i, p in enumerate(pairs)]
        self._quant_taps = [Tap(i, p.read, p.read_form) for i, p in enumerate(pairs)]
        self._float_plan = schedule(float_graph, [[p.float_tensor] for p in pairs])
        self._quant_plan = schedule(quant_graph, [[p.read] for p in pairs])
        self._local_reads = self._float_values_read_by_local()
        self.plan = self._make_plan()
        if segments is not None:
            self.plan = replace(self.plan, segments=tuple(segments))
        self._observer = observer
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="qdebug-sessions")
        self._scratch = Scratch(), Scratch()
        self._at_once, self._side_settings = _sides(settings)
        workers = settings.workers or processors()
        # Beside the thread that calls.
        self._pool = ThreadPoolExecutor(max(1, workers - 1), "qdebug-capture")
        self._is_long = samples >= KEPT_FROM
        self._measuring = Measuring(
            self.stats, self._pool, workers, measure=settings.measure, keep=self._is_long
        )
        self._stages = self._make_stages()
        self._stages.open_ahead(0)
        # Compiled on a machine's first run: meanwhile the sessions are opened. Not in the pool,
        # whose only thread may be the one that runs the quant side.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="qdebug-loops")
        self._loader.submit(importlib.import_module, "qdebug.metrics.kernels")

    def close(self) -> None:
        """Release the worker threads, the sessions and the memory; the statistics stay."""
        self._loader.shutdown(wait=True)
        self._opener.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._stages.close()
        self._scratch = Scratch(), Scratch()
        release_memory()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_sample(
        self,
        float_feeds: Feeds,
        quant_feeds: Feeds,
        sink: Sink | None = None,
        *,
        local: bool = True,
        last: bool = False,
        parts: SampleParts | None = None,
    ) -> None:
        """Run one sample through both graphs and include it in the statistics.

        Args:
            float_feeds: inputs of the float graph.
            quant_feeds: inputs of the quant graph.
            sink: receives every captured value.
            local: measure local error on this sample too, where the settings ask for any.
            last: none comes after it: each segment's sessions are closed as soon as they have run.
            parts: filled with what the sample gives, in place of the statistics.

        Raises:
            ModelError: a run failed.
        """
        self._adapt_to(float_feeds, quant_feeds)
        self._measuring.parts = parts
        carried: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        held: dict[int, Array] = {}
        for number in range(len(self.plan.segments)):
            stage = self._stages.get(number)
            values = self._run_sides(stage, (float_feeds, quant_feeds), carried, sink)
            if self.settings.local and local:
                later = self._needed_later(stage)
                held.update({at: values[at] for at in later if at in values})
                if stage.local:
                    reached = {**float_feeds, **carried[0]}
                    self._run_local(stage, {**held, **values}, quant_feeds, reached)
                for at in held.keys() & set(stage.positions):
                    held[at] = held[at].copy()  # its scratch memory is about to be reused
            self._release(stage, carried, held)
            if last:
                self._stages.drop(number)
        self._measuring.settle()

    def _run_sides(
        self,
        stage: Stage,
        feeds: tuple[Feeds, Feeds],
        carried: tuple[dict[str, Any], dict[str, Any]],
        sink: Sink | None,
    ) -> dict[int, Array]:
        """Measure the accumulated error of a segment; the float values of its pairs."""
        sides = (stage.float_side,), stage.quant_sides
        tapped = [self._tapped(stage, side) for side in sides]
        memory = [s.buffers(shapes) for s, shapes in zip(self._scratch, tapped, strict=True)]

        def run(side: int, opened: Opened, before: Future[Any] | None = None) -> dict[int, Array]:
            if before is not None:
                before.result()
            return self._run_side(stage, opened, feeds[side], carried[side], memory[side])

        beside: list[Future[dict[int, Array]]] = []
        if self._at_once:
            for opened in stage.quant_sides:
                beside.append(self._pool.submit(run, 1, opened, beside[-1] if beside else None))
        try:
            float_values = run(0, stage.float_side)
            self._measuring.settle()  # the quant side takes longer
            for number, opened in enumerate(stage.quant_sides):
                quant_values = beside[number].result() if beside else run(1, opened)
                self._measuring.pairs(list(quant_values), float_values, quant_values, sink)
        finally:
            wait(beside)  # they write to memory that the next runs get
        return float_values

    def _run_side(
        self,
        stage: Stage,
        opened: Opened,
        feeds: Feeds,
        carried: dict[str, Any],
        memory: Mapping[str, Array],
    ) -> dict[int, Array]:
        """Run a part of one side; the values of its pairs."""
        fed = {**feeds, **carried}
        buffers = {n: memory[n] for n in opened.part.taps.values() if n in memory}
        found = self._run(stage, (opened, fed, buffers))
        carried.update({name: found[name] for name in opened.part.carries})
        return _of_pairs(opened.part, fed, found)

    def _run_local(
        self, stage: Stage, known: Mapping[int, Array], feeds: Feeds, reached: Feeds
    ) -> None:
        """Measure the local error of a segment, fed with the float values that are known."""
        buffers = self._scratch[1].buffers(self._tapped(stage, stage.local))
        runs = []
        for opened in stage.local:
            inputs = {n: known[at] for n, at in opened.part.float_inputs.items() if at in known}
            runs.append((opened, {**feeds, **inputs}, buffers))
        found = self._run_all(stage, runs)
        local_values: dict[int, Array] = {}
        for (opened, fed, _), values in zip(runs, found, strict=True):
            local_values.update(_of_pairs(opened.part, fed, values))
        self._measuring.local(list(local_values), known, local_values)
        if self._observer is not None:
            here = {at: known[at] for at in stage.positions if at in known}
            self._observer(stage.positions, reached, here, local_values)

    def _run_all(self, stage: Stage, runs: Sequence[_Run]) -> list[dict[str, Any]]:
        """Run what is independent, at the same time if memory allows; outputs by their names."""
        first, *others = runs
        if not self._at_once:
            return [self._run(stage, run) for run in runs]
        beside = [self._pool.submit(self._run, stage, run) for run in others]
        try:
            found = [self._run(stage, first)]
        finally:
            wait(beside)  # they write to memory that the next runs get
        return found + [future.result() for future in beside]

    def _run(self, stage: Stage, run: _Run) -> dict[str, Any]:
        opened, feeds, buffers = run
        if opened.session is None:
            return {}
        try:
            return opened.session.run(feeds, buffers=buffers)
        except ModelError:
            if not buffers:
                raise
            # An inferred shape may be wrong where the true one depends on values: let ONNX
            # Runtime allocate. A real failure raises again.
            found = opened.session.run(feeds)
            given = {n: buffer.shape for n, buffer in buffers.items() if n in found}
            stage.unsized |= {n for n, shape in given.items() if found[n].shape != shape}
            return found

    def _tapped(self, stage: Stage, runs: Iterable[Opened]) -> dict[str, tuple[int, ...]]:
        """Shapes of the tapped outputs that are written to memory of their own."""
        return {
            name: self.shapes[at]
            for opened in runs
            for at, name in opened.part.taps.items()
            if at in self.shapes and name not in stage.unsized and name not in opened.part.carries
        }

    def include(self, parts: SampleParts) -> None:
        """Include what another process measured; samples come in their order."""
        self._measuring.include(parts)

    def _release(
        self,
        stage: Stage,
        carried: tuple[dict[str, Any], dict[str, Any]],
        held: dict[int, Array],
    ) -> None:
        """Drop what no later segment reads."""
        after = stage.positions.stop
        sides = ((self._float_plan, self.float_graph), (self._quant_plan, self.quant_graph))
        for values, (plan, graph) in zip(carried, sides, strict=True):
            for name in [n for n in values if plan.last_use(graph, n) < after]:
                del values[name]
        for at in [at for at in held if self._local_reads.get(at, -1) < after]:
            del held[at]

    def _needed_later(self, stage: Stage) -> list[int]:
        after = stage.positions.stop
        return [at for at in stage.positions if self._local_reads.get(at, -1) >= after]

    def _float_values_read_by_local(self) -> dict[int, int]:
        """For each pair, the last position whose local part reads its float value."""
        if not self.settings.local or len(self.pairs) == 0:
            return {}
        source = {p.raw: at for at, p in enumerate(self.pairs) if at in self.shapes}
        reads: dict[int, int] = {}
        for at, pair in enumerate(self.pairs):
            for raw in _upstream(self.quant_graph, pair, source):
                reads[source[raw]] = max(at, reads.get(source[raw], -1))
        return reads

    def _make_plan(self) -> Plan:
        count = len(self.pairs)
        sizes = [_elements(self.shapes.get(at, ())) * _FLOAT_BYTES for at in range(count)]
        float_readers = {
            self.pairs[at].float_tensor: last for at, last in self._local_reads.items()
        }
        carried = [
            a + b
            for a, b in zip(
                carried_bytes(
                    self.float_graph,
                    self._float_plan,
                    count,
                    _tensor_bytes(self.float_types),
                    float_readers,
                ),
                carried_bytes(
                    self.quant_graph, self._quant_plan, count, _tensor_bytes(self.quant_types)
                ),
                strict=True,
            )
        ]
        # The rest is for what ONNX Runtime needs between the captured tensors.
        cap = self.settings.max_memory // 8 * 7
        pieces = (cap, None) if self._has_half else (min(cap, PIECE), MOST_PAIRS)
        return plan_segments([2 * size for size in sizes], carried, *pieces)

    @property
    def _has_half(self) -> bool:
        """Whether a graph computes in float16, where ONNX Runtime keeps more digits between nodes.

        What is carried over a cut is rounded to float16: such graphs are cut only where they must.
        """
        known = (*self.float_types.values(), *self.quant_types.values())
        return any(kind.elem_type == onnx.TensorProto.FLOAT16 for kind in known)

    def _make_stages(self) -> Stages:
        graphs = self.float_graph, self.quant_graph
        types = self.float_types, self.quant_types
        plans, taps = (self._float_plan, self._quant_plan), (self._float_taps, self._quant_taps)
        sides = map(TappedGraph, graphs, types, plans, taps, self._side_settings)
        halved = self._at_once and not self._has_half
        return Stages(
            (next(sides), next(sides)),
            self.pairs,
            self.plan.segments,
            self.local_shapes if self.settings.local else None,
            self._opener,
            halved=halved,
            in_turn=halved and self._is_long,
        )

    def _pair_shapes(self) -> dict[int, tuple[int, ...]]:
        found = {}
        for at, pair in enumerate(self.pairs):
            known = self.float_types.get(pair.float_tensor)
            if known is not None and known.fixed_shape is not None:
                found[at] = known.fixed_shape
        return found

    def _adapt_to(self, float_feeds: Feeds, quant_feeds: Feeds) -> None:
        """Learn the tensors' shapes anew where this sample's inputs have other ones."""
        signature = _signature((float_feeds, quant_feeds))
        if signature == self._signature:
            return
        self._signature = signature
        self.float_types = types_for(self.float_graph, float_feeds, self.settings.float_session)
        self.quant_types = types_for(self.quant_graph, quant_feeds, self.settings.quant_session)
        self.shapes = self._pair_shapes()
        self.local_shapes = local_shapes(self.pairs, self.float_types, self.quant_types)
        self._stages = self._make_stages()


def _of_pairs(part: Part, feeds: Mapping[str, Any], found: Mapping[str, Any]) -> dict[int, Array]:
    """Values of a part's taps by position of the pair."""
    values = {at: found[name] for at, name in part.taps.items()}
    return values | {at: _as_float32(feeds[name]) for at, name in part.direct.items()}


def _sides(settings: CaptureSettings) -> tuple[bool, list[SessionSettings]]:
    """Whether memory allows both sides to run at the same time, and how each is run.

    Two runs of small operators, each with its share of the processors, use them better than one
    after the other with all of them. Each has no more than its share where they run in turn, too:
    with another number of threads sums come in another order, and the memory allowed would change
    the last bits.
    """
    sides = settings.float_session, settings.quant_session
    at_once = all(side_by_side(s, settings.max_memory, len(sides))[0] == len(sides) for s in sides)
    return at_once, [shared(side, len(sides)) for side in sides]


def _upstream(graph: Graph, pair: Pair, source: Mapping[str, int]) -> Iterator[str]:
    """Raw tensors of the nearest pairs upstream of a pair's quant layer."""

    def before(tensor: str) -> tuple[str, ...]:
        return () if tensor in source else graph.sources(tensor)

    return (tensor for tensor in walk(graph.sources(pair.raw), before) if tensor in source)


def _signature(feeds: tuple[Feeds, Feeds]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape) for side in feeds for name, array in sorted(side.items()))


def _tensor_bytes(types: Mapping[str, TensorType]) -> dict[str, int]:
    return {
        name: _elements(known.fixed_shape) * _FLOAT_BYTES
        for name, known in types.items()
        if known.fixed_shape is not None
    }


def _elements(shape: Sequence[int]) -> int:
    return math.prod(shape)


def _as_float32(value: Array) -> Array:
    return np.asarray(value, np.float32)
