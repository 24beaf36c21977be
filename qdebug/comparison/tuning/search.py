"""The search for a plan: the order of its steps, what they are given, and what ends it early."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from qdebug import interrupts
from qdebug.capture.session import SessionSettings
from qdebug.comparison.sides import Feeds
from qdebug.comparison.tuning.files import fallback_of, scheme_for
from qdebug.comparison.tuning.material import Material
from qdebug.comparison.tuning.request import budget_of, target_of
from qdebug.comparison.tuning.share import SharedPictures
from qdebug.cure.alone import measured_alone
from qdebug.cure.bias import correct_biases
from qdebug.cure.contributions import (
    HALVES,
    Contributions,
    Group,
    Sample,
    measure_contributions,
    summed_up,
)
from qdebug.cure.crossing import Crossing, Turn
from qdebug.cure.grids import rounded_anew
from qdebug.cure.meter import Judge, Meter
from qdebug.cure.network import Numbers
from qdebug.cure.pictures import FEWEST, FOR_BIASES
from qdebug.cure.pins import pinned_units
from qdebug.cure.predict import Prediction, answering, shares_of, sources_of
from qdebug.cure.proof import Journal, Proof
from qdebug.cure.runs import ReverseRuns
from qdebug.cure.search import Search
from qdebug.cure.setting import FREE
from qdebug.cure.sites import Unit
from qdebug.cure.ways import ways_of
from qdebug.options import TuneOptions
from qdebug.progress import Progress
from qdebug.vendors.encodings import Target

INTERRUPTED = "interrupted"


class OutOfTimeError(Exception):
    """The time allowed is over."""


@dataclasses.dataclass
class Searched:
    """What a search came to.

    Attributes:
        search: with its plan, and all that was tried.
        stopped: why it ended early; empty where it did not.
        fault: slug of the finding that says why more bits do not help; empty for none.
        asked: whether it was asked how many units the target takes.
        needed: how many; None where no number of them reaches it, or where it was not asked.
        notes: what is to be said about it.
        runs: of whole graphs, by kind.
    """

    search: Search
    stopped: str = ""
    fault: str = ""
    asked: bool = False
    needed: int | None = None
    notes: tuple[str, ...] = ()
    runs: dict[str, int] = dataclasses.field(default_factory=dict)


class Searching:
    """One search on its way.

    Args:
        request: of the user.
        material: what it works on.
        settings: how graphs are run.
        target: what the user's toolchain can be told; None where that is not known.
        journal: measurements that are known already.
        named_fault: gives the slug of a finding that is not about resolution, or nothing.
        progress: told what is done.
        shared: the workers that share the pictures; None where this process does all.
    """

    def __init__(
        self,
        request: TuneOptions,
        material: Material,
        settings: SessionSettings,
        target: Target | None,
        journal: Journal,
        named_fault: Callable[[], str],
        progress: Progress,
        shared: SharedPictures | None = None,
    ) -> None:
        self.shared = shared
        self.request, self.material, self.progress = request, material, progress
        self.settings, self.target, self.named_fault = settings, target, named_fault
        self.scheme = scheme_for(target, material.network)
        self.fast = dataclasses.replace(settings, reordered=True)
        self.until = None if request.time is None else time.monotonic() + request.time
        self.notes: list[str] = []
        self.runs = {"float": len(material.searched) + len(material.held_out)}
        self.begun = False
        self.found: Contributions | None = None
        self.crossing: Crossing | None = None
        self.also: Proof | None = None
        meter = Meter(material.network, material.loss, Judge(material.ground.task), self.fast)
        measure_all = shared.measure if shared is not None else None
        self.proof = Proof(meter, material.held_out, journal, self._check, measure_all)

    def run(self) -> Searched:
        """Predict, then step by step."""
        network = self.material.network
        units = network.units(self.material.searched[0][1])
        self.progress.stage("gradients at every quantizer")
        search = self._search(units, self._predict(units))
        self.progress.stage("proving cures on held-out pictures")
        search.begin()
        self.begun = True
        searched = Searched(search)
        searched.stopped = self._steps(searched)
        self.proof.release()
        searched.notes = tuple(self.notes)
        others = [found.runs for found in (self.crossing, self.also) if found is not None]
        searched.runs = {**self.runs, "configured": self.proof.runs + sum(others)}
        return searched

    def _search(self, units: Sequence[Unit], prediction: Prediction) -> Search:
        request, material = self.request, self.material
        pinned = pinned_units(
            material.network,
            units,
            keep=request.keep,
            before=request.before,
            after=request.after,
            between=request.between,
        )
        bits = FREE if fallback_of(request, self.target) == "float" else 16
        budget, target = budget_of(request.budget), target_of(material.ground.task)
        return Search(prediction, self.proof, bits, budget, target, pinned, self.progress.note)

    def _steps(self, searched: Searched) -> str:
        """The cures in their order; why they ended early, or nothing."""
        search = searched.search
        try:
            if search.nothing_to_win() and search.is_expressible and not search.pinned:
                return ""
            if search.is_no_resolution():
                searched.fault = self.named_fault()
                if searched.fault:
                    return ""
            search.fit()
            search.pin()
            search.free_broken()
            if self.target is None or self.target.weights:
                forms = self.target.weights if self.target is not None else ()
                anew = rounded_anew(self.material.network, forms)
                search.round_anew(anew, self._on_searched)
            search.correct_biases(self._corrected(search))
            if self.target is None or self.target.ranges:
                self._note_reach(search)
                search.choose_ranges(self.request.methods, partial(self._crossing, search))
                self.found = None  # histograms take tens of MiB
            else:
                self.notes.append("ranges are not searched: the target cannot be told any")
            search.climb()
            search.settle()
            if not search.reached(search.measured) and not search.budget.is_set:
                searched.asked = True
                searched.needed = search.needed()
        except OutOfTimeError:
            return f"the time allowed, {self.request.time:g} s, was over"
        except KeyboardInterrupt:
            return INTERRUPTED
        return ""

    def _note_reach(self, search: Search) -> None:
        beyond = set(search.prediction.beyond())
        if beyond:
            kept = "; that of the answers is kept" if beyond & search.prediction.answers else ""
            self.notes.append(
                f"the given ranges of {len(beyond)} of {len(search.units)} units reach further "
                f"than any picture searched{kept}"
            )

    def _corrected(self, search: Search) -> Callable[[Numbers], Numbers]:
        feeds = [feeds for _, feeds, _ in self.material.searched[:FOR_BIASES]]
        return partial(
            correct_biases,
            self.material.network,
            search.wide_config,
            feeds,
            self.fast,
            self._check,
        )

    def _check(self) -> None:
        """Stop here where that is asked for."""
        interrupts.check()
        if self.begun and self._is_over():
            raise OutOfTimeError

    def _is_over(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def _predict(self, units: Sequence[Unit]) -> Prediction:
        network, loss = self.material.network, self.material.loss
        found = self._contributions(sources_of(network, units))
        self.runs["reverse"] = found.runs
        self.found = found if found.halves else None
        given = tuple(network.sites[unit.sites[0]].given for unit in units)
        shares = shares_of(network, units, found)
        answers = answering(network, units, {*loss.tensors, *network.outputs})
        return self._measured_alone(Prediction(units, given, shares, self.scheme, answers))

    def _contributions(self, groups: Mapping[str, Sequence[Group]]) -> Contributions:
        searched, halves = self.material.searched, self.material.can_cross

        def stop(done: int) -> bool:
            return done >= FEWEST and self._is_over()

        if self.shared is not None:
            with contextlib.closing(self.shared.contributions()) as found:
                return summed_up(found, len(searched), groups, halves=halves, stop=stop)
        samples = [partial(self._sample, *feeds_and_values) for feeds_and_values in searched]
        return self._reversed(samples, groups, halves=halves, stop=stop)

    def _sample(self, feeds: Feeds, _: Feeds, values: Mapping[str, Any]) -> Sample:
        return feeds, self.material.loss.weights(values)

    def _reversed(
        self,
        samples: Sequence[Callable[[], Sample]],
        groups: Mapping[str, Sequence[Group]],
        **options: Any,
    ) -> Contributions:
        """Run the reverse pass here."""
        ground = self.material.ground
        reverse = ReverseRuns(
            ground.network.float_graph,
            list(groups),
            ground.loss.tensors,
            self.settings,
            max_memory=self.request.max_memory,
            seen=ground.loss.seen,
        )
        return measure_contributions(reverse, samples, groups, probes=ground.probes, **options)

    def _on_searched(self) -> Proof | None:
        """The pictures of the search, for what they had no part in; None where not needed."""
        if self.also is None and self.material.can_cross:
            self.also = self._proof_on("searched|", range(len(self.material.searched)))
        return self.also

    def _proof_on(self, name: str, at: Sequence[int]) -> Proof:
        """Measures on pictures of the search.

        Args:
            name: tells these pictures from others.
            at: their numbers.
        """
        measure_all = self.shared.measure_searched(at) if self.shared is not None else None
        pictures = [self.material.as_held_out(number) for number in at]
        return self.proof.on(name, pictures, measure_all)

    def _crossing(self, search: Search) -> Crossing | None:
        """Lets the pictures of the search decide, too; None where the held-out ones are enough."""
        if self.crossing is None and self.found is not None:
            self.crossing = self._crossed(search, self.found)
        return self.crossing

    def _crossed(self, search: Search, found: Contributions) -> Crossing:
        self._check()
        material = self.material
        network, held_out = material.network, material.held_out_feeds
        groups, first = sources_of(network, search.units), len(material.searched)
        if self.shared is not None:
            with contextlib.closing(self.shared.contributions(held_out=True)) as each:
                beside = summed_up(each, len(held_out), groups, folds=HALVES)
        else:
            samples = [
                partial(self._sample, feeds, feeds, picture.reference)
                for feeds, picture in zip(held_out, material.held_out, strict=True)
            ]
            beside = self._reversed(samples, groups, folds=HALVES, first=first)
        self.runs["reverse"] += beside.runs
        turns = []
        for half, other in enumerate(reversed(found.halves)):
            shares = shares_of(network, search.units, other.beside(beside))
            known = search.prediction
            prediction = Prediction(known.units, known.given, shares, known.scheme, known.answers)
            proof = self._proof_on(f"half {half}|", range(half, first, HALVES))
            turns.append(Turn(prediction, proof))
        return Crossing(turns, ways_of(search.prediction), search.wide)

    def _measured_alone(self, prediction: Prediction) -> Prediction:
        """The same, with what was measured for units that no gradient reaches."""
        material = self.material
        pictures = [(feeds, values) for _, feeds, values in material.searched]
        found, runs = measured_alone(
            material.network, prediction, pictures, material.loss, self.fast, self._check
        )
        if runs:
            self.notes.append(
                f"{sum(s.whole is None for s in found)} units have no gradient: their range is "
                "kept, and their share measured one by one"
            )
        self.runs["configured alone"] = runs
        return Prediction(
            prediction.units, prediction.given, found, prediction.scheme, prediction.answers
        )
