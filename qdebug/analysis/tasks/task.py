"""What a task is: how the outputs of both models become decisions, and how these are counted."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.run.model import TASK_PREFIX, Limit

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
    """

    outputs: Outputs
    input_size: tuple[int, int] | None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """What quantization did to one sample's decisions.

    Attributes:
        facts: for people, one row of a table: names to numbers or words.
        counts: to be added up over the samples.
        difference: how much differs; the samples with the largest are shown.
        boxes: of the float and of the quant model, as ``Evidence`` of kind ``boxes`` wants them,
            but in pixels of the model's input.
    """

    facts: Mapping[str, str | float]
    counts: Mapping[str, float]
    difference: float
    boxes: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]] | None = None


@dataclass(frozen=True)
class TaskLimits:
    """When a task is harmed.

    Attributes:
        number: the deciding one among the task's numbers.
        warn: below this it warns.
        fail: below this it fails.
    """

    number: str
    warn: float
    fail: float

    def as_limits(self) -> tuple[Limit, Limit]:
        """The same as limits of a run, the failing one first."""
        name = f"{TASK_PREFIX}{self.number}"
        return Limit(name, self.fail, "min"), Limit(name, self.warn, "min")


@dataclass(frozen=True)
class Task:
    """A task, with what is known about this model's form of it.

    Attributes:
        kind: ``classification``, ``detection``, ``segmentation``, ``text`` or a user's function.
        form: how the outputs are read, one phrase: ``YOLOv5 head, 80 classes``.
        judge: compares the float and the quant outputs of one sample.
        total: the task's numbers from the added counts of all samples.
        describe: the numbers in one sentence.
        limits: default limits; None where qdebug knows none.
        decisions: name of the count of decisions that the numbers rest on.
    """

    kind: str
    form: str
    judge: Callable[[Outputs, Outputs], Effect]
    total: Callable[[Mapping[str, float]], dict[str, float]]
    describe: Callable[[Mapping[str, float]], str]
    limits: TaskLimits | None
    decisions: str


TaskName = Literal["auto", "none", "classification", "detection", "segmentation", "text"]


def share(part: float, whole: float) -> float:
    """``part / whole``, and 1 of nothing: no decision is no wrong decision."""
    return part / whole if whole else 1.0


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
