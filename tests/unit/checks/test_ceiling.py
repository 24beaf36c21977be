"""``ceiling``: which gate a loss belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from qdebug.analysis.ceiling import CeilingModel
from qdebug.analysis.tasks import TaskLimits, TaskOutcome
from qdebug.checks.ceiling import CHECK
from qdebug.checks.check import run_check
from qdebug.comparison.verdict import decide
from qdebug.run.model import ErrorMetrics, Finding, Limit, OutputResult, TaskResult
from tests.support.contexts import check_context


@dataclass
class Measured:
    """What the check reads of a ceiling that was run."""

    reason: str | None = None
    made: CeilingModel | None = None


def output(before: float, after: float | None, cosine: float = 0.999) -> OutputResult:
    metrics = ErrorMetrics(cosine, cosine, before, 0, 0, 0, 0, 1)
    reached = None if after is None else replace(metrics, sqnr_db=after)
    return OutputResult("y", metrics, "ok", layer=3, ceiling=reached)


def task(with_16_bits: float, decisions: int = 50) -> TaskOutcome:
    result = TaskResult("detection", "", {"f1": 0.0, "ceiling_f1": with_16_bits})
    return TaskOutcome(result, TaskLimits("f1", 0.9, 0.5), decisions, decisions, "")


def judged(
    *outputs: OutputResult, ceiling: Any = None, limits: list[Limit] | None = None, **more: Any
) -> Finding:
    context = check_context(outputs=outputs, limits=limits, ceiling=ceiling, **more)
    (finding,) = run_check(CHECK, context)
    return finding


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (5.0, 40.0, "pass"),
        (30.0, 50.0, "pass"),
        (5.0, 5.5, "fail"),
        (12.0, 12.5, "warn"),
        (9.0, 13.0, "pass"),
        (20.0, 20.0, "pass"),
        (5.0, float("nan"), "fail"),
    ],
)
def test_by_the_outputs(before: float, after: float, status: str) -> None:
    finding = judged(output(before, after), ceiling=Measured())
    assert finding.status == status
    assert f"reaches {after:.1f} dB" in finding.seen
    assert finding.evidence[0].data["rows"][0][1] == before


def test_the_users_limits_replace_the_default_ones() -> None:
    strict = [Limit("sqnr_db", 30.0, "min", "flag")]
    assert judged(output(5, 25), ceiling=Measured(), limits=strict).status == "fail"
    loose = [Limit("sqnr_db", 1.0, "min", "flag")]
    assert judged(output(5, 5.5), ceiling=Measured(), limits=loose).status == "pass"


def test_by_the_task() -> None:
    assert judged(output(16, 17), ceiling=Measured(), task=task(0.1)).status == "fail"
    assert judged(output(16, 17), ceiling=Measured(), task=task(0.1, 3)).status == "pass"
    found = judged(output(16, 40), ceiling=Measured(), task=task(0.96))
    assert found.status == "pass"
    assert "task.f1 is 0.96, as it is 0" in found.seen
    strict = [Limit("task.f1", 0.99, "min", "flag")]
    assert judged(output(16, 40), ceiling=Measured(), task=task(0.96), limits=strict).status == (
        "fail"
    )


@pytest.mark.parametrize(
    ("ceiling", "words"),
    [(None, "--ceiling"), (Measured("a reason"), "a reason"), (Measured(), "no output")],
)
def test_where_it_does_not_apply(ceiling: Measured | None, words: str) -> None:
    finding = judged(output(5, None), ceiling=ceiling)
    assert finding.status == "not_applicable"
    assert words in finding.seen


def test_the_verdict_names_the_gate_and_the_cause_behind_it() -> None:
    found = judged(output(5, 5.5), ceiling=Measured())
    cause = replace(found, id="QD302", slug="activation-clipping", seen="6 % are cut off")
    verdict = decide([output(5, 5.5)], [cause, found], None)
    assert (verdict.status, verdict.gate) == ("fail", "ceiling")
    assert verdict.reason.startswith("ceiling: with 16-bit codes")
    assert verdict.reason.endswith("; activation-clipping: 6 % are cut off")
