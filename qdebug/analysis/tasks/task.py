"""What a task is: how the outputs of both models become decisions, and how these are counted."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from qdebug.run.model import TASK_PREFIX, Limit, Recognition

if TYPE_CHECKING:
    from qdebug.analysis.tasks.head import Head

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
"""Values of a model's outputs by the float model's output names, float32."""
ToSource = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""Moves boxes ``[n, 4]`` from pixels of the model's input to 0..1 of the picture shown."""


@dataclass(frozen=True)
class OutputFacts:
    """What a task is recognized by.

    Attributes:
        outputs: the float model's outputs on the first sample.
        input_size: width and height of the model's picture; None where it takes none.
        metadata: of the float model.
        constants: the float graph's constants of four columns, which may be a detector's priors.
        declared: the user named the task: what only values could tell need not be told.
    """

    outputs: Outputs
    input_size: tuple[int, int] | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Array] = field(default_factory=dict)
    declared: bool = False


@dataclass(frozen=True)
class Behaviour:
    """How the float model's outputs on one sample behave, held against a task.

    A form of outputs (their shapes) only makes a task possible; what they hold makes it known.

    Attributes:
        speaks: ``True`` where the values behave as the task's do, ``False`` where they do not,
            None where this sample does not tell.
        why: one phrase.
    """

    speaks: bool | None
    why: str


@dataclass(frozen=True)
class OutputPart:
    """One kind of number that the outputs hold, as the decoder reads it.

    Attributes:
        title: what it is.
        reference: the float model's values, any shape.
        test: the quant model's.
        range: where its histogram lies, if the kind prescribes it.
        marks: values to point at, by label.
    """

    title: str
    reference: Array
    test: Array
    range: tuple[float, float] = (0.0, 0.0)
    marks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """What quantization did to one sample's decisions.

    Attributes:
        facts: for people, one row of a table: names to numbers or words.
        counts: to be added up over the samples.
        difference: how much differs; the samples with the largest are shown.
        boxes: of the float and of the quant model, as ``Evidence`` of kind ``boxes`` wants them,
            but in pixels of the model's input.
        kept: both models' vectors of this sample, for ``Task.across``.
    """

    facts: Mapping[str, str | float]
    counts: Mapping[str, float]
    difference: float
    boxes: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]] | None = None
    kept: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class TaskLimits:
    """When a task is harmed.

    Attributes:
        number: the deciding one among the task's numbers.
        warn: below this it warns.
        fail: below this it fails.
        also: limits on other numbers; beyond one of them it warns too.
    """

    number: str
    warn: float
    fail: float
    also: tuple[Limit, ...] = ()

    def as_limits(self) -> tuple[Limit, Limit]:
        """The same as limits of a run, the failing one first."""
        name = f"{TASK_PREFIX}{self.number}"
        return Limit(name, self.fail, "min"), Limit(name, self.warn, "min")


@dataclass(frozen=True)
class Task:
    """A task, with what is known about this model's form of it.

    Attributes:
        kind: one of ``recognize.RECOGNIZERS``, or a user's function.
        form: how the outputs are read, one phrase: ``YOLOv5 head, 80 classes``.
        judge: compares the float and the quant outputs of one sample.
        total: the task's numbers from the added counts of all samples.
        describe: the numbers in one sentence.
        limits: default limits; None where qdebug knows none.
        decisions: name of the count of decisions that the numbers rest on.
        reads: names of the outputs that it reads.
        behaves: how the float model's outputs on one sample behave; None where only the form is
            known, which leaves the task a guess.
        told: what declares the task without looking at values: a class list in the metadata, a
            name of the output; empty where nothing does.
        assumed: what the reading assumes and nothing confirms, which leaves the task a guess.
        any_length: the judge takes outputs of different lengths.
        across: counts that need all samples' ``Effect.kept``.
        read: one model's own answer, for scores against labels; None where there is no reader. A
            detection's is ``Read``, a classification's the scores of the classes, a text's the
            text, a segmentation's the class of each pixel, int64 ``[height, width]``.
        parts: what both models' outputs hold, told apart: histograms of it become evidence.
        head: of a detector.
        misread: answers as ``read`` gives them, read as boards read them by mistake; by the name
            of the mistake (``qdebug.reading``).
    """

    kind: str
    form: str
    judge: Callable[[Outputs, Outputs], Effect]
    total: Callable[[Mapping[str, float]], dict[str, float]]
    describe: Callable[[Mapping[str, float]], str]
    limits: TaskLimits | None
    decisions: str
    reads: tuple[str, ...] = ()
    behaves: Callable[[Outputs], Behaviour] | None = None
    told: str = ""
    assumed: str = ""
    any_length: bool = False
    across: Callable[[Sequence[tuple[Array, Array]]], Mapping[str, float]] | None = None
    read: Callable[[Outputs], Any] | None = None
    parts: Callable[[Outputs, Outputs], Sequence[OutputPart]] | None = None
    head: Head | None = None
    misread: Mapping[str, Callable[[Outputs], Any]] = field(default_factory=dict)


def recognition(
    task: Task, declared: bool, seen: Sequence[Behaviour]
) -> tuple[Recognition, tuple[str, ...]] | None:
    """How sure it is that a model does a task.

    Args:
        task: in question.
        declared: the user named it.
        seen: the float outputs' behaviour, sample by sample.

    Returns:
        The word and its evidence; None where the values do not behave like the task at all.
    """
    if declared:
        return "declared", ("named by the user",)
    against = [b.why for b in seen if b.speaks is False]
    speaking = [b.why for b in seen if b.speaks]
    if against and len(against) >= len(speaking):
        return None
    evidence = tuple(dict.fromkeys(([task.told] if task.told else []) + speaking[:1]))
    if against:
        return "guessed", (*evidence, f"but on {len(against)} of {len(seen)} samples {against[0]}")
    if task.assumed:
        return "guessed", (*evidence, f"assumed: {task.assumed}")
    if speaking or task.told:
        return "recognized", evidence
    unclear = tuple(dict.fromkeys(b.why for b in seen))[:1]
    return "guessed", (*evidence, *unclear) or ("the shapes of the outputs only",)


def share(part: float, whole: float) -> float:
    """``part / whole``, and 1 of nothing: no decision is no wrong decision."""
    return part / whole if whole else 1.0


def wilson(equal: float, decisions: float) -> tuple[float, float]:
    """Wilson's score interval of a share, at 95 %."""
    z = 1.959964
    share, n = equal / decisions, decisions
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(max(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0)


def label(metadata: Mapping[str, str], index: int) -> str:
    """Name of a class, from the ``names`` that Ultralytics' exporters write, else its number."""
    return class_names(metadata).get(index, f"class {index}")


def class_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Names by class of the metadata ``names``, written as a Python or JSON dict or list."""
    try:
        value = ast.literal_eval(metadata.get("names", ""))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {int(key): str(name) for key, name in items}
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return {}
