"""Counting a task's decisions while the samples go by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.recognize import AUTO, NONE, choose_task
from qdebug.analysis.tasks.task import (
    Behaviour,
    Effect,
    OutputFacts,
    OutputPart,
    Outputs,
    Task,
    TaskLimits,
    ToSource,
    recognition,
    wilson,
)
from qdebug.metrics.histogram import BINS, PairHistogram
from qdebug.run.model import Evidence, Limit, TaskResult

Array = npt.NDArray[Any]

SOME_DECISIONS = 8
"""As many as samples from which on ``few-samples`` is silent."""
FEW_DECISIONS = 30
"""Fewer decisions prove nothing: at 30 the 95 % interval of a share of 0.9 (Wilson 1927) is 0.2
wide."""
SHOWN_SAMPLES = 4
"""Samples whose boxes become evidence: those that differ most."""
SIGNAL_SAMPLES = 8
"""Samples on which the outputs that decide are looked for, and whose values are counted."""
_DECIDES = 1e-3
"""Difference of one sample's decisions from which on an output takes part in them."""
_GUESS = {"declared": "", "recognized": "", "guessed": "(a guess) "}
DECLARED = "declared simulation"
VARIANTS = {"deployed": "as deployed", "ceiling": "with 16-bit codes"}
"""Other ways in which the quant model is run, by the prefix of their numbers."""


@dataclass(frozen=True)
class TaskOutcome:
    """The effect on the task, and what a check needs to judge it.

    Attributes:
        result: for the run.
        limits: default limits; None where there are none.
        decisions: how many decisions the numbers rest on.
        wrong: how many of them differ.
        sentence: the declared numbers in words.
        evidence: boxes of the samples that differ most.
    """

    result: TaskResult
    limits: TaskLimits | None
    decisions: float
    wrong: float
    sentence: str
    evidence: tuple[Evidence, ...] = ()

    @property
    def guessed(self) -> bool:
        """Whether nothing but the form of the outputs speaks for the task."""
        return self.result.recognized == "guessed"

    def is_quiet(self, output: str) -> bool:
        """Whether a known task reads an output that decided nothing on these samples.

        Where no output decided anything, none is called quiet: the samples tell nothing.
        """
        signal = self.result.signal
        return not self.guessed and any(signal.values()) and signal.get(output) is False

    @property
    def agrees(self) -> bool:
        """Whether a known task's result is the same, as far as these samples tell."""
        if self.guessed or self.limits is None or not self.decisions:
            return False
        within = self.result.numbers[self.limits.number] >= self.limits.warn
        return within or self.wrong <= 1 < self.decisions

    def beside(self) -> list[Limit]:
        """The limits beside the deciding one that the task is beyond."""
        numbers = self.result.numbers
        also = self.limits.also if self.limits is not None else ()
        return [x for x in also if x.violated_by(numbers.get(x.task_number, x.value))]

    @property
    def holds(self) -> bool:
        """Whether a known task is the same, and more decisions than not are sure to be.

        Fewer than ``SOME_DECISIONS`` never are: on four pictures the best class survives an error
        that the fifth does not (as do planted faults of 20 dB in the sample classifier).
        """
        low, _ = wilson(self.decisions - self.wrong, max(self.decisions, 1))
        return self.agrees and self.decisions >= SOME_DECISIONS and low > 0.5

    @property
    def is_sound(self) -> bool:
        """Whether decisions enough for a judgement show a known task unharmed."""
        return self.agrees and not self.beside() and self.decisions >= FEW_DECISIONS


@dataclass(frozen=True)
class Shown:
    """A sample's stored picture and how boxes get onto it."""

    sample: str
    image: str | None
    to_source: ToSource | None


class TaskWatch:
    """Recognizes the task on the first sample and judges every sample.

    Args:
        name: see ``choose_task``.
        input_size: width and height of the float model's picture.
        metadata: of the float model.
        constants: see ``OutputFacts``.
    """

    def __init__(
        self,
        name: str | None,
        input_size: tuple[int, int] | None,
        metadata: Mapping[str, str],
        constants: Mapping[str, Array] | None = None,
    ) -> None:
        self._name, self._size, self._metadata = name, input_size, metadata
        self._constants = constants or {}
        self._task: Task | None = None
        self._asked = False
        self._effects: list[tuple[Shown, Effect]] = []
        self._seen: list[Behaviour] = []
        self._signal: dict[str, bool] = {}
        self._variants: dict[str, list[Effect]] = {name: [] for name in VARIANTS}
        self._parts: dict[str, tuple[OutputPart, PairHistogram]] = {}

    @property
    def wanted(self) -> bool:
        """Whether outputs are to be kept at all."""
        return self._name != NONE

    @property
    def task(self) -> Task | None:
        """What was recognized on the first sample; None before it, and where nothing was."""
        return self._task

    def add(self, shown: Shown, reference: Outputs, test: Outputs) -> None:
        """Judge one sample by its declared outputs.

        Args:
            shown: the sample's picture.
            reference: the float model's outputs.
            test: the quant model's, by the float model's names.

        Raises:
            UsageError: the task asked for does not fit the outputs.
        """
        if not self.wanted or not test:
            return
        known = {name: reference[name] for name in test if name in reference}
        self.recognize(known)
        task = self._task
        fitting = self._fitting(test, known)
        if task is None or not set(task.reads) <= fitting.keys():
            return
        self._effects.append((shown, task.judge(known, fitting)))
        if task.behaves is not None:
            self._seen.append(task.behaves(known))
        if len(self._effects) <= SIGNAL_SAMPLES:
            self._add_signal(task, known)
            self._count(task, known, fitting)

    def _count(self, task: Task, known: Outputs, test: Outputs) -> None:
        for part in task.parts(known, test) if task.parts is not None else ():
            if part.title not in self._parts:
                bare = dataclasses.replace(part, reference=np.zeros(0), test=np.zeros(0))
                self._parts[part.title] = bare, PairHistogram(*part.range)
            values = [np.ravel(np.asarray(v, np.float32)) for v in (part.reference, part.test)]
            self._parts[part.title][1].add(*values)

    def recognize(self, reference: Outputs) -> None:
        """Find out the task by the float model's outputs, the first time.

        Raises:
            UsageError: the task asked for does not fit the outputs.
        """
        if self.wanted and not self._asked:
            self._task = self._choose(reference)
            self._asked = True

    def _choose(self, known: Outputs) -> Task | None:
        facts = OutputFacts(known, self._size, dict(self._metadata), self._constants)
        return choose_task(self._name, facts)

    def _fitting(self, test: Outputs, known: Outputs) -> dict[str, Array]:
        """The quant outputs as the task takes them: of other lengths where it can."""
        fitting = shaped_like(test, known)
        if self._task is not None and self._task.any_length:
            same_rank = {n: v for n, v in test.items() if v.ndim == known[n].ndim}
            fitting = {**same_rank, **fitting}
        return fitting

    def _add_signal(self, task: Task, known: Outputs) -> None:
        """Which outputs decide: replaced by its mean, such a one changes the float decisions."""
        for name in task.reads:
            if self._signal.get(name) or task.across is not None:
                continue
            without = {**known, name: np.full_like(known[name], np.mean(known[name]))}
            effect = task.judge(known, without)
            self._signal[name] = effect.difference > _DECIDES or effect.counts.get("wrong", 0) > 0

    def add_variant(self, name: str, reference: Outputs, test: Outputs) -> None:
        """Judge one sample, added before, by the outputs of another way to run the models.

        Args:
            name: of ``VARIANTS``.
            reference: the float model's outputs, run that way where there is such a way.
            test: the quant model's, by the float model's names.
        """
        if self._task is None:
            return
        known = {n: np.asarray(v, np.float32) for n, v in reference.items() if _is_number(v)}
        found = {n: np.asarray(v, np.float32) for n, v in test.items() if _is_number(v)}
        fitting = self._fitting(found, known)
        if test and set(self._task.reads) <= fitting.keys() and fitting.keys() == test.keys():
            self._variants[name].append(self._task.judge(known, fitting))

    def outcome(self) -> TaskOutcome | None:
        """The effect on the task over all samples; None where no task was recognized."""
        if self._task is None or not self._effects:
            return None
        task = self._task
        known = recognition(task, self._name not in (None, AUTO), self._seen)
        if known is None:
            return None
        counts = _counts(task, [effect for _, effect in self._effects])
        numbers = task.total(counts)
        variants = {
            name: task.total(_counts(task, effects))
            for name, effects in self._variants.items()
            if effects
        }
        result = TaskResult(
            kind=task.kind,
            summary=_GUESS[known[0]] + self._summary(task, numbers, variants),
            numbers=numbers
            | {f"{way}_{k}": v for way, found in variants.items() for k, v in found.items()},
            per_sample=tuple({"sample": s.sample, **e.facts} for s, e in self._effects),
            recognized=known[0],
            evidence=known[1],
            signal=dict(self._signal),
        )
        return TaskOutcome(
            result,
            task.limits,
            counts.get(task.decisions, 0.0),
            counts.get("wrong", 0.0),
            _GUESS[known[0]] + task.describe(numbers),
            tuple(self._evidence()),
        )

    def _summary(
        self,
        task: Task,
        numbers: Mapping[str, float],
        variants: Mapping[str, Mapping[str, float]],
    ) -> str:
        text = f"{task.describe(numbers)} ({task.form}; {DECLARED})"
        for way, found in variants.items():
            samples = len(self._variants[way])
            many = "1 sample" if samples == 1 else f"{samples} samples"
            text += f"; {VARIANTS[way]}, on {many}: {task.describe(found)}"
        return text

    def _evidence(self) -> Sequence[Evidence]:
        drawn = [(s, e) for s, e in self._effects if e.boxes is not None and s.image is not None]
        drawn.sort(key=lambda item: -item[1].difference)
        boxes = [_boxes(shown, effect) for shown, effect in drawn[:SHOWN_SAMPLES]]
        some = f", first {SIGNAL_SAMPLES} samples" if len(self._effects) > SIGNAL_SAMPLES else ""
        return [*boxes, *(_histogram(*part, some) for part in self._parts.values())]


def shaped_like(values: Outputs, reference: Outputs) -> dict[str, Array]:
    """Values in the shapes of their counterparts.

    Those whose shapes differ in more than dimensions of one are left out.
    """
    return {
        name: value.reshape(reference[name].shape)
        for name, value in values.items()
        if name in reference and _long_sides(value) == _long_sides(reference[name])
    }


def _long_sides(value: Array) -> list[int]:
    return [side for side in value.shape if side != 1]


def _is_number(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"


def _counts(task: Task, effects: Sequence[Effect]) -> dict[str, float]:
    """Counts of all samples, with those that need all of them together."""
    counts = _sum(effect.counts for effect in effects)
    if task.across is not None:
        counts |= task.across([e.kept for e in effects if e.kept is not None])
    return counts


def _sum(parts: Any) -> dict[str, float]:
    totals: dict[str, float] = {}
    for counts in parts:
        for name, value in counts.items():
            totals[name] = totals.get(name, 0.0) + value
    return totals


def _boxes(shown: Shown, effect: Effect) -> Evidence:
    assert effect.boxes is not None
    sides = [[_moved(box, shown.to_source) for box in side] for side in effect.boxes]
    data = {"sample": shown.sample, "image": shown.image, "float": sides[0], "quant": sides[1]}
    facts = effect.facts
    title = f"{shown.sample}: {facts['kept']} kept, {facts['lost']} lost, {facts['new']} new"
    return Evidence("boxes", title, data)


def _histogram(part: OutputPart, counted: PairHistogram, of: str) -> Evidence:
    edges = [float(edge) for edge in np.linspace(*counted.range, BINS + 1)]
    series = {"float": counted.float.tolist(), "quant": counted.quant.tolist()}
    data = {"edges": edges, "series": series, "marks": dict(part.marks)}
    return Evidence("histogram", part.title + of, data)


def _moved(box: Mapping[str, Any], to_source: ToSource | None) -> dict[str, Any]:
    corners = np.array([box["xyxy"]], np.float64)
    if to_source is not None:
        corners = to_source(corners)
    return {**box, "xyxy": [round(float(v), 5) for v in np.clip(corners[0], 0, 1)]}
