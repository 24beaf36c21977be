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
from qdebug.comparison.tuning.balance import Balanced, Balancing
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
        begun = begin(options, Path(folder), progress)
        return _Tuning(begun, started, progress, Path(folder)).run()


class _Tuning:
    """One tuning on its way from its beginning to the record."""

    def __init__(self, start: Start, started: float, progress: Progress, folder: Path) -> None:
        self.request, self.start, self.folder = start.request, start, folder
        self.balanced = Balanced()
        self.started, self.progress = started, progress
        self.output = Path(self.request.output)
        self.settings = SessionSettings(threads=self.request.threads or 0)
        self.target = target_named(self.request)

    def run(self) -> Run:
        """Search, write, and record."""
        material = self._balanced(gather(self.request, self.start, self.settings, self.progress))
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

    def _balanced(self, material: Material) -> Material:
        """The pair with balanced channels where that is better, and a float model is to be written.

        Without the float model that it is a twin of, nobody could compare it with anything.
        """
        balancing = Balancing(self.start, material, self.settings, self.folder)
        if self.request.float_out is None:
            if places := len(balancing.links()):
                where = f"{places} place{'s' if places > 1 else ''}"
                note = f"channels could be balanced at {where}: --float-out NAME.onnx tries it"
                self.balanced = Balanced(hint=note)
            return material
        self.progress.stage("balancing channels")
        self.balanced = balancing.run()
        if self.balanced.start is None:
            return material
        self.start, self.request = self.balanced.start, self.balanced.start.request
        return gather(self.request, self.start, self.settings, self.progress)

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
        tuning = _tuning_of(material, searched, self.balanced)
        if searched.fault:
            return self._recorded(self.start.sides, tuning)
        self.progress.stage(WRITING)
        write_model(searched.search, self.output)
        ranges = searched.search.new_ranges(self.balanced.moved)
        files, notes = write_vendor_files(
            self.request, material.network.float_graph, tuning.kept, ranges
        )
        if self.request.float_out is not None:
            path = Path(self.request.float_out)
            notes += write_float(searched.search, path, is_balanced=self.balanced.start is not None)
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


def _tuning_of(material: Material, searched: Searched, balanced: Balanced) -> Tuning:
    """What the record keeps of a search, and of what was balanced before."""
    search = searched.search
    given = balanced.given if balanced.start is not None else None
    cures = (*balanced.cures, *search.found.cures)
    met = search.reached(search.measured)
    reached = Reached(
        given=given or search.given,
        tuned=search.measured,
        ceiling=search.ceiling,
        task=search.proof.judge.name,
        target=search.target,
        units=len(search.units),
        raised=len(search.plan.units),
        needed=None if met else searched.needed,
        reachable=met or searched.needed is not None or not searched.asked,
        met=met,
        cures=sum(cure.accepted for cure in cures),
        nothing_to_win=given is None and not search.found.cures and search.nothing_to_win(),
        fault=searched.fault,
        stopped=searched.stopped,
    )
    outcome, sentence = decide(reached)
    begun_with = material.ground.sides[1].graph.sha256
    hints = (balanced.hint,) if balanced.hint and outcome in ("tuned", "out-of-reach") else ()
    return Tuning(
        outcome,
        sentence,
        material.loss.told,
        reached.task,
        len(material.searched),
        len(material.held_out),
        reached.given,
        search.measured,
        search.ceiling,
        target=f"{reached.task or 'SQNR, dB'} {search.target:g}",
        kept=search.kept,
        cures=cures,
        curve=tuple(search.found.curve),
        methods=tuple(search.found.methods),
        tried=tuple(search.found.tried),
        inferences=dict(sorted({**searched.runs, "balancing": balanced.runs}.items())),
        stopped=searched.stopped,
        notes=(*material.ground.notes, *balanced.notes, *hints, *searched.notes),
        files={},
        begun_with=begun_with,
        units=planned_units(search),
        floors=floors_of(search),
    )
