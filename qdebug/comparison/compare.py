"""``qdebug.compare``: from two models and some inputs to a run."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug import interrupts
from qdebug.analysis.journal import Journal
from qdebug.analysis.roles import assign_roles
from qdebug.analysis.sensitivity import measure_sensitivity
from qdebug.analysis.tasks import check_task_name
from qdebug.analysis.what_if import WhatIf
from qdebug.capture.engine import Capture, CaptureSettings
from qdebug.capture.session import SessionSettings
from qdebug.capture.stats import LayerStats
from qdebug.checks import CheckContext
from qdebug.checks.registry import run_checks
from qdebug.comparison.input_gate import InputGate
from qdebug.comparison.keep import KeptTensors, Recapture
from qdebug.comparison.layers import make_arrays, make_layers, make_outputs
from qdebug.comparison.outputs import OutputRuns, shown_sample
from qdebug.comparison.pictures import MAX_PICTURES, input_picture, png, source_picture
from qdebug.comparison.sides import (
    Side,
    SpecLike,
    fed_alike,
    feeds_of,
    load_sides,
    pair_sides,
)
from qdebug.comparison.tool import tool_info
from qdebug.comparison.verdict import decide
from qdebug.errors import UsageError
from qdebug.graph.describe import describe
from qdebug.graph.load import check_unchanged
from qdebug.graph.pairs import Pairing
from qdebug.limits import LayerLimit
from qdebug.preprocess import RawFormat, Sample, find_samples
from qdebug.progress import Progress, Silent
from qdebug.quantities import parse_keep_tensors
from qdebug.run.model import (
    SCHEMA,
    Finding,
    InputStats,
    Layer,
    Limit,
    Models,
    Preprocess,
    Run,
    SampleInfo,
    Timing,
    UnpairedSides,
)
from qdebug.run.store import MemoryWriter, RunWriter

Array = npt.NDArray[Any]
Feeds = dict[str, Array]


def compare(  # noqa: PLR0913 - the public request, every option by keyword
    float_model: str | Path,
    quant_model: str | Path,
    inputs: Sequence[str | Path] | str | Path,
    *,
    preprocess: SpecLike | None = None,
    quant_preprocess: SpecLike | None = None,
    fed: str | Path | None = None,
    shape: tuple[int, ...] | None = None,
    dtype: str | None = None,
    limit: int | None = None,
    output: str | Path | None = None,
    force: bool = False,
    keep_tensors: str = "none",
    threads: int | None = None,
    local: bool = True,
    sensitivity: bool = False,
    ceiling: bool = False,
    max_memory: int = 1 << 30,
    providers: tuple[str, str] = ("cpu", "cpu"),
    task: str | None = None,
    vendor: str | None = None,
    limits: Sequence[Limit] | None = None,
    layer_limits: Sequence[LayerLimit] = (),
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> Run:
    """Compare a float ONNX model with its quantized twin, layer by layer.

    Args:
        float_model: the reference ``.onnx`` file.
        quant_model: its quantized twin.
        inputs: pictures, folders, globs, list files, tensor files, or ``NAME=path``.
        preprocess: spec, its text, a preset or a TOML file; None: what the model implies.
        quant_preprocess: the same for the quant model, where it wants other inputs.
        fed: file of the tensor that the device, or the calibration, was really fed for the first
            input; the input gate judges it.
        shape: shape of raw binary inputs.
        dtype: numpy data type of raw binary inputs.
        limit: the most samples to use.
        output: the ``NAME.qdrun`` folder to write; None keeps the run in memory.
        force: replace a run that is there.
        keep_tensors: ``none``, ``worst:N`` or ``all``: which layers' values to write.
        threads: ONNX Runtime's intra-op threads; None leaves it the choice.
        local: measure local error too.
        sensitivity: measure every layer's sensitivity too. What an interrupted measurement had
            done is taken up again by the next one of the same request and ``output``.
        ceiling: run the quant model with 16-bit codes over the same ranges too, and measure at
            the outputs what remains.
        max_memory: bytes of captured tensors held at once.
        providers: execution providers of the float and the quant side.
        task: how the outputs are judged: ``auto`` (the default) recognizes it, ``none`` does not,
            else ``classification``, ``detection``, ``segmentation``, ``text`` or
            ``module:function``, a function as in ``qdebug.analysis.tasks.user``.
        vendor: toolchain that advice is written for.
        limits: what every output must hold; None for the defaults.
        layer_limits: what single layers must hold, by name pattern.
        command: the command line, for the record.
        progress: told about the progress.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    check_task_name(task)
    given = [inputs] if isinstance(inputs, (str, Path)) else list(inputs)
    request = _Request(
        inputs=[str(item) for item in given],
        raw=RawFormat(shape, dtype),
        fed=Path(fed) if fed is not None else None,
        limit=limit,
        keep=_keep_choice(keep_tensors),
        local=local,
        sensitivity=sensitivity,
        ceiling=ceiling,
        journal=_journal_file(output) if output is not None else None,
        max_memory=max_memory,
        threads=threads or 0,
        providers=providers,
        task=task,
        vendor=vendor,
        limits=limits,
        layer_limits=layer_limits,
        command=tuple(command),
    )
    writer = RunWriter(Path(output), force=force) if output is not None else MemoryWriter()
    sides = load_sides(Path(float_model), Path(quant_model), preprocess, quant_preprocess)
    with writer:
        return _Comparison(request, sides, writer, progress or Silent()).run()


@dataclasses.dataclass(frozen=True)
class _Request:
    inputs: list[str]
    raw: RawFormat
    fed: Path | None
    limit: int | None
    keep: str
    local: bool
    sensitivity: bool
    ceiling: bool
    journal: Path | None
    max_memory: int
    threads: int
    providers: tuple[str, str]
    task: str | None
    vendor: str | None
    limits: Sequence[Limit] | None
    layer_limits: Sequence[LayerLimit]
    command: tuple[str, ...]


class _Comparison:
    """One comparison on its way from the request to the run."""

    def __init__(
        self,
        request: _Request,
        sides: tuple[Side, Side],
        writer: RunWriter | MemoryWriter,
        progress: Progress,
    ) -> None:
        self.request, self.writer, self.progress = request, writer, progress
        self.float, self.quant = sides
        self.started = time.perf_counter()
        self.settings = tuple(
            SessionSettings(threads=request.threads, provider=p) for p in request.providers
        )
        self.infos: list[SampleInfo] = []
        self.notes: list[str] = []
        self.input_findings: tuple[Finding, ...] = ()
        self.fed_picture: npt.NDArray[np.uint8] | None = None

    def run(self) -> Run:
        samples = find_samples(
            self.request.inputs,
            self.float.contract,
            self.quant.contract,
            raw=self.request.raw,
            limit=self.request.limit,
        )
        first = self._feeds(samples[0])
        gate = InputGate((self.float, self.quant), samples[0], self.request.fed)
        self.input_findings = gate.findings()
        self.fed_picture = gate.fed_picture()
        pairing = self._pair(first)
        with self._capture(pairing, first, len(samples)) as capture:
            self.notes.append(capture.plan.describe())
            self.progress.note(self.notes[-1])
            outputs = OutputRuns(
                (self.float, self.quant),
                (self.settings[0], self.settings[1]),
                pairing,
                len(samples),
                self.request.task,
                self.request.ceiling,
            )
            kept = KeptTensors(self.writer, self.request.keep)
            self._run_samples(samples, capture, outputs, kept)
        layers = assign_roles(make_layers(self.float.graph, pairing, capture.stats, self.infos))
        layers = self._with_sensitivity(layers, pairing, samples)
        self.progress.stage("checking")
        context = self._context(pairing, capture.stats, layers, outputs, samples)
        findings = run_checks(context)
        layers = kept.finish(layers, findings, self._recapture(pairing, samples))
        return self._finish(dataclasses.replace(context, layers=layers), findings, outputs)

    def _pair(self, first: tuple[Feeds, Feeds]) -> Pairing:
        self.progress.stage("pairing the graphs")
        pairing = pair_sides((self.float, self.quant), (self.settings[0], self.settings[1]), first)
        self.notes.extend(pairing.notes)
        return pairing

    def _capture(self, pairing: Pairing, first: tuple[Feeds, Feeds], samples: int) -> Capture:
        return Capture(
            self.float.graph,
            self.quant.graph,
            pairing.pairs,
            first,
            samples,
            self._capture_settings(),
        )

    def _capture_settings(self) -> CaptureSettings:
        return CaptureSettings(
            self.settings[0], self.settings[1], self.request.max_memory, self.request.local
        )

    def _run_samples(
        self,
        samples: Sequence[Sample],
        capture: Capture,
        outputs: OutputRuns,
        kept: KeptTensors,
    ) -> None:
        size = next((item.size for item in self.float.contract.inputs if item.size), None)
        self.progress.stage("running both models", len(samples))
        for number, sample in enumerate(samples):
            interrupts.check()
            feeds = self._feeds(sample)
            self.infos.append(self._sample_info(number, sample, feeds))

            def sink(at: int, side: str, value: Array) -> None:
                outputs.receive(at, side, value)
                kept.add(number, at, side, value)  # noqa: B023

            capture.add_sample(*feeds, sink)
            outputs.finish_sample(number, feeds, shown_sample(sample, self.infos[-1], size))
            self.progress.advance()

    def _recapture(self, pairing: Pairing, samples: Sequence[Sample]) -> Recapture:
        def run(positions: Sequence[int], receive: Callable[[int, int, str, Array], None]) -> None:
            self.progress.stage("keeping the worst layers", len(samples))
            chosen = [pairing.pairs[at] for at in positions]
            settings = dataclasses.replace(self._capture_settings(), local=False)
            first = self._feeds(samples[0])
            graphs = self.float.graph, self.quant.graph
            with Capture(*graphs, chosen, first, len(samples), settings) as capture:
                for number, sample in enumerate(samples):
                    capture.add_sample(
                        *self._feeds(sample),
                        lambda at, side, value: receive(number, positions[at], side, value),  # noqa: B023
                    )
                    self.progress.advance()

        return run

    def _with_sensitivity(
        self, layers: Sequence[Layer], pairing: Pairing, samples: Sequence[Sample]
    ) -> list[Layer]:
        if not self.request.sensitivity:
            return list(layers)
        with Journal(self.request.journal, self._fingerprint()) as journal:
            if journal.done:
                done = len(journal.done)
                self.progress.note(f"sensitivity: {done} measurements taken up again")
            measured = measure_sensitivity(
                (self.float.graph, self.quant.graph),
                pairing.pairs,
                (self._feeds(sample) for sample in samples),
                self._capture_settings(),
                count=len(samples),
                journal=journal,
                progress=self.progress,
            )
            journal.finish()
        return [dataclasses.replace(x, sensitivity=measured.get(x.index)) for x in layers]

    def _fingerprint(self) -> str:
        """Identifies models, pipelines, samples and what computes."""
        parts = [self.float.graph.sha256, self.quant.graph.sha256]
        parts += [self.float.preprocess.spec, self.quant.preprocess.spec]
        parts += [info.sha256 for info in self.infos]
        parts.append(repr(tool_info(self.request.providers)))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _feeds(self, sample: Sample) -> tuple[Feeds, Feeds]:
        return feeds_of(sample, self.float, self.quant)

    def _sample_info(self, number: int, sample: Sample, feeds: tuple[Feeds, Feeds]) -> SampleInfo:
        info = SampleInfo(
            name=sample.name,
            sha256=sample.sha256,
            inputs=tuple(_input_stats(name, value) for name, value in feeds[0].items()),
        )
        if number >= MAX_PICTURES:
            return info
        pictures = {
            "thumb": input_picture(next(iter(feeds[0].values())), self.float.contract.spec),
            "source": source_picture(sample),
            "thumb_fed": None if number else self.fed_picture,
        }
        if not fed_alike(self.float, self.quant):
            quant_value = next(iter(feeds[1].values()))
            pictures["thumb_quant"] = input_picture(quant_value, self.quant.contract.spec)
        stored: dict[str, Any] = {}
        for kind, picture in pictures.items():
            if picture is not None:
                stored[kind] = f"thumbs/{number:04d}.{kind}.png"
                self.writer.add(stored[kind], png(picture))
        return dataclasses.replace(info, **stored)

    def _context(
        self,
        pairing: Pairing,
        stats: Sequence[LayerStats],
        layers: Sequence[Layer],
        runs: OutputRuns,
        samples: Sequence[Sample],
    ) -> CheckContext:
        return CheckContext(
            self.float.graph,
            self.quant.graph,
            pairing,
            layers,
            stats,
            make_outputs(self.float.graph, layers, pairing, runs.deployed, runs.ceiling),
            self.infos,
            self.request.limits,
            self.request.vendor,
            WhatIf(
                (self.float.graph, self.quant.graph),
                pairing,
                runs.deployed.outputs,
                lambda number: self._feeds(samples[number]),
                len(samples),
                (self.settings[0], self.settings[1]),
                self.request.max_memory,
            ),
            runs.task.outcome(),
            self.request.layer_limits,
            runs.ceiling,
            input_findings=self.input_findings,
        )

    def _finish(self, context: CheckContext, findings: Sequence[Finding], runs: OutputRuns) -> Run:
        pairing, task = context.pairing, context.task
        for graph in (self.float.graph, self.quant.graph):
            check_unchanged(graph)
        run = Run(
            schema=SCHEMA,
            tool=tool_info(self.request.providers),
            command=self.request.command,
            models=Models(describe(self.float.graph), describe(self.quant.graph)),
            preprocess=Preprocess(self.float.preprocess, self.quant.preprocess),
            samples=tuple(self.infos),
            verdict=decide(context.outputs, findings, self.request.limits),
            outputs=tuple(context.outputs),
            layers=tuple(context.layers),
            unpaired=UnpairedSides(pairing.unpaired_float, pairing.unpaired_quant),
            findings=tuple(findings),
            timing=self._timing(runs.deployed.seconds_per_sample),
            task=task.result if task is not None else None,
            notes=tuple(self.notes),
        )
        return self.writer.commit(run, make_arrays(context.stats))

    def _timing(self, seconds_per_sample: float) -> Timing:
        total = time.perf_counter() - self.started
        return Timing(total, seconds_per_sample * len(self.infos), peak_rss_mib())


def _journal_file(output: str | Path) -> Path:
    return Path(output).with_name(f".{Path(output).name}.sensitivity")


def _keep_choice(text: str) -> str:
    try:
        return parse_keep_tensors(text)
    except ValueError as error:
        raise UsageError(f"keep_tensors: {error}") from None


def peak_rss_mib() -> float:
    """Largest resident memory of this process so far, MiB; NaN where the system does not say."""
    if os.name != "posix":
        return math.nan
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _input_stats(name: str, value: Array) -> InputStats:
    if value.size == 0 or value.dtype.kind not in "fiub":
        return InputStats(name, str(value.dtype), value.shape, math.nan, math.nan, math.nan)
    low, high = float(value.min()), float(value.max())
    mean = float(np.mean(value, dtype=np.float64))
    return InputStats(name, str(value.dtype), value.shape, low, high, mean)
