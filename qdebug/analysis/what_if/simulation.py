"""Runs a changed quant graph on a sample, beginning as late in it as what is kept allows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if.building import Building
from qdebug.analysis.what_if.changes import Alone, Change
from qdebug.analysis.what_if.kept import KeptTensors
from qdebug.analysis.what_if.lanes import CANNOT
from qdebug.analysis.what_if.replacing import Replacements, given_input
from qdebug.analysis.what_if.sessions import Opened, Switched
from qdebug.analysis.what_if.tails import LATE, Tail, Tails
from qdebug.capture.fetch import Fetcher
from qdebug.capture.once import Once
from qdebug.capture.session import Session, SessionSettings, side_by_side
from qdebug.capture.shapes import types_for
from qdebug.graph.channels import channel_axes
from qdebug.graph.model import Graph, TensorType
from qdebug.graph.pairs import Pairing
from qdebug.metrics.moments import measure
from qdebug.quantities import DEFAULT_MEMORY

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]

SAMPLES = 4
"""The first samples of the run, which a gain is computed on: it bounds what the checks cost. By
judgement."""
KEPT_SHARE = 4
"""Of the memory allowed, the part that tensors may take that are kept: one in so many."""
FRONTS_SHARE = 4
"""Of what may be kept, the part that is left for what changed graphs give: one in so many. By
judgement."""


class Simulation:
    """Runs changes of a quant graph.

    Args:
        graphs: float and quant graph.
        pairing: of the two.
        outputs: float output name to quant output name.
        feeds: inputs of both graphs for a sample by its number.
        count: number of samples there are; the first ``SAMPLES`` are used.
        settings: how the float and the quant graph are run.
        max_memory: bytes; changes are run side by side as far as this suffices.
        references: the float model's outputs by sample and name, as far as they are known;
            ``forget`` empties it.
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
        self.samples = range(min(count, SAMPLES))
        # The same for a run alone: with another number of threads sums come in another order.
        self.side_by_side, shared = side_by_side(settings[1], max_memory)
        self._shared = replace(shared, short_lived=True)
        self._switched: list[Switched] = []
        self._preparing = threading.Lock()
        self.max_memory = max_memory
        self._references = {} if references is None else references

    def forget(self) -> None:
        """Give back the tensors that were kept; later runs make them anew."""
        self._switched.clear()
        kept = ("feeds", "_kept", "_kept_values", "_tails", "_building", "_reference")
        for name in (*kept, "_fetcher", "_float_session"):
            self.__dict__.pop(name, None)
        self._references.clear()

    @cached_property
    def feeds(self) -> list[tuple[Feeds, Feeds]]:
        """Inputs of the samples."""
        return [self._feeds(number) for number in self.samples]

    def open(self) -> None:
        """Open what later runs begin with, before it is needed.

        Not where nothing is quantized: then none will come. Nor where memory is for one run at a
        time: the samples take it.
        """
        is_quantized = any(pair.quantizer is not None for pair in self.pairs)
        if is_quantized and self.side_by_side > 1:
            with contextlib.suppress(*CANNOT):
                self._kept.open()

    def get_ready(self) -> None:
        """Run what ``open`` has opened."""
        if "_kept" in self.__dict__:
            with self._preparing, contextlib.suppress(*CANNOT):
                _ = self._axes, self._kept_values

    def _prepare(self) -> None:
        """What every run needs, whichever thread asks for it first.

        What cannot be had is asked for again by the run, which fails then.
        """
        with self._preparing:
            if not {"_kept_values", "_reference"} <= self.__dict__.keys():
                self._make_ready()
                with contextlib.suppress(*CANNOT):
                    _ = self._tails, self._building

    def _make_ready(self) -> None:
        with contextlib.suppress(*CANNOT):
            _ = self.feeds, self._axes
        with ThreadPoolExecutor(self.side_by_side, "qdebug-what-if") as pool:
            for name in ("_kept_values", "_reference"):
                pool.submit(getattr, self, name)

    def share(self, changes: Sequence[Change]) -> None:
        """Let several changes, and those that do part of them, have one session."""
        self._switched.append(Switched(changes, self._switchable))

    def expect(self, change: Change) -> None:
        """Be ready for other changes on top of one, if it is near the end."""
        nodes = len(self.quant_graph.nodes)
        if self.replacements.reached(change) * LATE > nodes:
            return
        self._prepare()
        with contextlib.suppress(*CANNOT):
            _, built = self._building.build(change)
            if built.nodes * LATE <= nodes:
                self._tails.expect(Tail(built, Once(lambda: self._open(change))))

    def runner(self, change: Change) -> Callable[[int], Alone]:
        """What runs a change on a sample by its number, in any thread.

        It raises QdebugError, KeyError or ValueError where the change cannot be made or run.
        """
        whole = Once(lambda: self._whole(change))

        def run(number: int) -> Alone:
            self._prepare()
            kept = self._kept_values[number]
            composed = self._tails.composed(change, number)
            if composed is None:
                return self._run_sample(number, change, whole.get(), kept)
            tail, left = composed
            return self._run_sample(number, change, tail, {**kept, **left})

        return run

    def _whole(self, change: Change) -> Opened:
        """A session in which a change is made at once."""
        shared = next((s for s in self._switched if s.covers(change)), None)
        opened = shared.opened if shared is not None else None
        return opened or self._open(change, ends=self._tails.wanted)

    def _open(self, change: Change, **options: Any) -> Opened:
        model, built = self._building.build(change, **options)
        is_run = bool(model.graph.output)
        session = Session(model, self.quant_graph, self._shared) if is_run else None
        return Opened(session, built)

    def _switchable(self, change: Change) -> Opened:
        return replace(self._open(change, switched=True), switched=True)

    def _run_sample(
        self, number: int, change: Change, opened: Opened, kept: Mapping[str, Any]
    ) -> Alone:
        """Error at each output on one sample."""
        feeds, built = self.feeds[number], opened.built
        given = {**self._given(built.change, feeds[0]), **opened.switches(change)}
        found: dict[str, Any] = {}
        if opened.session is not None:
            found = opened.session.run({**feeds[1], **kept, **given})
            self._tails.keep(built, number, found)
        parts = {}
        for name, tensor in built.where.items():
            f, q = self._reference[number][name], found.get(tensor, kept.get(tensor))
            axis = self._axes.get(name)
            q = np.reshape(np.asarray(q, np.float32), f.shape)
            parts[name] = measure(f, q, axis if f.ndim > 1 else None)
        return parts

    @cached_property
    def _reference(self) -> list[dict[str, Array]]:
        return [
            {n: np.asarray(v, np.float32) for n, v in self._float_outputs(number).items()}
            for number in self.samples
        ]

    def _float_outputs(self, number: int) -> Mapping[str, Array]:
        """The float model's outputs of a sample: known, or run for."""
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
        budget = self.max_memory // KEPT_SHARE
        budget -= budget // FRONTS_SHARE
        return KeptTensors(self.quant_graph, self._shared, feeds, budget, self.side_by_side)

    @cached_property
    def _kept_values(self) -> list[dict[str, Any]]:
        """What is kept of each sample, by quant tensor."""
        return self._kept.values()

    @cached_property
    def _tails(self) -> Tails:
        return Tails(self.max_memory // KEPT_SHARE // FRONTS_SHARE, self._kept_values[0])

    @cached_property
    def _building(self) -> Building:
        forms = {pair.float_tensor: pair.read_form for pair in self.pairs}
        kept = self._kept_values[0]
        return Building(self.quant_graph, self.replacements, self.outputs, forms, kept)

    def _is_comparable(self, float_name: str, quant_name: str) -> bool:
        kinds = self.float_graph.type_of(float_name), self.quant_graph.type_of(quant_name)
        return all(kind.dtype in ("float", "float16", "undefined") for kind in kinds)
