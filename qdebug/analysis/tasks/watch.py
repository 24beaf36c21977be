"""Counting a task's decisions while the samples go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.tasks.recognize import NONE, choose_task
from qdebug.analysis.tasks.task import Effect, OutputFacts, Outputs, Task, TaskLimits, ToSource
from qdebug.run.model import Evidence, TaskResult

Array = npt.NDArray[Any]

SHOWN_SAMPLES = 4
"""Samples whose boxes become evidence: those that differ most."""
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
    """

    def __init__(
        self,
        name: str | None,
        input_size: tuple[int, int] | None,
        metadata: Mapping[str, str],
    ) -> None:
        self._name, self._size, self._metadata = name, input_size, metadata
        self._task: Task | None = None
        self._asked = False
        self._effects: list[tuple[Shown, Effect]] = []
        self._variants: dict[str, list[Effect]] = {name: [] for name in VARIANTS}

    @property
    def wanted(self) -> bool:
        """Whether outputs are to be kept at all."""
        return self._name != NONE

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
        if not self._asked:
            self._task = choose_task(
                self._name, OutputFacts(known, self._size, dict(self._metadata))
            )
            self._asked = True
        if self._task is not None:
            self._effects.append((shown, self._task.judge(known, test)))

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
        fitting = shaped_like(found, known)
        if test and fitting.keys() == test.keys():
            self._variants[name].append(self._task.judge(known, fitting))

    def outcome(self) -> TaskOutcome | None:
        """The effect on the task over all samples; None where no task was recognized."""
        if self._task is None or not self._effects:
            return None
        task = self._task
        counts = _sum(effect.counts for _, effect in self._effects)
        numbers = task.total(counts)
        variants = {
            name: task.total(_sum(effect.counts for effect in effects))
            for name, effects in self._variants.items()
            if effects
        }
        result = TaskResult(
            kind=task.kind,
            summary=self._summary(task, numbers, variants),
            numbers=numbers
            | {f"{way}_{k}": v for way, found in variants.items() for k, v in found.items()},
            per_sample=tuple({"sample": s.sample, **e.facts} for s, e in self._effects),
        )
        return TaskOutcome(
            result,
            task.limits,
            counts.get(task.decisions, 0.0),
            counts.get("wrong", 0.0),
            task.describe(numbers),
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
        return [_boxes(shown, effect) for shown, effect in drawn[:SHOWN_SAMPLES]]


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


def _moved(box: Mapping[str, Any], to_source: ToSource | None) -> dict[str, Any]:
    corners = np.array([box["xyxy"]], np.float64)
    if to_source is not None:
        corners = to_source(corners)
    return {**box, "xyxy": [round(float(v), 5) for v in np.clip(corners[0], 0, 1)]}
