"""Runs changed quant graphs and keeps what comes of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy.typing as npt

from qdebug.analysis.what_if.bounds import Hope
from qdebug.analysis.what_if.changes import (
    COUNTED_DB,
    Alone,
    Change,
    Gain,
    Outcome,
    Part,
    gain_at,
)
from qdebug.analysis.what_if.lanes import Lanes, Trial, Urgency
from qdebug.analysis.what_if.simulation import SAMPLES, Simulation
from qdebug.analysis.what_if.switches import together
from qdebug.metrics.moments import Moments, include

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]


class WhatIf:
    """Runs changed quant graphs; results are kept.

    Args:
        simulation: runs them.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.samples = simulation, simulation.samples
        self.quant_graph, self.pairing = simulation.quant_graph, simulation.pairing
        self.settings, self.max_memory = simulation.settings, simulation.max_memory
        self.replacements = simulation.replacements
        self._known: dict[tuple[Hashable, int], Alone | None] = {}
        self._outcomes: dict[tuple[Hashable, int], Outcome] = {}
        self._begun: dict[Hashable, Trial] = {}
        self._lanes = Lanes(simulation.side_by_side - 1)
        self.undone = Change()

    def on_top_of(self, undone: Change) -> WhatIf:
        """The same runs with a change made before any other, and gains taken against it."""
        other = copy(self)
        other.undone = undone.on_top_of(self.undone)
        self.simulation.expect(other.undone)
        return other

    def expect(self, change: Change) -> None:
        """Be told that others may be tried on top of a change, before they are tried without."""
        if self.is_possible(change):
            self.simulation.expect(change.on_top_of(self.undone))

    def open(self) -> None:
        """Open what later runs begin with, before it is needed."""
        self.simulation.open()

    def get_ready(self) -> None:
        """Run what ``open`` has opened."""
        self.simulation.get_ready()

    def forget(self) -> None:
        """Give back the tensors that were kept; later runs make them anew."""
        for trial in self._begun.values():
            trial.stop()
        self._lanes.close()
        self._begun.clear()
        self.simulation.forget()

    @property
    def feeds(self) -> list[tuple[Feeds, Feeds]]:
        """Inputs of both graphs, for each sample."""
        return self.simulation.feeds

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
        known = self._outcomes.get((change.key, count))
        if known is None:
            self._find(change, count)
            seen = self._seen(change, count)
            if len(seen) < self._taken(count):
                return None
            known = self._outcomes[change.key, count] = _outcome(tuple(seen.values()))
        return known

    def _find(self, change: Change, count: int, hope: Hope | None = None) -> None:
        """Run a change on the samples it has not been run on, or as far as there is hope."""
        begun = self._begun.pop(change.key, None)
        if begun is not None:
            self._finish(begun)
        trial = self._trial(change, count, hope)
        if trial is not None:
            self._finish(trial)

    def _finish(self, trial: Trial) -> None:
        trial.finish(self._lanes)
        for number, parts in {**dict.fromkeys(trial.failed), **trial.found}.items():
            self._known[trial.change.key, number] = parts

    def _trial(self, change: Change, count: int, hope: Hope | None) -> Trial | None:
        """A change on the samples it has not been run on yet; None where that is not needed."""
        seen = self._seen(change, count)
        numbers = [n for n in range(self._taken(count)) if n not in seen]
        if any((change.key, n) in self._known for n in numbers):
            return None  # it cannot be run on one of them, which is enough to know
        if hope is None or not numbers:
            return Trial(change, numbers, self.simulation.runner(change)) if numbers else None
        if hope.is_gone(seen):
            return None
        run = self.simulation.runner(change)
        in_order = hope.in_order(numbers)
        return Trial(change, in_order, run, lambda found: hope.is_gone({**seen, **found}))

    def _seen(self, change: Change, count: int) -> dict[int, Alone]:
        """What a change gives, by sample it has been run on; of the samples that are asked for."""
        found = ((n, self._known.get((change.key, n))) for n in range(self._taken(count)))
        return {number: parts for number, parts in found if parts is not None}

    def run_ahead(
        self,
        changes: Iterable[Change],
        count: int = SAMPLES,
        parts: Sequence[Part] = (),
        matters: Callable[[Gain], bool] | None = None,
    ) -> None:
        """Compute the outcomes of several changes side by side, to be asked for after.

        Each takes its share of the processors: most of a short run is opening its session, which
        only one of them does.

        Args:
            changes: what to do otherwise, one by one.
            count: samples to run.
            parts: as ``gain`` will be asked for.
            matters: likewise.
        """
        asked = [x.on_top_of(self.undone) for x in changes if self.is_possible(x)]
        before = self.outcome(Change(), count) if matters is not None else None
        hope = None
        if matters is not None and before is not None:
            hope = Hope(before, _counted(before, parts), matters)
        self._start(asked, count, Urgency.ASKED, hope)
        # This thread takes part from the other end: what no other has begun with it runs itself.
        for change in reversed(asked):
            self._find(change, count, hope)

    def begin(self, changes: Iterable[Change], count: int = SAMPLES) -> None:
        """Start to compute the outcomes of changes that will be asked for; who asks waits for them.

        They share sessions as far as that pays, and so do later changes that do part of them.

        Args:
            changes: what to do otherwise, one by one.
            count: samples to run.
        """
        asked = [x.on_top_of(self.undone) for x in changes if self.is_possible(x)]
        for alike in together(asked, self.replacements.reached):
            self.simulation.share(alike)
        self._start(asked, count, Urgency.AHEAD)

    def _start(
        self, changes: Iterable[Change], count: int, urgency: Urgency, hope: Hope | None = None
    ) -> None:
        """Let other threads run changes that are not known yet."""
        made = {change.key: change for change in changes}
        if len(made) < 2 or not self._lanes.count:
            return
        new = [self._trial(x, count, hope) for key, x in made.items() if key not in self._begun]
        trials = [trial for trial in new if trial is not None]
        if len(trials) < 2:
            return
        for trial in trials:
            self._begun[trial.change.key] = trial
            trial.begin(self._lanes, urgency)

    def _taken(self, count: int) -> int:
        return min(count, len(self.samples))

    def gain(
        self,
        change: Change,
        parts: Sequence[Part] = (),
        base: Change | None = None,
        count: int = SAMPLES,
        *,
        everywhere: bool = False,
        matters: Callable[[Gain], bool] | None = None,
    ) -> Gain | None:
        """Gain of a change at the part that wins most, among those that are damaged.

        Args:
            change: what to do otherwise.
            parts: of the outputs; by default each output as a whole.
            base: what the gain is taken against; None for the quant graph as it is, what is undone
                of it (``on_top_of``) included.
            count: samples to run.
            everywhere: also at parts that are not damaged (``COUNTED_DB``).
            matters: whether a gain is of interest; if it is, so is every larger one at the same
                part. Samples are run as long as theirs may be.

        Returns:
            None where the change cannot be made, since it would change nothing, or where it is
            certain that its gain does not matter.
        """
        if not self.is_possible(change):
            return None
        before = self.outcome(Change() if base is None else base, count)
        if before is None:
            return None
        counted = _counted(before, parts, everywhere=everywhere)
        if matters is not None and self._is_hopeless(change, count, Hope(before, counted, matters)):
            return None
        after = self.outcome(change, count)
        if after is None:
            return None
        gains = [gain_at(part, before, after) for part in counted]
        return max(gains, key=lambda g: g.db, default=None)

    def _is_hopeless(self, change: Change, count: int, hope: Hope) -> bool:
        """Whether a change wins nothing that matters; it is run as far as it takes to know."""
        change = change.on_top_of(self.undone)
        self._find(change, count, hope)
        return hope.is_gone(self._seen(change, count))


def _counted(before: Outcome, parts: Sequence[Part], *, everywhere: bool = False) -> list[Part]:
    """The parts of the outputs at which a gain counts: the damaged ones, if there are any."""
    asked = [part for part in parts or map(Part, before.moments) if part.output in before.moments]
    damaged = [x for x in asked if everywhere or not before.sqnr_db(x) > COUNTED_DB]
    return damaged or asked


def _outcome(alone: tuple[Alone, ...]) -> Outcome:
    """What several samples give together."""
    moments: dict[str, Moments] = {}
    for parts in alone:
        for name, part in parts.items():
            include(moments, name, part)
    return Outcome(moments, alone)
