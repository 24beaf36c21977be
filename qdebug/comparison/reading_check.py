"""``qdebug reading check``: a board's answers against the models' outputs, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks import OutputFacts, Task, choose_task, prior_constants
from qdebug.analysis.tasks.task import Behaviour, recognition
from qdebug.capture.session import Session, SessionSettings
from qdebug.comparison.reading import scales_by_name
from qdebug.comparison.sides import Side, feeds_of, load_sides, pair_sides, samples_of
from qdebug.errors import UsageError
from qdebug.graph.pairs import Pairing
from qdebug.graph.twin_outputs import quant_output_names
from qdebug.options import CompareOptions, ReadingOptions
from qdebug.preprocess import Sample
from qdebug.reading.findings import findings_of
from qdebug.reading.outcome import ReadingOutcome
from qdebug.reading.watch import ReadingWatch
from qdebug.run.check_report import READING_SCHEMA, ReadingReport

Array = npt.NDArray[Any]
_AUTO = "auto"


def check_reading(options: ReadingOptions) -> ReadingReport:
    """Hold a board's answers against the outputs of the models, without looking at layers.

    Raises:
        UsageError: no answers were given, or the task is not known.
        InputError: they cannot be read, or are of other pictures.
    """
    if options.predictions is None:
        raise UsageError("nothing says what the board answered", "give --predictions FILE")
    asked = CompareOptions(
        options.float_model,
        options.quant_model or options.float_model,
        options.inputs,
        preprocess=options.preprocess,
        quant_preprocess=options.quant_preprocess,
        limit=options.limit,
        shape=options.shape,
        dtype=options.dtype,
    )
    sides = load_sides(asked)
    samples = samples_of(asked, sides)
    settings = SessionSettings(threads=options.threads or 0, provider=options.provider)
    with_twin = options.quant_model is not None
    outcome = _Work(sides, samples, settings, with_twin).run(
        Path(options.predictions), options.task
    )
    return ReadingReport(READING_SCHEMA, outcome.info, tuple(findings_of(outcome)))


class _Work:
    """Both models, run sample by sample as they are deployed."""

    def __init__(
        self,
        sides: tuple[Side, Side],
        samples: Sequence[Sample],
        settings: SessionSettings,
        with_twin: bool,
    ) -> None:
        self.sides, self.samples, self.settings = sides, samples, settings
        self.with_twin = with_twin
        graphs = [side.graph for side in sides[: 1 + with_twin]]
        self._sessions = [Session(graph.whole, graph, settings.deployed) for graph in graphs]
        self._task: Task | None = None
        self._seen: list[Behaviour] = []

    def run(self, predictions: Path, name: str) -> ReadingOutcome:
        """What the answers say."""
        pairing = self._pairing()
        names = {n: n for n in self.sides[0].graph.outputs}
        if pairing is not None:
            graphs = self.sides[0].graph, self.sides[1].graph
            names = quant_output_names(graphs[0].outputs, graphs[1].outputs, pairing)
        codes = scales_by_name(pairing) if pairing is not None else {}
        watch = ReadingWatch(predictions, self.samples, codes)
        for number, sample in enumerate(self.samples):
            by_basis = self._outputs(sample, names)
            if self._task is None:
                self._task = choose_task(name, self._facts(by_basis["float"]))
            if self._task is not None and self._task.behaves is not None:
                self._seen.append(self._task.behaves(by_basis["float"]))
            watch.add(number, self._task, by_basis)
        assert self._task is not None  # the watch has refused what is not known
        known = recognition(self._task, name != _AUTO, self._seen)
        found = watch.outcome(known is not None and known[0] != "guessed")
        assert found is not None
        return found

    def _pairing(self) -> Pairing | None:
        if not self.with_twin:
            return None
        first = feeds_of(self.samples[0], *self.sides)
        return pair_sides(self.sides, (self.settings, self.settings), first)

    def _outputs(self, sample: Sample, names: Mapping[str, str]) -> dict[str, dict[str, Array]]:
        """By whose outputs they are, nearest to the board first; all by the float model's names."""
        feeds = feeds_of(sample, *self.sides)
        runs = [s.run(feed) for s, feed in zip(self._sessions, feeds, strict=False)]
        found = {"float": {n: np.asarray(v, np.float32) for n, v in runs[0].items()}}
        if len(runs) > 1:
            named = {n: np.asarray(runs[1][q], np.float32) for n, q in names.items()}
            found = {"quant": named, **found}
        return found

    def _facts(self, outputs: Mapping[str, Array]) -> OutputFacts:
        graph = self.sides[0].graph
        size = next((item.size for item in self.sides[0].contract.inputs if item.size), None)
        return OutputFacts(outputs, size, dict(graph.metadata), prior_constants(graph))
