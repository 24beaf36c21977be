"""``task-effect``: the limits, and how far few decisions count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qdebug.analysis.tasks import TaskLimits, TaskOutcome, wilson
from qdebug.checks.check import run_check
from qdebug.checks.output_error import CHECK as OUTPUT_ERROR
from qdebug.checks.task_effect import CHECK
from qdebug.checks.weigh import weigh
from qdebug.comparison.verdict import decide
from qdebug.run.gates import gate_of
from qdebug.run.model import ErrorMetrics, Finding, Limit, OutputResult, TaskResult, Verdict
from tests.support.contexts import check_context

LIMITS = TaskLimits("top1", warn=0.9, fail=0.5)


def outcome(wrong: int, decisions: int, limits: TaskLimits | None = LIMITS) -> TaskOutcome:
    share = (decisions - wrong) / decisions if decisions else 1.0
    result = TaskResult("classification", "a summary", {"top1": share})
    return TaskOutcome(result, limits, decisions, wrong, "a sentence")


def guessed(wrong: int, decisions: int) -> TaskOutcome:
    task = outcome(wrong, decisions)
    result = replace(task.result, recognized="guessed", evidence=("its shape",), signal={"y": True})
    return replace(task, result=result)


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
    def output(self, db: float, name: str = "y") -> OutputResult:
        cosine = 0.98 if db > 8 else 0.95
        return OutputResult(name, ErrorMetrics(cosine, cosine, db, 0, 0, 0, 0, 1), "ok")

    def judged(
        self,
        task: TaskOutcome | None,
        *limits: Limit,
        db: float = 14.0,
        others: Sequence[Finding] = (),
    ) -> tuple[Verdict, list[Finding]]:
        outputs = [self.output(db)]
        context = check_context(outputs=outputs, limits=limits or None, task=task)
        found = [*run_check(CHECK, context), *run_check(OUTPUT_ERROR, context), *others]
        found = weigh(found, limits or None, task is not None and task.agrees)
        return decide(outputs, found, limits or None), found

    def verdict(self, task: TaskOutcome | None, *limits: Limit, db: float = 14.0) -> str:
        return self.judged(task, *limits, db=db)[0].status

    def test_a_task_that_fails_fails_the_run(self) -> None:
        assert self.verdict(outcome(9, 10)) == "fail"

    def test_the_soft_limits_yield_to_a_task_known_to_be_sound(self) -> None:
        assert self.verdict(outcome(0, 100)) == "pass"
        assert self.verdict(outcome(0, 8)) == "warn"

    def test_limits_on_the_task_alone_leave_those_on_the_outputs(self) -> None:
        limit = Limit("task.top1", 0.1, "min", "flag")
        verdict, _ = self.judged(outcome(0, 100), limit)
        assert [x.metric for x in verdict.limits] == ["cosine", "sqnr_db", "task.top1"]

    def test_a_warning_is_carried_by_a_finding_with_its_limit(self) -> None:
        verdict, found = self.judged(outcome(0, 8))
        assert [f.slug for f in found if f.status == "warn"] == ["output-error"]
        assert verdict.reason == ("output-error: output y: accumulated cosine 0.9800 < 0.99")
        assert [limit.value for limit in verdict.limits] == [0.99, 15.0]

    def test_a_default_limit_alone_warns_where_the_task_agrees(self) -> None:
        verdict, _ = self.judged(outcome(0, 8), db=7.5)
        assert verdict.status == "warn"
        assert "7.5 < 8 dB. The task's result is the same" in verdict.reason
        assert [limit.value for limit in verdict.limits] == [0.9, 8.0]

    def test_it_fails_without_a_task_by_a_guess_and_by_the_users_own_limit(self) -> None:
        assert self.verdict(None, db=7.5) == "fail"
        assert self.verdict(guessed(0, 8), db=7.5) == "fail"
        assert self.verdict(outcome(0, 8), Limit("sqnr_db", 8, "min", "flag"), db=7.5) == "fail"

    def test_beside_another_warning_that_one_carries_the_verdict(self) -> None:
        other = Finding(
            "QD302", "activation-clipping", "warn", "warning", "", "seen", "", gate="int8"
        )
        verdict, found = self.judged(outcome(0, 8), db=7.5, others=[other])
        assert (verdict.status, verdict.reason) == ("warn", "activation-clipping: seen")
        assert [f.status for f in found if f.slug == "output-error"] == ["info"]

    def test_behind_a_cause_it_is_a_remark(self) -> None:
        cause = Finding(
            "QD302", "activation-clipping", "fail", "error", "", "seen", "", gate="int8"
        )
        verdict, found = self.judged(outcome(0, 8), db=7.5, others=[cause])
        assert verdict.reason == "activation-clipping: seen"
        assert [f.status for f in found if f.slug == "output-error"] == ["info"]

    def test_an_output_that_decides_nothing_is_not_held_to_default_limits(self) -> None:
        task = outcome(0, 8)
        signal = {"y": True, "points": False}
        task = replace(task, result=replace(task.result, signal=signal))
        outputs = [self.output(20), self.output(3, "points")]
        context = check_context(outputs=outputs, task=task)
        (found,) = run_check(OUTPUT_ERROR, context)
        assert found.status == "warn"  # by the cosine of y
        assert "points" not in found.seen
        given = replace(context, limits=[Limit("sqnr_db", 8, "min", "flag")])
        (found,) = run_check(OUTPUT_ERROR, given)
        assert (found.status, "points" in found.seen) == ("fail", True)

    def test_another_length_warns(self) -> None:
        longer = replace(self.output(40), accumulated=ErrorMetrics(1, 1, 40, 0, 0, 0, 0, 1))
        longer = replace(longer, reason="length 19 in float and 13 in quant")
        context = check_context(outputs=[longer])
        (found,) = run_check(OUTPUT_ERROR, context)
        assert (found.status, found.seen) == (
            "warn",
            "output y: length 19 in float and 13 in quant",
        )


class TestGuess:
    def test_it_has_no_vote_while_the_outputs_are_fine(self) -> None:
        assert self.status(31.0) == "info"
        assert self.status(29.0) == "warn"

    def test_few_differences_are_a_remark(self) -> None:
        assert self.status(10.0, wrong=1, decisions=4) == "info"
        assert self.status(10.0, wrong=2, decisions=2) == "info"

    @staticmethod
    def status(db: float, wrong: int = 9, decisions: int = 10) -> str:
        output = OutputResult("y", ErrorMetrics(0.99, 0.99, db, 0, 0, 0, 0, 1), "ok")
        task = guessed(wrong, decisions)
        context = check_context(outputs=[output], task=task)
        (found,) = run_check(CHECK, context)
        assert "confirm it with --task classification" in found.seen
        assert found.confidence == "low"
        return found.status

    def test_the_users_limit_stays_hard(self) -> None:
        (found,) = findings(guessed(9, 10), Limit("task.top1", 0.9, "min", "flag"))
        assert found.status == "fail"
