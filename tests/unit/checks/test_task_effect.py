"""``task-effect``: the limits, and how far few decisions count."""

from __future__ import annotations

import pytest

from qdebug.analysis.tasks import TaskLimits, TaskOutcome
from qdebug.checks.check import run_check
from qdebug.checks.task_effect import CHECK, wilson
from qdebug.comparison.verdict import decide
from qdebug.run.gates import gate_of
from qdebug.run.model import ErrorMetrics, Finding, Limit, OutputResult, TaskResult
from tests.support.contexts import check_context

LIMITS = TaskLimits("top1", warn=0.9, fail=0.5)


def outcome(wrong: int, decisions: int, limits: TaskLimits | None = LIMITS) -> TaskOutcome:
    share = (decisions - wrong) / decisions if decisions else 1.0
    result = TaskResult("classification", "a summary", {"top1": share})
    return TaskOutcome(result, limits, decisions, wrong, "a sentence")


def findings(task: TaskOutcome | None, *limits: Limit) -> list[Finding]:
    context = check_context(limits=limits or None, task=task)
    return run_check(CHECK, context)


def status(wrong: int, decisions: int) -> str:
    (finding,) = findings(outcome(wrong, decisions))
    return finding.status


@pytest.mark.parametrize(
    ("wrong", "decisions", "expected"),
    [
        (0, 1, "pass"),
        (1, 1, "warn"),
        (3, 3, "warn"),
        (1, 4, "pass"),
        (2, 4, "warn"),
        (3, 4, "fail"),
        (10, 100, "pass"),
        (11, 100, "warn"),
        (51, 100, "fail"),
        (0, 0, "info"),
    ],
)
def test_default_limits(wrong: int, decisions: int, expected: str) -> None:
    assert status(wrong, decisions) == expected


def test_what_is_seen() -> None:
    (finding,) = findings(outcome(51, 100))
    assert (finding.id, finding.slug, gate_of(finding)) == ("QD602", "task-effect", "int8")
    assert finding.seen == "a sentence; task.top1 0.49 < 0.5"
    assert finding.confidence == "medium"
    assert "--sensitivity" in finding.advice


def test_few_decisions_are_told() -> None:
    (finding,) = findings(outcome(0, 8))
    assert finding.confidence == "low"
    assert "8 decisions only: the share of equal ones is between 68 and 100 %" in finding.seen


def test_the_users_limits_hold_as_they_stand() -> None:
    strict = Limit("task.top1", 0.99, "min", "flag")
    assert [f.status for f in findings(outcome(1, 4), strict)] == ["fail"]
    assert [f.status for f in findings(outcome(9, 10), Limit("task.top1", 0.1, "min"))] == ["pass"]
    assert [f.status for f in findings(outcome(9, 10, None), strict)] == ["fail"]


def test_a_limit_on_a_metric_leaves_the_default_of_the_task() -> None:
    assert [f.status for f in findings(outcome(9, 10), Limit("cosine", 0.1, "min"))] == ["fail"]


def test_a_limit_that_names_nothing() -> None:
    told, judged = findings(outcome(9, 10), Limit("task.top_1", 0.5, "min"))
    assert (told.status, judged.status) == ("warn", "fail")
    assert told.seen == "classification has no top_1; it has top1"


def test_without_limits_the_numbers_are_told() -> None:
    assert [f.status for f in findings(outcome(9, 10, None))] == ["info"]


def test_without_a_task_it_does_not_apply() -> None:
    (finding,) = findings(None)
    assert finding.status == "not_applicable"
    assert "--task module:function" in finding.seen


@pytest.mark.parametrize(
    ("equal", "decisions", "interval"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611))],
)
def test_wilson(equal: int, decisions: int, interval: tuple[float, float]) -> None:
    """Values of Newcombe (1998), table I, method 3."""
    assert wilson(equal, decisions) == pytest.approx(interval, abs=1e-4)


class TestVerdict:
    output = OutputResult("y", ErrorMetrics(0.98, 0.98, 14.0, 0, 0, 0, 0, 1), "ok")

    def verdict(self, task: TaskOutcome, *limits: Limit) -> str:
        return decide([self.output], findings(task, *limits), limits or None).status

    def test_a_task_that_fails_fails_the_run(self) -> None:
        assert self.verdict(outcome(9, 10)) == "fail"

    def test_the_soft_limits_yield_to_a_task_known_to_be_sound(self) -> None:
        assert self.verdict(outcome(0, 100)) == "pass"
        assert self.verdict(outcome(0, 8)) == "warn"

    def test_limits_on_the_task_alone_leave_those_on_the_outputs(self) -> None:
        limit = Limit("task.top1", 0.1, "min", "flag")
        verdict = decide([self.output], findings(outcome(0, 100), limit), [limit])
        assert [x.metric for x in verdict.limits] == ["cosine", "sqnr_db", "task.top1"]
