"""Every bad verdict is a finding's, and no page tells two limits for one number."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable

import pytest

from qdebug.analysis.tasks import TaskOutcome
from qdebug.checks.check import run_check
from qdebug.checks.facts.limits import DEFAULT_LIMITS, WARN_LIMITS
from qdebug.checks.output_error import CHECK as OUTPUT_ERROR
from qdebug.checks.task_effect import CHECK as TASK_EFFECT
from qdebug.checks.weigh import weigh
from qdebug.comparison.verdict import decide
from qdebug.reporters.console import Look, Options, render
from qdebug.reporters.markdown import MarkdownReporter
from qdebug.run.model import Finding, Limit, OutputResult
from qdebug.run.outcome import carrying_finding
from tests.support.checked import sample_run
from tests.support.contexts import check_context
from tests.unit.checks.test_task_effect import TestVerdict, guessed, outcome

LEVELS = (5.0, 7.5, 8.0, 9.0, 12.0, 14.0, 15.0, 16.0, 21.0, 40.0)
TASKS = (None, outcome(0, 8), outcome(0, 100), outcome(1, 8), outcome(30, 100), outcome(9, 10),
         guessed(0, 8), guessed(6, 8))  # fmt: skip
GIVEN = (None, [Limit("cosine", 0.95, "min", "flag")], [Limit("task.top1", 0.7, "min", "flag")])


def beside(status: str) -> list[Finding]:
    severity = {"warn": "warning", "fail": "error"}[status]
    return [
        Finding("QD302", "activation-clipping", status, severity, "", "seen", "", gate="int8")  # type: ignore[arg-type]
    ]


def named_limits(findings: Iterable[Finding], metric: str) -> set[float]:
    """Limits that findings tell beside an output's metric."""
    told = "\n".join(f.seen for f in findings)
    word = {"cosine": "cosine", "sqnr_db": "SQNR"}[metric]
    return {float(x) for x in re.findall(rf"{word} [\d.e-]+ [<≥] (\d+(?:\.\d+)?)", told)}


@pytest.mark.parametrize("others", [[], beside("warn"), beside("fail")], ids=["", "warn", "fail"])
def test_a_bad_verdict_has_its_finding_and_a_number_one_limit(others: list[Finding]) -> None:
    seen = set()
    for db, task, given in itertools.product(LEVELS, TASKS, GIVEN):
        found, outputs = judged(db, task, given, others)
        verdict = decide(outputs, found, given)
        seen.add(verdict.status)
        if verdict.status in ("warn", "fail"):
            assert [f for f in found if verdict.reason.startswith(f"{f.slug}: ")]
            assert verdict.status in {f.status for f in found}
        for limit in verdict.limits:
            if not limit.about_task:
                assert named_limits(found, limit.metric) <= {limit.value}, (db, task, given)
    assert seen == ({"pass", "warn", "fail"} if not others else seen)


def judged(
    db: float, task: TaskOutcome | None, given: list[Limit] | None, others: list[Finding]
) -> tuple[list[Finding], list[OutputResult]]:
    outputs = [TestVerdict().output(db)]
    context = check_context(outputs=outputs, limits=given, task=task)
    found = [*run_check(TASK_EFFECT, context), *run_check(OUTPUT_ERROR, context), *others]
    return weigh(found, given, task is not None and task.agrees), outputs


def test_both_sets_of_limits_are_told_apart_by_their_values() -> None:
    soft, hard = ({limit.value for limit in x} for x in (WARN_LIMITS, DEFAULT_LIMITS))
    assert not soft & hard


@pytest.mark.parametrize(
    "name",
    ["detector-int8", "detector-naive", "detector-dynamic", "classifier-int8", "classifier-clipped",
     "classifier-float16", "transformer-int8", "transformer-softmax"],
)  # fmt: skip
def test_stored_comparisons(name: str) -> None:
    run = sample_run(name)
    if run.verdict.status in ("warn", "fail"):
        assert carrying_finding(run) is not None
    for page in (render(run, Look(), Options(verbose=True)).plain, MarkdownReporter().render(run)):
        limits = limits_of(page)
        assert all(len(values) == 1 for values in limits.values()), limits


def limits_of(page: str) -> dict[tuple[str, str], set[str]]:
    """The limits that a page tells, by metric and value."""
    told: dict[tuple[str, str], set[str]] = defaultdict(set)
    text = " ".join(page.split())
    pattern = r"accumulated (cosine|SQNR) (-?[\d.e-]+)(?: dB)? (?:\(?[<≥>≤]) ?(-?\d+(?:\.\d+)?)"
    for metric, value, limit in re.findall(pattern, text):
        told[metric, value].add(limit)
    return dict(told)
