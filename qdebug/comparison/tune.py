"""``qdebug.tune``: from two models and some pictures to a repaired model and its record."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

from qdebug import interrupts
from qdebug.analysis.tasks import check_task_name
from qdebug.capture.session import SessionSettings
from qdebug.comparison.compare import Comparison
from qdebug.comparison.sides import Side, load_sides
from qdebug.comparison.tuning.files import (
    check_output,
    target_named,
    write_float,
    write_model,
    write_vendor_files,
)
from qdebug.comparison.tuning.material import Material, fingerprint, gather
from qdebug.comparison.tuning.request import journal_of, record_of
from qdebug.comparison.tuning.search import INTERRUPTED, Searched, Searching
from qdebug.comparison.tuning.share import SharedPictures
from qdebug.comparison.tuning.start import Start, as_compared, begin
from qdebug.cure.planned import floors_of, planned_units
from qdebug.cure.proof import Journal
from qdebug.cure.verdict import Reached, decide
from qdebug.options import TuneOptions, takes
from qdebug.preprocess import Sample
from qdebug.progress import Progress, Silent
from qdebug.run.model import Run
from qdebug.run.store import MemoryWriter, RunWriter
from qdebug.run.tuning import Tuning
from qdebug.sharding.choose import choose_scheduler

WRITING = "writing the repaired model"
"""The stage that ends the search."""
_COMPARED = 4
"""Held-out pictures that the record's layers are measured on."""
_NOT_RESOLUTION = frozenset(
    {
        "wrong-model",
        "operator-mismatch",
        "weight-mismatch",
        "bias-clipped",
        "qdq-mismatch",
        "bad-scale",
    }
)
"""Findings whose cure is another model, not more bits; those of the input and the float gate beside
them."""


@takes(TuneOptions)
def tune(options: TuneOptions) -> Run:
    """Repair a quantized model: the cheapest cures first, each proven on held-out pictures.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    check_task_name(options.task)
    check_output(options)
    with tempfile.TemporaryDirectory(prefix="qdebug-tune-") as folder:
        progress = options.progress or Silent()
        started = time.perf_counter()
        return _Tuning(begin(options, Path(folder), progress), started, progress).run()


class _Tuning:
    """One tuning on its way from its beginning to the record."""

    def __init__(self, start: Start, started: float, progress: Progress) -> None:
        self.request, self.start = start.request, start
        self.started, self.progress = started, progress
        self.output = Path(self.request.output)
        self.settings = SessionSettings(threads=self.request.threads or 0)
        self.target = target_named(self.request)

    def run(self) -> Run:
        """Search, write, and record."""
        material = gather(self.request, self.start, self.settings, self.progress)
        journal = Journal(journal_of(self.output), fingerprint(self.request, self.start))
        try:
            searched = self._search(material, journal)
        finally:
            journal.close()
        kept = f"{self.output} and {record_of(self.output)} hold what was found so far"
        with interrupts.held(kept):
            run = self._finish(material, searched)
        if not searched.stopped:
            journal_of(self.output).unlink(missing_ok=True)
        if searched.stopped == INTERRUPTED:
            raise KeyboardInterrupt(kept)
        return run

    def _search(self, material: Material, journal: Journal) -> Searched:
        def run(shared: SharedPictures | None) -> Searched:
            return Searching(
                self.request,
                material,
                self.settings,
                self.target,
                journal,
                self._named_fault,
                self.progress,
                shared,
            ).run()

        if self.request.workers == 1 and self.request.scheduler is None:
            return run(None)
        with choose_scheduler(self.request.workers, self.request.scheduler) as scheduler:
            return run(SharedPictures(self.start, material, scheduler))

    def _named_fault(self) -> str:
        """Slug of the finding that says why more bits do not help; empty where none does."""
        sides = self.start.sides
        request = as_compared(self.request, sides[1].graph.path)
        run = Comparison(request, sides, MemoryWriter(), self.progress).run(self._compared())
        named = [
            f.slug
            for f in run.findings
            if f.status == "fail" and (f.slug in _NOT_RESOLUTION or f.gate in ("input", "float"))
        ]
        return named[0] if named else ""

    def _compared(self) -> list[Sample]:
        """Held-out pictures that the record's layers are measured on."""
        return [self.start.samples[at] for at in self.start.parts.held_out[:_COMPARED]]

    def _finish(self, material: Material, searched: Searched) -> Run:
        """Write the model, compare it with the float model, and keep all that was found."""
        tuning = _tuning_of(material, searched)
        if searched.fault:
            return self._recorded(self.start.sides, tuning)
        self.progress.stage(WRITING)
        write_model(searched.search, self.output)
        files, notes = write_vendor_files(
            self.request, material.network.float_graph, tuning.kept, searched.search.new_ranges
        )
        if self.request.float_out is not None:
            path = Path(self.request.float_out)
            notes += write_float(searched.search, path)
            files |= {"float": path.name} if path.exists() else {}
        tuning = dataclasses.replace(
            tuning, files={"model": self.output.name, **files}, notes=(*tuning.notes, *notes)
        )
        return self._recorded(load_sides(as_compared(self.request, self.output)), tuning)

    def _recorded(self, sides: tuple[Side, Side], tuning: Tuning) -> Run:
        request = dataclasses.replace(
            as_compared(self.request, sides[1].graph.path), output=record_of(self.output)
        )
        with RunWriter(record_of(self.output), force=self.request.force) as writer:
            comparison = Comparison(request, sides, writer, self.progress)
            comparison.started = self.started
            return comparison.run(self._compared(), tuning)


def _tuning_of(material: Material, searched: Searched) -> Tuning:
    """What the record keeps of a search."""
    search = searched.search
    met = search.reached(search.measured)
    reached = Reached(
        given=search.given,
        tuned=search.measured,
        ceiling=search.ceiling,
        task=search.proof.judge.name,
        target=search.target,
        units=len(search.units),
        raised=len(search.plan.units),
        needed=None if met else searched.needed,
        reachable=met or searched.needed is not None or not searched.asked,
        met=met,
        cures=sum(cure.accepted for cure in search.found.cures),
        nothing_to_win=not search.found.cures and search.nothing_to_win(),
        fault=searched.fault,
        stopped=searched.stopped,
    )
    outcome, sentence = decide(reached)
    begun_with = material.ground.sides[1].graph.sha256
    return Tuning(
        outcome,
        sentence,
        material.loss.told,
        reached.task,
        len(material.searched),
        len(material.held_out),
        search.given,
        search.measured,
        search.ceiling,
        target=f"{reached.task or 'SQNR, dB'} {search.target:g}",
        kept=search.kept,
        cures=tuple(search.found.cures),
        curve=tuple(search.found.curve),
        methods=tuple(search.found.methods),
        tried=tuple(search.found.tried),
        inferences=dict(sorted(searched.runs.items())),
        stopped=searched.stopped,
        notes=(*material.ground.notes, *searched.notes),
        files={},
        begun_with=begun_with,
        units=planned_units(search),
        floors=floors_of(search),
    )
