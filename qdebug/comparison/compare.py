"""``qdebug.compare``: from two models and some inputs to a run."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qdebug import collector
from qdebug.analysis.journal import Journal
from qdebug.analysis.roles import assign_roles
from qdebug.analysis.tasks import check_task_name
from qdebug.analysis.what_if import Simulation, WhatIf
from qdebug.capture.deployed import DeployedPair
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.session import release_memory
from qdebug.capture.stats import LayerStats
from qdebug.checks import CheckContext, join_layers
from qdebug.checks.registry import built_in_checks, run_checks
from qdebug.comparison.crops import with_crops
from qdebug.comparison.in_turn import InTurn, work_ahead
from qdebug.comparison.input_gate import InputGate
from qdebug.comparison.keep import KeptTensors, Recapture
from qdebug.comparison.layers import make_arrays, make_layers, make_outputs
from qdebug.comparison.outputs import OutputRuns
from qdebug.comparison.running import SampleRuns, local_samples
from qdebug.comparison.sample_work import is_shared, session_settings
from qdebug.comparison.sides import (
    Side,
    feeds_of,
    load_sides,
    names_in,
    pair_sides,
    samples_of,
)
from qdebug.comparison.tool import tool_info
from qdebug.comparison.verdict import decide
from qdebug.errors import UsageError
from qdebug.graph.expand import Expansion, expand
from qdebug.graph.load import check_unchanged
from qdebug.graph.pairs import Pairing
from qdebug.options import CompareOptions, takes
from qdebug.preprocess import Sample
from qdebug.progress import Progress, Silent
from qdebug.remote import Fetched
from qdebug.run.mentioned import mentioned
from qdebug.run.model import (
    SCHEMA,
    Finding,
    Layer,
    Models,
    Preprocess,
    Run,
    SampleInfo,
    Timing,
    UnpairedSides,
)
from qdebug.run.redact import field_names
from qdebug.run.store import MemoryWriter, RunWriter
from qdebug.run.tuning import Tuning

if TYPE_CHECKING:  # most comparisons need neither, and both take long to import
    from qdebug.comparison.board import Board
    from qdebug.reading.watch import ReadingWatch

Array = npt.NDArray[Any]
Feeds = dict[str, Array]


@takes(CompareOptions)
def compare(options: CompareOptions) -> Run:
    """Compare a float ONNX model with its quantized twin, layer by layer.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    check_task_name(options.task)
    _check_board(options)
    output = Path(options.output) if options.output is not None else None
    writer = RunWriter(output, force=options.force) if output is not None else MemoryWriter()
    with Fetched() as urls, collector.paused():
        options = dataclasses.replace(options, inputs=urls.paths(options.inputs))
        sides = load_sides(options)
        with writer:
            return Comparison(options, sides, writer, options.progress or Silent()).run()


def _check_board(options: CompareOptions) -> None:
    given = {"--board-again": options.board_again, "--board-vendor": options.board_vendor}
    lost = [name for name, value in given.items() if value is not None and options.board is None]
    if lost:
        raise UsageError(f"{lost[0]} says nothing without --board", "give the dump with --board")


class Comparison:
    """One comparison on its way from the request to the run."""

    def __init__(
        self,
        request: CompareOptions,
        sides: tuple[Side, Side],
        writer: RunWriter | MemoryWriter,
        progress: Progress,
    ) -> None:
        self.request, self.writer, self.progress = request, writer, progress
        self.float, self.quant = sides
        self.started = time.perf_counter()
        self.settings = session_settings(request)
        self.is_shared = is_shared(request)
        self.infos: list[SampleInfo] = []
        self.notes: list[str] = []
        self.input_findings: tuple[Finding, ...] = ()
        self.fed_picture: npt.NDArray[np.uint8] | None = None
        self.tuning: Tuning | None = None
        self._fed: tuple[Sample, tuple[Feeds, Feeds]] | None = None

    def run(self, samples: Sequence[Sample] | None = None, tuning: Tuning | None = None) -> Run:
        """Compare.

        Args:
            samples: what both run on; None for those of the request.
            tuning: how the quant model was made, for the run.
        """
        self.tuning = tuning
        samples = samples or samples_of(self.request, (self.float, self.quant))
        first = self._feeds(samples[0])
        self._prove_input(samples[0])
        deployed = DeployedPair((self.float.graph, self.quant.graph), self.settings)
        # What is needed later is made ready beside what goes on.
        with InTurn() as beside, work_ahead() as ahead, work_ahead() as deploying:
            if not self.is_shared:
                deploying.submit(deployed.open, 1)
                ahead.submit(deployed.open, 0)
            pairing = self._pair(first)
            expansion = expand(self.quant.graph)
            self.notes.extend(expansion.notes)
            with contextlib.ExitStack() as stack:
                board = self._open_board(pairing, samples, stack)
                capture = stack.enter_context(self._capture(pairing, first, len(samples)))
                outputs = self._output_runs((pairing, expansion), samples, deployed)
                what_if = self._what_if(expansion, pairing, outputs, samples)
                kept = KeptTensors(self.writer, self.request.keep_tensors)
                if not (self.is_shared or self.request.sensitivity):  # that has the memory first
                    ahead.submit(what_if.open)
                ahead.submit(built_in_checks)
                runs = self._sample_runs(samples, capture, outputs, beside)
                if self.is_shared:
                    runs.run_elsewhere()
                else:
                    runs.run(kept, board, lambda one: self._recapture(pairing, [one], quiet=True))
                on_board, told = (board.outcome(), board.outputs()) if board else (None, {})
            ahead.submit(what_if.get_ready)
            self._note_local(len(samples))
            layers = assign_roles(make_layers(self.float.graph, pairing, capture.stats, self.infos))
            runs.take_what_is_left()
        reading = outputs.read(told)
        outputs.deployed.close()
        layers = self._with_sensitivity(layers, pairing, samples)
        if on_board is not None:
            from qdebug.comparison.board import with_board

            layers = with_board(layers, on_board, alone=self.alone)
        self.progress.stage("checking")
        context = self._context((pairing, what_if), capture.stats, layers, outputs)
        context = dataclasses.replace(context, board=on_board, reading=reading)
        try:
            findings = run_checks(context)
        finally:
            what_if.forget()
        release_memory()
        layers = kept.finish(layers, findings, self._recapture(pairing, samples))
        layers = self._with_crops(layers, findings, pairing, samples)
        context = dataclasses.replace(
            context, joined=join_layers(context.pairing.pairs, capture.stats, layers)
        )
        return self._finish(context, findings, outputs)

    def _output_runs(
        self,
        pairs: tuple[Pairing, Expansion],
        samples: Sequence[Sample],
        deployed: DeployedPair,
    ) -> OutputRuns:
        return OutputRuns(
            (self.float, self.quant),
            deployed,
            pairs,
            len(samples),
            self.request.task,
            self.request.ceiling,
            self._watched(samples, pairs[0]),
            alone=self.alone,
        )

    def _sample_runs(
        self, samples: Sequence[Sample], capture: Capture, outputs: OutputRuns, beside: InTurn
    ) -> SampleRuns:
        return SampleRuns(
            request=self.request,
            sides=(self.float, self.quant),
            settings=self.settings,
            samples=samples,
            feeds=self._feeds,
            capture=capture,
            outputs=outputs,
            writer=self.writer,
            progress=self.progress,
            beside=beside,
            fed=self.fed_picture,
            infos=self.infos,
        )

    def _prove_input(self, sample: Sample) -> None:
        fed = Path(self.request.fed) if self.request.fed is not None else None
        gate = InputGate((self.float, self.quant), sample, fed)
        self.input_findings = gate.findings()
        self.fed_picture = gate.fed_picture()

    def _with_crops(
        self,
        layers: Sequence[Layer],
        findings: Sequence[Finding],
        pairing: Pairing,
        samples: Sequence[Sample],
    ) -> list[Layer]:
        """A few values of the layers that findings name, run once more."""
        names = [info.name for info in self.infos]
        return with_crops(
            layers, findings, names, lambda at: self._recapture(pairing, [samples[at]]), self.writer
        )

    @property
    def alone(self) -> bool:
        """Whether a board stands beside the float model alone, without a quantized one."""
        given = self.request.board is not None
        return given and self.float.graph.sha256 == self.quant.graph.sha256

    def _pair(self, first: tuple[Feeds, Feeds]) -> Pairing:
        self.progress.stage("pairing the graphs")
        pairing = pair_sides((self.float, self.quant), self.settings, first)
        self.notes.extend(pairing.notes)
        return pairing

    def _watched(self, samples: Sequence[Sample], pairing: Pairing) -> ReadingWatch | None:
        given = self.request.predictions
        if given is None:
            return None
        from qdebug.comparison.reading import watched

        return watched(given, samples, pairing)

    def _open_board(
        self,
        pairing: Pairing,
        samples: Sequence[Sample],
        stack: contextlib.ExitStack,
    ) -> Board | None:
        given = self.request.board
        if given is None:
            return None
        from qdebug.comparison.board import Board, Given

        again = Path(self.request.board_again) if self.request.board_again is not None else None
        sides = self.float, self.quant
        if self.alone:
            self.notes.append("no quantized model: the board stands beside the float model alone")
        named = Given(Path(given), again, self.request.board_vendor)
        return stack.enter_context(Board(named, sides, pairing, samples))

    def _capture(self, pairing: Pairing, first: tuple[Feeds, Feeds], samples: int) -> Capture:
        graphs = self.float.graph, self.quant.graph
        capture = Capture(*graphs, pairing.pairs, first, samples, self._capture_settings())
        self.notes.append(capture.plan.describe())
        self.progress.note(self.notes[-1])
        return capture

    def _capture_settings(self) -> CaptureSettings:
        return CaptureSettings(
            self.settings[0], self.settings[1], self.request.max_memory, bool(self.request.local)
        )

    def _note_local(self, count: int) -> None:
        measured = len(local_samples(self.request.local, count))
        if 0 < measured < count:
            some = f"{measured} of {count} samples, spread over them"
            self.notes.append(f"local error: measured on {some} (--local all: on every one)")

    def _recapture(
        self, pairing: Pairing, samples: Sequence[Sample], *, quiet: bool = False
    ) -> Recapture:
        progress = Silent() if quiet else self.progress

        def run(positions: Sequence[int], receive: Callable[[int, int, str, Array], None]) -> None:
            progress.stage("looking at the layers named", len(samples))
            chosen = [pairing.pairs[at] for at in positions]
            settings = dataclasses.replace(self._capture_settings(), local=False, measure=False)
            first = self._feeds(samples[0])
            graphs = self.float.graph, self.quant.graph
            with Capture(*graphs, chosen, first, len(samples), settings) as capture:
                for number, sample in enumerate(samples):
                    capture.add_sample(
                        *self._feeds(sample),
                        lambda at, side, value: receive(number, positions[at], side, value),  # noqa: B023
                    )
                    progress.advance()

        return run

    def _with_sensitivity(
        self, layers: Sequence[Layer], pairing: Pairing, samples: Sequence[Sample]
    ) -> list[Layer]:
        if not self.request.sensitivity:
            return list(layers)
        # The reverse pass and its compiled loops take as long to import as a small network to run.
        from qdebug.comparison.sensitivity import layer_sensitivity

        exact = self.request.sensitivity == "exact"
        place = _journal_file(self.request.output) if exact else None
        with Journal(place, self._fingerprint()) as journal, collector.resumed():
            if journal.done:
                done = len(journal.done)
                self.progress.note(f"sensitivity: {done} measurements taken up again")
            found, notes = layer_sensitivity(
                (self.float.graph, self.quant.graph),
                pairing.pairs,
                [functools.partial(self._feeds, sample) for sample in samples],
                self._capture_settings(),
                exact=exact,
                journal=journal,
                progress=self.progress,
            )
            journal.finish()
        self.notes.extend(notes)
        return [dataclasses.replace(x, sensitivity=found.get(x.index)) for x in layers]

    def _fingerprint(self) -> str:
        """Identifies models, pipelines, samples and what computes."""
        parts = [self.float.graph.sha256, self.quant.graph.sha256]
        parts += [self.float.preprocess.spec, self.quant.preprocess.spec]
        parts += [info.sha256 for info in self.infos]
        parts.append(repr(tool_info(self.request.providers)))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _feeds(self, sample: Sample) -> tuple[Feeds, Feeds]:
        """What both models are fed with; the last sample's is kept, for it is asked for again."""
        known = self._fed
        if known is None or known[0] is not sample:
            known = self._fed = sample, feeds_of(sample, self.float, self.quant)
        return known[1]

    def _what_if(
        self, expansion: Expansion, pairing: Pairing, runs: OutputRuns, samples: Sequence[Sample]
    ) -> WhatIf:
        """Reruns the quant graph, written as QDQ, with something changed."""
        return WhatIf(
            Simulation(
                (self.float.graph, expansion.graph),
                expansion.pairing(pairing),
                runs.deployed.outputs,
                lambda number: self._feeds(samples[number]),
                len(samples),
                self.settings,
                self.request.max_memory,
                references=runs.references,
            )
        )

    def _context(
        self,
        paired: tuple[Pairing, WhatIf],
        stats: Sequence[LayerStats],
        layers: Sequence[Layer],
        runs: OutputRuns,
    ) -> CheckContext:
        """What the checks see: the numbers of the graph as it is, and the graph written as QDQ."""
        measured, what_if = paired
        pairing = what_if.pairing
        return CheckContext(
            float_graph=self.float.graph,
            quant_graph=what_if.quant_graph,
            pairing=pairing,
            joined=join_layers(pairing.pairs, stats, layers),
            outputs=make_outputs(
                self.float.graph,
                layers,
                measured,
                None if self.alone else runs.deployed,
                runs.ceiling,
            ),
            samples=self.infos,
            limits=self.request.limits,
            vendor=self.request.vendor,
            what_if=what_if,
            task=runs.task.outcome(),
            layer_limits=self.request.layer_limits,
            ceiling=runs.ceiling,
            input_findings=self.input_findings,
        )

    def _finish(self, context: CheckContext, findings: Sequence[Finding], runs: OutputRuns) -> Run:
        pairing, task = context.pairing, context.task
        for graph in (self.float.graph, self.quant.graph):
            check_unchanged(graph)
        run = Run(
            schema=SCHEMA,
            tool=tool_info(self.request.providers),
            command=tuple(self.request.command),
            models=Models(self.float.describe(), self.quant.describe()),
            preprocess=Preprocess(self.float.preprocess, self.quant.preprocess),
            samples=tuple(self.infos),
            verdict=decide(context.outputs, findings, self.request.limits),
            outputs=tuple(context.outputs),
            layers=context.layers,
            unpaired=UnpairedSides(pairing.unpaired_float, pairing.unpaired_quant),
            findings=tuple(findings),
            timing=self._timing(runs.deployed.seconds_per_sample),
            task=task.result if task is not None else None,
            notes=tuple(self.notes),
            board=context.board.info if context.board is not None else None,
            reading=context.reading.info if context.reading is not None else None,
            tuning=self.tuning,
            local_samples=len(local_samples(self.request.local, len(self.infos))) or None,
        )
        graphs = (self.float.graph, self.quant.graph, context.quant_graph)
        spoken = (run.findings, run.notes, run.unpaired, run.task, run.verdict, run.preprocess)
        names = {name for graph in graphs for name in names_in(graph)}
        run = dataclasses.replace(run, mentioned=mentioned(spoken, names - set(field_names(run))))
        return self.writer.commit(run, make_arrays([layer.stats for layer in context.joined]))

    def _timing(self, seconds_per_sample: float) -> Timing:
        total = time.perf_counter() - self.started
        return Timing(total, seconds_per_sample * len(self.infos), peak_rss_mib())


def _journal_file(output: str | Path | None) -> Path | None:
    if output is None:
        return None
    return Path(output).with_name(f".{Path(output).name}.sensitivity")


def peak_rss_mib() -> float:
    """Largest resident memory of this process so far, MiB; NaN where the system does not say."""
    if os.name != "posix":
        return math.nan
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
