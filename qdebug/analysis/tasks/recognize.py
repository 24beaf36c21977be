"""Which task a model does, from the shapes, values and metadata of its outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from qdebug.analysis.tasks import (
    classification,
    detection,
    keypoints,
    segmentation,
    text,
    vectors,
)
from qdebug.analysis.tasks.heads import describe_outputs
from qdebug.analysis.tasks.task import OutputFacts, Task
from qdebug.analysis.tasks.user import user_task
from qdebug.errors import UsageError

AUTO, NONE = "auto", "none"
Recognizer = Callable[[OutputFacts], "Task | None"]
RECOGNIZERS: dict[str, Recognizer] = {
    "detection": detection.recognize,
    "text": text.recognize,
    "segmentation": segmentation.recognize,
    "keypoints": keypoints.recognize,
    "regression": vectors.recognize_regression,
    "embedding": vectors.recognize_embedding,
    "classification": classification.recognize,
}
"""In the order in which they are asked: the most particular form first."""
_DECLARED: dict[str, Recognizer] = {
    "regression": vectors.regression,
    "embedding": vectors.embedding,
}
"""Readers of a task that the user named, where these take more than is recognized unasked."""


def check_task_name(name: str | None) -> None:
    """Refuse a task that cannot be meant, before any work.

    Raises:
        UsageError: the name is neither a known task nor ``module:function``.
    """
    if name is None or name in (AUTO, NONE, *RECOGNIZERS) or ":" in name:
        return
    known = ", ".join((AUTO, NONE, *RECOGNIZERS))
    raise UsageError(f"there is no task {name!r}", f"known: {known}, or module:function")


def choose_task(name: str | None, facts: OutputFacts) -> Task | None:
    """The task to judge by.

    Args:
        name: a known task, ``module:function``, ``none``, or ``auto`` (the same as None).
        facts: the float model's outputs on the first sample.

    Returns:
        None where nothing is recognized, or nothing is wanted.

    Raises:
        UsageError: a task was named that the outputs cannot be read by.
    """
    check_task_name(name)
    if name == NONE:
        return None
    if name is not None and ":" in name:
        return user_task(name)
    if name is not None and name != AUTO:
        return _declared(name, dataclasses.replace(facts, declared=True))
    candidates = (recognize(facts) for recognize in RECOGNIZERS.values())
    return next((task for task in candidates if task is not None and _behaves(task, facts)), None)


def _declared(name: str, facts: OutputFacts) -> Task:
    found = _DECLARED.get(name, RECOGNIZERS[name])(facts)
    if found is None:
        raise UsageError(
            f"--task {name}: the outputs {describe_outputs(facts.outputs)} are in no form "
            "that qdebug reads",
            "give --task module:function, which receives both models' outputs",
        )
    return found


def _behaves(task: Task, facts: OutputFacts) -> bool:
    """Whether nothing in the first sample's values speaks against the task."""
    return task.behaves is None or task.behaves(facts.outputs).speaks is not False
