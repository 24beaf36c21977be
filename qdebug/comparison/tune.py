"""``qdebug.tune``: from two models and some pictures to a repaired model and its record."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdebug import interrupts
from qdebug.analysis.tasks import Task, check_task_name, prior_constants
from qdebug.analysis.tasks.recognize import choose_task
from qdebug.analysis.tasks.task import OutputFacts
from qdebug.capture.fetch import Fetcher
from qdebug.capture.session import SessionSettings
from qdebug.comparison.compare import Comparison
from qdebug.comparison.outputs import quant_output_names
from qdebug.comparison.quantize import quantize
from qdebug.comparison.sides import (
    Side,
    arguments_of,
    feeds_of,
    float_side,
    load_sides,
    pair_sides,
    samples_of,
    settled,
)
from qdebug.comparison.tool import tool_info
from qdebug.comparison.tune_request import (
    budget_of,
    check_tunable,
    has_external_data,
    real_outputs,
    save_model,
    target_of,
    weighted_tensor,
)
from qdebug.cure.alone import measured_alone
from qdebug.cure.bias import correct_biases
from qdebug.cure.contributions import measure_contributions
from qdebug.cure.loss import Loss, loss_for
from qdebug.cure.network import Network
from qdebug.cure.pictures import FEWEST, FOR_BIASES, MOST_OF_BOXES, Split, check_signal, split
from qdebug.cure.pins import pinned_units
from qdebug.cure.predict import Prediction, Shares, shares_of
from qdebug.cure.proof import Journal, Judge, Picture, Proof
from qdebug.cure.runs import ReverseRuns
from qdebug.cure.search import Search
from qdebug.cure.setting import FREE, scheme_of
from qdebug.cure.sites import Unit
from qdebug.cure.verdict import Reached, decide
from qdebug.cure.write import tuned_model
from qdebug.errors import UsageError
from qdebug.graph.expand import expand
from qdebug.graph.load import load_graph
from qdebug.options import CompareOptions, TuneOptions, takes
from qdebug.progress import Progress, Silent
from qdebug.run.atomic import write_whole
from qdebug.run.model import Run
from qdebug.run.store import MemoryWriter, RunWriter
from qdebug.run.tuning import Tuning

Feeds = Mapping[str, Any]
RECORD = ".qdtune"
WRITING = "writing the repaired model"
"""The stage that ends the search."""
_COMPARED = 4
"""Held-out pictures that the record's layers are measured on."""


class _OutOfTimeError(Exception):
    """The time allowed is over."""


@takes(TuneOptions)
def tune(options: TuneOptions) -> Run:
    """Repair a quantized model: the cheapest cures first, each proven on held-out pictures.

    Raises:
        QdebugError: bad input; see its message and hint.
    """
    check_task_name(options.task)
    output = Path(options.output)
    _check_output(output, options)
    with tempfile.TemporaryDirectory(prefix="qdebug-tune-") as folder:
        return _Tuning(options, output, Path(folder), options.progress or Silent()).run()


def record_of(output: Path) -> Path:
    """Where the record of a tuned model lies."""
    return output.with_suffix(RECORD)


def _check_output(output: Path, options: TuneOptions) -> None:
    """Refuse what could only fail after all the work, or would overwrite what it begins with."""
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"-o {output}: the repaired model is ONNX", "name it NAME.onnx")
    given = (Path(m).resolve() for m in (options.float_model, options.quant_model) if m is not None)
    if output.resolve() in given:
        raise UsageError(f"-o {output}: that is one of the models given", "choose another name")
    for path in (output, record_of(output)):
        if path.exists() and not options.force:
            raise UsageError(f"{path} exists already", "use --force to replace it")


@dataclass(frozen=True)
class _Material:
    """What a search works on."""

    network: Network
    feeds: Sequence[tuple[Feeds, Feeds]]
    references: Sequence[Mapping[str, Any]]
    parts: Split
    task: Task | None
    loss: Loss


class _Tuning:
    """One tuning on its way from the request to the record."""

    def __init__(
        self, request: TuneOptions, output: Path, folder: Path, progress: Progress
    ) -> None:
        self.request, self.output, self.progress = request, output, progress
        self._folder = folder
        self.settings = SessionSettings(threads=request.threads or 0)
        self.fast = dataclasses.replace(self.settings, reordered=True)
        self.begun = False
        self.started = time.perf_counter()
        self.until = None if request.time is None else time.monotonic() + request.time
        self.notes: list[str] = []
        self.runs: dict[str, int] = {}
        self.fault = ""
        self.asked = False
        self.needed: int | None = None
        self._calibrated: Path | None = None

    def run(self) -> Run:
        """Search, write, and record."""
        self._settle_pipeline()
        self.sides = load_sides(self._as_compared(self._quant_model()))
        self.request = dataclasses.replace(self.request, preprocess=settled(self.sides[0]))
        self.samples = samples_of(self._as_compared(self._quant_model()), self.sides)
        parts = split(len(self.samples))
        material = self._material(parts)
        journal = Journal(self._journal_file(), self._fingerprint())
        try:
            search, stopped = self._search(material, journal)
        finally:
            journal.close()
        kept = f"{self.output} and {record_of(self.output)} hold what was found so far"
        with interrupts.held(kept):
            run = self._finish(material, search, stopped)
        journal_file = self._journal_file()
        if not stopped:
            journal_file.unlink(missing_ok=True)
        if stopped == _INTERRUPTED:
            raise KeyboardInterrupt(kept)
        return run

    # -- before the search ---------------------------------------------------------------------

    def _settle_pipeline(self) -> None:
        """Infer the pipeline before a twin is calibrated with it, which would then confirm it."""
        request = self.request
        if request.quant_model is None and request.preprocess is None:
            graph = load_graph(Path(request.float_model))
            side = float_side(graph, None, arguments_of(self._as_compared(graph.path)))
            self.request = dataclasses.replace(request, preprocess=settled(side))

    def _quant_model(self) -> Path:
        if self.request.quant_model is not None:
            return Path(self.request.quant_model)
        if self._calibrated is None:
            self._calibrated = self._calibrate()
        return self._calibrated

    def _calibrate(self) -> Path:
        """The twin to begin from where none is given: minimum and maximum over the pictures."""
        request = self.request
        twin = self._folder / f"{Path(request.float_model).stem}_minmax.onnx"
        self.progress.note("no QUANT is given: it begins from minimum and maximum of the pictures")
        quantize(
            request.float_model,
            twin,
            calibrate=request.inputs,
            method="max",
            preprocess=request.preprocess,
            shape=request.shape,
            dtype=request.dtype,
            limit=request.limit,
            threads=request.threads,
        )
        return twin

    def _as_compared(self, quant_model: Path) -> CompareOptions:
        request = self.request
        return CompareOptions(
            request.float_model,
            quant_model,
            request.inputs,
            preprocess=request.preprocess,
            quant_preprocess=request.quant_preprocess,
            shape=request.shape,
            dtype=request.dtype,
            limit=request.limit,
            threads=request.threads,
            max_memory=request.max_memory,
            task=request.task,
            vendor=request.vendor,
            force=request.force,
            command=request.command,
        )

    def _material(self, parts: Split) -> _Material:
        self.progress.stage("pairing the graphs")
        used = (*parts.searched, *parts.held_out)
        feeds = {at: feeds_of(self.samples[at], *self.sides) for at in used}
        first = feeds[used[0]]
        pairing = pair_sides(self.sides, (self.settings, self.settings), first)
        expansion = expand(self.sides[1].graph)
        if expansion.is_changed:
            pairing = expansion.pairing(pairing)
            self.notes.append("the operators on codes were written out as QDQ")
        graphs = self.sides[0].graph, expansion.graph
        names = quant_output_names(graphs[0].outputs, graphs[1].outputs, pairing)
        network = Network(*graphs, pairing, real_outputs(graphs, names))
        check_tunable(network)
        self.progress.stage("running the float model", len(used))
        fetcher = Fetcher(graphs[0], self.settings)
        outputs = fetcher.values(list(network.outputs), first[0])
        task = self._task(outputs)
        loss = loss_for(
            graphs[0], task, tuple(network.outputs), network.can_read, self._compare_at(network)
        )
        if task is not None and task.kind == "detection":
            parts = Split(parts.searched[:MOST_OF_BOXES], parts.held_out)
        wanted = list(dict.fromkeys((*network.outputs, *loss.tensors)))
        references = {}
        for at in (*parts.searched, *parts.held_out):
            interrupts.check()
            references[at] = fetcher.values(wanted, feeds[at][0])
            self.progress.advance()
        self.runs["float"] = len(references)
        check_signal(list(references.values()))
        order = sorted(references)
        place = {at: number for number, at in enumerate(order)}
        return _Material(
            network,
            [feeds[at] for at in order],
            [references[at] for at in order],
            Split(
                tuple(place[at] for at in parts.searched), tuple(place[at] for at in parts.held_out)
            ),
            task,
            loss,
        )

    def _task(self, outputs: Mapping[str, Any]) -> Task | None:
        side: Side = self.sides[0]
        size = side.contract.size
        metadata = {**self.sides[1].graph.metadata, **side.graph.metadata}
        facts = OutputFacts(outputs, size, metadata, prior_constants(side.graph))
        task = choose_task(self.request.task, facts)
        if task is None:
            self.notes.append("no task is recognized: the loss is taken on the raw outputs")
        return task

    def _compare_at(self, network: Network) -> dict[str, float] | None:
        if self.request.compare_at is None:
            return None
        found = {}
        for part in self.request.compare_at.split(","):
            name, weight = weighted_tensor(part.strip())
            if not network.can_read(name):
                raise UsageError(
                    f"--compare-at: the two models have no tensor {name!r} in common",
                    "name tensors of the float graph, TENSOR[:weight],...",
                )
            found[name] = weight
        return found

    def _fingerprint(self) -> str:
        parts = [self.sides[0].graph.sha256, self.sides[1].graph.sha256]
        parts += [self.sides[0].preprocess.spec, self.sides[1].preprocess.spec]
        parts += [sample.sha256 for sample in self.samples]
        request = self.request
        parts += [str(request.task), str(request.compare_at), request.fallback]
        parts += [str(names) for names in (request.keep, request.before, request.after)]
        parts.append(str(request.between))
        parts.append(repr(tool_info(("cpu", "cpu"))))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _journal_file(self) -> Path:
        return self.output.with_name(f".{self.output.stem}.tune")

    # -- the search ----------------------------------------------------------------------------

    def _check(self) -> None:
        """Stop here where that is asked for."""
        interrupts.check()
        if self.begun and self._is_over():
            raise _OutOfTimeError

    def _search(self, material: _Material, journal: Journal) -> tuple[Search, str]:
        """The search, and why it ended early."""
        network, feeds = material.network, material.feeds
        units = network.units(feeds[0][1])
        self.progress.stage("gradients at every quantizer")
        proof = Proof(
            network,
            [Picture(feeds[at][1], material.references[at]) for at in material.parts.held_out],
            material.loss,
            Judge(material.task),
            self.fast,
            journal,
            self._check,
        )
        prediction = self._predict(material, units)
        search = Search(
            prediction,
            proof,
            FREE if self.request.fallback == "float" else 16,
            budget_of(self.request.budget),
            target_of(material.task),
            pinned_units(
                network,
                units,
                keep=self.request.keep,
                before=self.request.before,
                after=self.request.after,
                between=self.request.between,
            ),
            self.progress.note,
        )
        self.progress.stage("proving cures on held-out pictures")
        search.begin()
        self.begun = True
        stopped = self._steps(search, material)
        proof.release()
        self.runs["configured"] = proof.runs
        return search, stopped

    def _steps(self, search: Search, material: _Material) -> str:
        chosen = material.parts.searched[:FOR_BIASES]
        feeds = [material.feeds[at][1] for at in chosen]
        try:
            if search.nothing_to_win() and not self.request_pins:
                return ""
            if search.is_no_resolution():
                self.fault = self._named_fault()
                if self.fault:
                    return ""
            search.pin()
            search.free_broken()
            search.correct_biases(
                lambda: correct_biases(
                    material.network, search.wide_config, feeds, self.fast, self._check
                )
            )
            search.choose_ranges(verify_all=self.request.methods)
            search.climb()
            search.settle()
            if not search.reached(search.measured) and search.budget.is_set is False:
                self.asked = True
                self.needed = search.needed()
        except _OutOfTimeError:
            return f"the time allowed, {self.request.time:g} s, was over"
        except KeyboardInterrupt:
            return _INTERRUPTED
        return ""

    @property
    def request_pins(self) -> bool:
        """Whether the user names nodes that get more bits whatever it costs."""
        request = self.request
        return bool(request.keep or request.before or request.after or request.between)

    def _named_fault(self) -> str:
        """Slug of the finding that says why more bits do not help; empty where none does."""
        parts = split(len(self.samples))
        chosen = [self.samples[at] for at in parts.held_out[:_COMPARED]]
        request = self._as_compared(self.sides[1].graph.path)
        run = Comparison(request, self.sides, MemoryWriter(), self.progress).run(chosen)
        named = [
            f.slug
            for f in run.findings
            if f.status == "fail" and (f.slug in _NOT_RESOLUTION or f.gate in ("input", "float"))
        ]
        return named[0] if named else ""

    def _predict(self, material: _Material, units: Sequence[Unit]) -> Prediction:
        network, loss = material.network, material.loss
        tensors = [site.float_tensor for site in network.sites if site.float_tensor is not None]
        reverse = ReverseRuns(
            network.float_graph,
            tensors,
            loss.tensors,
            self.settings,
            max_memory=self.request.max_memory,
        )
        pictures = (
            (material.feeds[at][0], loss.weights(material.references[at]))
            for number, at in enumerate(material.parts.searched)
            if number < FEWEST or not self._is_over()
        )
        probes = 2 if loss.candidates is not None else 1
        found = measure_contributions(reverse, pictures, probes=probes)
        self.runs["reverse"] = found.runs
        given = tuple(network.sites[unit.sites[0]].given for unit in units)
        shares = [shares_of(network, unit, found.tensors, found.folds) for unit in units]
        shares = self._measured_alone(material, units, shares)
        scheme = scheme_of([site.quantizer for site in network.sites])
        return Prediction(units, given, shares, scheme)

    def _is_over(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def _measured_alone(
        self, material: _Material, units: Sequence[Unit], shares: Sequence[Shares]
    ) -> list[Shares]:
        network = material.network
        given = tuple(network.sites[unit.sites[0]].given for unit in units)
        scheme = scheme_of([site.quantizer for site in network.sites])
        pictures = [
            (material.feeds[at][1], material.references[at]) for at in material.parts.searched
        ]
        found, runs = measured_alone(
            network,
            Prediction(units, given, shares, scheme),
            pictures,
            material.loss,
            self.fast,
            self._check,
        )
        if runs:
            self.notes.append(
                f"{sum(s.whole is None for s in found)} units have no gradient: their range is "
                "kept, and their share measured one by one"
            )
        self.runs["configured alone"] = runs
        return found

    # -- after the search ----------------------------------------------------------------------

    def _finish(self, material: _Material, search: Search, stopped: str) -> Run:
        """Write the model, compare it with the float model, and keep all that was found."""
        if self.fault:
            return self._recorded(self.sides, self._tuning_of(material, search, stopped))
        self.progress.stage(WRITING)
        plan, network = search.plan, material.network
        if search.is_as_given and not has_external_data(network.quant_graph):
            given = network.quant_graph.whole
            if isinstance(given, Path):
                write_whole(self.output, given.read_bytes())
            else:  # a toolchain's file was given: the twin it stands for
                save_model(given, self.output)
        else:
            numbers = search.proof.numbers(plan.numbers)
            save_model(tuned_model(network, search.config(plan), numbers), self.output)
        tuning = self._tuning_of(material, search, stopped)
        sides = load_sides(self._as_compared(self.output))
        return self._recorded(sides, tuning)

    def _recorded(self, sides: tuple[Side, Side], tuning: Tuning) -> Run:
        parts = split(len(self.samples))
        chosen = [self.samples[at] for at in parts.held_out[:_COMPARED]]
        request = dataclasses.replace(
            self._as_compared(sides[1].graph.path), output=record_of(self.output)
        )
        with RunWriter(record_of(self.output), force=self.request.force) as writer:
            comparison = Comparison(request, sides, writer, self.progress)
            comparison.started = self.started
            return comparison.run(chosen, tuning)

    def _tuning_of(self, material: _Material, search: Search, stopped: str) -> Tuning:
        met = search.reached(search.measured)
        reached = Reached(
            given=search.given,
            tuned=search.measured,
            ceiling=search.ceiling,
            task=search.proof.judge.name,
            target=search.target,
            units=len(search.units),
            raised=len(search.plan.units),
            needed=None if met else self.needed,
            reachable=met or self.needed is not None or not self.asked,
            met=met,
            cures=sum(cure.accepted for cure in search.found.cures),
            nothing_to_win=not search.found.cures and search.nothing_to_win(),
            fault=self.fault,
            stopped=stopped,
        )
        outcome, sentence = decide(reached)
        return Tuning(
            outcome,
            sentence,
            material.loss.told,
            reached.task,
            len(material.parts.searched),
            len(material.parts.held_out),
            search.given,
            search.measured,
            search.ceiling,
            target=f"{reached.task or 'SQNR, dB'} {search.target:g}",
            cures=tuple(search.found.cures),
            curve=tuple(search.found.curve),
            methods=tuple(search.found.methods),
            tried=tuple(search.found.tried),
            inferences=dict(sorted(self.runs.items())),
            stopped=stopped,
            notes=tuple(self.notes),
            files={} if self.fault else {"model": self.output.name},
        )


_INTERRUPTED = "interrupted"
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
