"""Runs changed quant graphs and keeps what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if.changes import COUNTED_DB, Change, Gain, Outcome, Part, gain_at
from qdebug.analysis.what_if.replacing import Replacements, given_input
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import Session, SessionSettings, side_by_side
from qdebug.capture.shapes import types_for
from qdebug.errors import QdebugError
from qdebug.graph.channels import channel_axes
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairs import Pairing
from qdebug.graph.rewrite import PartBuilder
from qdebug.graph.shapes import infer_types
from qdebug.metrics.moments import Moments, include, measure
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

SAMPLES = 4
"""The first samples of the run, which a gain is computed on: it bounds what the checks cost. By
judgement."""


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
        self.replacements = Replacements(graphs, pairing, self._shape)
        self._forms = {pair.float_tensor: pair.read_form for pair in pairing.pairs}
        self._feeds, self.settings = feeds, settings
        self._side_by_side, self._shared = side_by_side(settings[1], max_memory)
        self.samples = range(min(count, SAMPLES))
        self._known: dict[tuple[str, int], Outcome | None] = {}
        self.undone = Change()

    def on_top_of(self, undone: Change) -> WhatIf:
        """The same runs with a change made before any other, and gains taken against it."""
        other = copy(self)
        other.undone = undone.on_top_of(self.undone)
        return other

    @cached_property
    def feeds(self) -> list[tuple[Feeds, Feeds]]:
        """Inputs of the samples."""
        return [self._feeds(number) for number in self.samples]

    def can_free(self, at: int) -> bool:
        """Whether a pair's tensor can be taken out of quantization."""
        return self.replacements.can_free(at)

    def is_possible(self, change: Change) -> bool:
        """Whether a change touches anything in this graph."""
        return self.replacements.is_possible(change)

    def sources(self, at: int) -> frozenset[int]:
        """Positions of the pairs that the float nodes of a pair's layer read."""
        return self.replacements.float_layers.sources(at)

    def outcome(self, change: Change, count: int = SAMPLES) -> Outcome | None:
        """Error at the outputs under a change; None where it cannot be made or run.

        Args:
            change: what to do otherwise.
            count: samples to run.
        """
        change = change.on_top_of(self.undone)
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
        made = [c.on_top_of(self.undone) for c in changes if self.is_possible(c)]
        new = {c.key: c for c in made if c.key not in known}
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
            base: what the gain is taken against; None for the quant graph as it is, what is undone
                of it (``on_top_of``) included.
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
        gains = [gain_at(part, before, after) for part in asked if part.output in before.moments]
        damaged = [g for g in gains if not g.before > COUNTED_DB] or gains
        return max(damaged, key=lambda g: g.db, default=None)

    @cached_property
    def _reference(self) -> list[dict[str, Array]]:
        session = Session(self.float_graph.whole, self.float_graph, self.settings[0].deployed)
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
        return {given_input(at): np.asarray(values[n], np.float32) for at, n in names.items()}

    def _run(self, change: Change, count: int, settings: SessionSettings) -> Outcome:
        builder = PartBuilder(self.quant_graph)
        where = self._build(change, builder)
        session = Session(builder.build(), self.quant_graph, settings)
        moments: dict[str, Moments] = {}
        alone: list[dict[str, Moments]] = []
        for feeds, reference in list(zip(self.feeds, self._reference, strict=True))[:count]:
            values = session.run({**feeds[1], **self._given(change, feeds[0])})
            alone.append({})
            for name in where:
                f, q = reference[name], values[where[name]].astype(np.float32, copy=False)
                axis = self._axes.get(name)
                part = measure(f, np.reshape(q, f.shape), axis if f.ndim > 1 else None)
                alone[-1][name] = part
                include(moments, name, part)
        return Outcome(moments, tuple(alone))

    def _build(self, change: Change, builder: PartBuilder) -> dict[str, str]:
        """Emit the changed graph; where each compared output is found in it."""
        graph = self.quant_graph
        renames: dict[str, str] = {}
        replaced = self.replacements.all(change, builder, renames)
        renames.update({tensor: r.new for r in replaced for tensor in r.readings})
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

    def _is_comparable(self, float_name: str, quant_name: str) -> bool:
        kinds = self.float_graph.type_of(float_name), self.quant_graph.type_of(quant_name)
        return all(kind.dtype in ("float", "float16", "undefined") for kind in kinds)


def _emit_all(after: dict[str, list[Callable[[], None]]], tensors: Sequence[str]) -> None:
    for tensor in tensors:
        for emit in after.pop(tensor, ()):
            emit()
