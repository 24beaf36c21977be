"""Runs changed quant graphs and keeps what comes of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if.building import Building
from qdebug.analysis.what_if.changes import COUNTED_DB, Change, Gain, Outcome, Part, gain_at
from qdebug.analysis.what_if.kept import KeptTensors
from qdebug.analysis.what_if.replacing import Replacements, given_input
from qdebug.analysis.what_if.switches import Opened, Switched, together
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import Session, SessionSettings, side_by_side
from qdebug.capture.shapes import types_for
from qdebug.errors import QdebugError
from qdebug.graph.channels import channel_axes
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairs import Pairing
from qdebug.metrics.moments import Moments, include, measure
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Alone = Mapping[str, Moments]
"""Error at each output on one sample."""

SAMPLES = 4
"""The first samples of the run, which a gain is computed on: it bounds what the checks cost. By
judgement."""


KEPT_SHARE = 4
"""Of the memory allowed, the part that tensors may take that are kept: one in so many."""


@dataclass(frozen=True)
class _Begun:
    """A change that another thread runs, or will, and on which samples."""

    what: tuple[Change, list[int]]
    future: Future[Sequence[Alone] | None]


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
        references: the float model's outputs as deployed, by sample and name, as far as they are
            known; ``forget`` empties it.
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
        references: dict[int, dict[str, Array]] | None = None,
    ) -> None:
        self.float_graph, self.quant_graph = graphs
        self.pairing, self.pairs = pairing, pairing.pairs
        self.outputs = {f: q for f, q in outputs.items() if self._is_comparable(f, q)}
        self.replacements = Replacements(graphs, pairing, self._shape)
        self._feeds, self.settings = feeds, settings
        # The same for a run alone: with another number of threads sums come in another order.
        self._side_by_side, shared = side_by_side(settings[1], max_memory)
        self._shared = replace(shared, short_lived=True)
        self.samples = range(min(count, SAMPLES))
        self._known: dict[tuple[str, int], Alone | None] = {}
        self._begun: dict[str, _Begun] = {}
        self._lanes: list[ThreadPoolExecutor] = []
        self._switched: list[Switched] = []
        self._preparing = threading.Lock()
        self.undone = Change()
        self.max_memory = max_memory
        self._references = {} if references is None else references

    def on_top_of(self, undone: Change) -> WhatIf:
        """The same runs with a change made before any other, and gains taken against it."""
        other = copy(self)
        other.undone = undone.on_top_of(self.undone)
        return other

    def forget(self) -> None:
        """Give back the tensors that were kept; later runs make them anew."""
        while self._lanes:
            self._lanes.pop().shutdown(wait=True, cancel_futures=True)
        self._begun.clear()
        self._switched.clear()
        kept = ("feeds", "_kept", "_kept_values", "_building", "_reference")
        for name in (*kept, "_fetcher", "_float_session"):
            self.__dict__.pop(name, None)
        self._references.clear()

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
        numbers = self._unknown(change, count)
        if numbers:
            # Changes side by side have one lane each; the samples of one change share all.
            busy = any(not begun.future.done() for begun in self._begun.values())
            aside = self._side_by_side - busy if len(numbers) > 1 else 1
            self._include(change, numbers, self._tried(change, numbers, aside))
        found = [self._known[change.key, number] for number in range(self._taken(count))]
        alone = tuple(parts for parts in found if parts is not None)
        return _outcome(alone) if len(alone) == len(found) else None

    def _unknown(self, change: Change, count: int) -> list[int]:
        """Samples that a change has not been run on yet, of those to be taken."""
        begun = self._begun.pop(change.key, None)
        if begun is not None:
            found = self._tried(*begun.what) if begun.future.cancel() else begun.future.result()
            self._include(change, begun.what[1], found)
        return [n for n in range(self._taken(count)) if (change.key, n) not in self._known]

    def _include(
        self, change: Change, numbers: Sequence[int], found: Sequence[Alone] | None
    ) -> None:
        for at, number in enumerate(numbers):
            self._known[change.key, number] = None if found is None else found[at]

    def run_ahead(self, changes: Iterable[Change], count: int = SAMPLES) -> None:
        """Compute the outcomes of several changes side by side, to be asked for after.

        Each takes its share of the processors: most of a short run is opening its session, which
        only one of them does.

        Args:
            changes: what to do otherwise, one by one.
            count: samples to run.
        """
        asked = [x.on_top_of(self.undone) for x in changes if self.is_possible(x)]
        self._start(asked, count)
        # This thread takes part from the other end: what no other has begun with it runs itself.
        for change in reversed(asked):
            self._unknown(change, count)

    def begin(self, changes: Iterable[Change], count: int = SAMPLES) -> None:
        """Start to compute the outcomes of changes that will be asked for; who asks waits for them.

        They share sessions as far as that pays, and so do later changes that do part of them.

        Args:
            changes: what to do otherwise, one by one.
            count: samples to run.
        """
        asked = [x.on_top_of(self.undone) for x in changes if self.is_possible(x)]
        self._switched += map(Switched, together(asked, self.replacements.reached))
        self._start(asked, count)

    def _start(self, changes: Iterable[Change], count: int) -> None:
        """Let other threads run changes that are not known yet."""
        made = {change.key: change for change in changes}
        new = [
            (change, numbers)
            for key, change in made.items()
            if key not in self._begun and (numbers := self._unknown(change, count))
        ]
        if len(new) < 2 or self._side_by_side < 2:
            return
        if not self._lanes:
            self._lanes.append(ThreadPoolExecutor(self._side_by_side - 1, "qdebug-what-if"))
        for what in new:
            self._begun[what[0].key] = _Begun(what, self._lanes[0].submit(self._tried, *what))

    def _prepare(self) -> None:
        """What every run needs, whichever thread asks for it first.

        What cannot be had is asked for again by the run, which fails then.
        """
        with self._preparing:
            if not {"_kept_values", "_reference"} <= self.__dict__.keys():
                self._make_ready()

    def open(self) -> None:
        """Open what later runs begin with, before it is needed.

        Not where nothing is quantized: then none will come. Nor where memory is for one run at a
        time: the samples take it.
        """
        is_quantized = any(pair.quantizer is not None for pair in self.pairs)
        if is_quantized and self._side_by_side > 1:
            with contextlib.suppress(QdebugError, KeyError, ValueError):
                self._kept.open()

    def get_ready(self) -> None:
        """Run what ``open`` has opened."""
        if "_kept" in self.__dict__:
            with self._preparing, contextlib.suppress(QdebugError, KeyError, ValueError):
                _ = self._axes, self._kept_values

    def _make_ready(self) -> None:
        with contextlib.suppress(QdebugError, KeyError, ValueError):
            _ = self.feeds, self._axes
        with ThreadPoolExecutor(self._side_by_side, "qdebug-what-if") as pool:
            for name in ("_kept_values", "_reference"):
                pool.submit(getattr, self, name)

    def _taken(self, count: int) -> int:
        return min(count, len(self.samples))

    def _tried(
        self, change: Change, numbers: Sequence[int], aside: int = 1
    ) -> Sequence[Alone] | None:
        """What a change gives on some samples; None where it cannot be made or run."""
        self._prepare()
        try:
            return self._run(change, numbers, aside)
        except (QdebugError, KeyError, ValueError):
            return None

    def gain(
        self,
        change: Change,
        parts: Sequence[Part] = (),
        base: Change | None = None,
        count: int = SAMPLES,
        *,
        everywhere: bool = False,
    ) -> Gain | None:
        """Gain of a change at the part that wins most, among those that are damaged.

        Args:
            change: what to do otherwise.
            parts: of the outputs; by default each output as a whole.
            base: what the gain is taken against; None for the quant graph as it is, what is undone
                of it (``on_top_of``) included.
            count: samples to run.
            everywhere: also at parts that are not damaged (``COUNTED_DB``).

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
        damaged = [g for g in gains if everywhere or not g.before > COUNTED_DB] or gains
        return max(damaged, key=lambda g: g.db, default=None)

    @cached_property
    def _reference(self) -> list[dict[str, Array]]:
        return [
            {n: np.asarray(v, np.float32) for n, v in self._deployed(number).items()}
            for number in self.samples
        ]

    def _deployed(self, number: int) -> Mapping[str, Array]:
        """The float model's outputs of a sample as deployed: known, or run for."""
        known = self._references.get(number, {})
        if all(known.get(name) is not None for name in self.outputs):
            return {name: known[name] for name in self.outputs}
        return self._float_session.run(self.feeds[number][0], list(self.outputs))

    @cached_property
    def _float_session(self) -> Session:
        return Session(self.float_graph.whole, self.float_graph, self.settings[0].deployed)

    @cached_property
    def _axes(self) -> Mapping[str, int]:
        return channel_axes(self.float_graph, self._types)

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

    @property
    def kept_names(self) -> frozenset[str]:
        """Tensors of the quant graph that are not computed again where a change leaves them."""
        return frozenset(self._kept_values[0])

    @cached_property
    def _kept(self) -> KeptTensors:
        feeds = [quant for _, quant in self.feeds]
        budget, aside = self.max_memory // KEPT_SHARE, self._side_by_side
        return KeptTensors(self.quant_graph, self._shared, feeds, budget, aside)

    @cached_property
    def _kept_values(self) -> list[dict[str, Any]]:
        """What is kept of each sample, by quant tensor."""
        return self._kept.values()

    @cached_property
    def _building(self) -> Building:
        forms = {pair.float_tensor: pair.read_form for pair in self.pairs}
        kept = self._kept_values[0]
        return Building(self.quant_graph, self.replacements, self.outputs, forms, kept)

    def _run(self, change: Change, numbers: Sequence[int], aside: int) -> Sequence[Alone]:
        shared = next((s for s in self._switched if s.covers(change)), None)
        opened = shared.opened(self._open) if shared is not None else None
        opened = opened or self._open(change)

        def run(number: int) -> Alone:
            return self._run_sample(number, change, opened)

        if aside == 1:
            return list(map(run, numbers))
        with ThreadPoolExecutor(aside, "qdebug-what-if") as pool:
            return list(pool.map(run, numbers))

    def _open(self, change: Change, *, switched: bool = False) -> Opened:
        model, where = self._building.build(change, switched=switched)
        is_run = bool(model.graph.output)
        session = Session(model, self.quant_graph, self._shared) if is_run else None
        return Opened(session, where, change if switched else None)

    def _run_sample(self, number: int, change: Change, opened: Opened) -> Alone:
        """Error at each output on one sample."""
        feeds, kept = self.feeds[number], self._kept_values[number]
        given = {**self._given(change, feeds[0]), **opened.switches(change)}
        found: dict[str, Any] = {}
        if opened.session is not None:
            found = opened.session.run({**feeds[1], **kept, **given})
        parts = {}
        for name, tensor in opened.where.items():
            f, q = self._reference[number][name], found.get(tensor, kept.get(tensor))
            axis = self._axes.get(name)
            q = np.reshape(np.asarray(q, np.float32), f.shape)
            parts[name] = measure(f, q, axis if f.ndim > 1 else None)
        return parts

    def _is_comparable(self, float_name: str, quant_name: str) -> bool:
        kinds = self.float_graph.type_of(float_name), self.quant_graph.type_of(quant_name)
        return all(kind.dtype in ("float", "float16", "undefined") for kind in kinds)


def _outcome(alone: tuple[Alone, ...]) -> Outcome:
    """What several samples give together."""
    moments: dict[str, Moments] = {}
    for parts in alone:
        for name, part in parts.items():
            include(moments, name, part)
    return Outcome(moments, alone)
