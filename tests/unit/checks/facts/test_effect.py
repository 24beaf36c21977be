"""Severity from the effect at the outputs."""

from __future__ import annotations

import numpy as np
import pytest

from qdebug.analysis.tasks import TaskLimits, TaskOutcome
from qdebug.analysis.what_if import Gain, Part
from qdebug.checks import CheckContext
from qdebug.checks.facts.effect import status_of, structural_status
from qdebug.checks.facts.evidence import name_channels
from qdebug.checks.facts.outputs import output_parts, quiet_channels
from qdebug.run.model import ErrorMetrics, OutputResult, TaskResult
from tests.support.contexts import check_context, measured

WHOLE = Part("y")


def task(f1: float, decisions: int = 100) -> TaskOutcome:
    result = TaskResult("detection", "boxes", {"f1": f1})
    limits = TaskLimits("f1", warn=0.9, fail=0.5)
    return TaskOutcome(result, limits, decisions, round((1 - f1) * decisions), "a sentence")


def context(*channels: np.ndarray, task: TaskOutcome | None = None) -> CheckContext:
    """One output of some channels, each with an error of 0.01."""
    value = np.stack(channels)[None].astype(np.float32) if channels else np.zeros((1, 2, 32))
    metrics = ErrorMetrics(0.9, 0.9, 10.0, 0, 0, 0, 0, 1)
    output = OutputResult("y", metrics, "ok", layer=0)
    return check_context([measured("y", value, value + 0.01)], outputs=[output], task=task)


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (5, 8, "warn"),
        (5, 7.9, "info"),
        (5, 11, "fail"),
        (14.9, 21, "fail"),
        (15, 21, "warn"),
        (29, 36, "warn"),
        (30, 50, "info"),
        (20, 24, "info"),
        (np.nan, 30, "fail"),
    ],
)
def test_by_the_gain(before: float, after: float, status: str) -> None:
    assert status_of(context(), Gain(WHOLE, before, after)) == status


def test_without_a_gain() -> None:
    assert status_of(context(), None) == "info"


@pytest.mark.parametrize(
    ("outcome", "statuses"),
    [
        (task(0.99), ["warn", "info", "info"]),
        (task(0.99, 10), ["warn", "warn", "info"]),
        (task(0.99, 7), ["fail", "warn", "info"]),
        (task(0.6), ["fail", "warn", "warn"]),
    ],
)
def test_by_the_task(outcome: TaskOutcome, statuses: list[str]) -> None:
    given = context(task=outcome)
    gains = [Gain(WHOLE, 5, 30), Gain(WHOLE, 16, 20), Gain(WHOLE, 33, 37)]
    assert [status_of(given, gain) for gain in gains] == statuses


def test_what_is_wrong_in_itself_is_never_less_than_a_warning() -> None:
    assert structural_status(context(), Gain(WHOLE, 40, 40)) == "warn"
    assert structural_status(context(), Gain(WHOLE, 25, 28)) == "fail"
    boxes = np.full(32, 600.0)
    assert structural_status(context(boxes, boxes), None) == "warn"
    assert structural_status(context(boxes, np.full(32, 0.01)), None) == "fail"


def test_quiet_channels_are_measured_apart() -> None:
    boxes, scores = np.full(32, 600.0), np.full(32, 0.9)
    assert quiet_channels(context(boxes, scores, boxes), 0) == (1,)
    assert quiet_channels(context(boxes, boxes / 10), 0) == ()
    assert quiet_channels(context(boxes[:8], scores[:8]), 0) == ()
    assert output_parts(context(boxes, scores)) == [Part("y", (0,)), Part("y", (1,))]
    empty = task(1.0, 0)
    assert output_parts(context(boxes, scores, task=empty)) == [WHOLE]


def test_channel_names() -> None:
    assert name_channels([0, 1, 2, 7]) == "0-2, 7"
    assert name_channels(range(0, 20, 2)) == "0, 2, 4, 6, 8, 10, ..."


@pytest.mark.parametrize(
    ("samples", "spread", "db", "status"),
    [
        (1, None, 4, "warn"),  # a single sample, of an output that is damaged
        (1, None, 9, "fail"),
        (2, 6.0, 5, "info"),  # within the spread
        (2, 2.0, 5, "warn"),
        (4, 6.0, 5, "warn"),  # samples enough
        (0, None, 5, "warn"),  # not measured on samples
    ],
)
def test_a_gain_of_few_samples_has_to_exceed_their_spread(
    samples: int, spread: float | None, db: float, status: str
) -> None:
    gain = Gain(WHOLE, 10, 10 + db, samples, spread)
    assert status_of(context(), gain) == status


@pytest.mark.parametrize(("db", "status"), [(4.5, "info"), (5.5, "warn")])
def test_one_sample_of_an_output_that_is_not_damaged(db: float, status: str) -> None:
    gain = Gain(WHOLE, 16, 16 + db, 1, None)
    assert status_of(context(), gain) == status
