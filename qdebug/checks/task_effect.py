"""``task-effect``: what quantization changes in what the model is used for.

Below the first default limit the check warns, below the second it fails:

=================  ==========================================================  ====  ====
task               number                                                      warn  fail
=================  ==========================================================  ====  ====
classification     ``task.top1``: samples with the same top-1 class            0.9   0.5
detection          ``task.f1``: F1 of the quant boxes against the float ones   0.9   0.5
                   ``task.score_change``: mean change of the kept boxes' score 0.2
segmentation       ``task.iou``: mean IoU of what both models mark             0.8   0.5
                   ``task.agreement``: pixels of the same class                0.95
text               ``task.same_text``: samples with the same text              0.9   0.5
keypoints          ``task.same_place``: peaks at the same place                0.9   0.5
regression         ``task.close``: values within 0.05 of the values' extent    0.9   0.5
embedding          ``task.cosine``: mean cosine of the vectors                 0.95  0.8
=================  ==========================================================  ====  ====

A task that was only guessed from the outputs' shapes never fails, and does not even warn while
all outputs it reads are above ``FINE_DB``.

Few decisions prove little: the defaults fail on no fewer than ``LEAST_TO_FAIL`` decisions, and a
single one that differs among several does not warn. Limits that the user sets
(``--fail-under task.f1=0.95``) hold as they stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qdebug.analysis.tasks import FEW_DECISIONS, TaskOutcome, wilson
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import FINE_DB
from qdebug.checks.facts.task import LEAST_TO_FAIL
from qdebug.run.kinds import KINDS
from qdebug.run.model import Confidence, Finding, FindingStatus, Limit

MANY_DECISIONS = 200
"""From so many decisions on the number is certain: the 95 % interval of a share of 0.9 (Wilson
1927) is 0.08 wide."""
_ADVICE = (
    "Follow the findings that name layers, the failing ones first, and compare again: this number "
    "has to recover. Where no finding names a layer, measure `--sensitivity` and give the first "
    "layers of that list 16 bits, or keep them in float."
)


def _applies(context: CheckContext) -> str | None:
    if context.task is not None:
        return None
    return (
        "task not recognized: the outputs do not behave like class scores, boxes, maps, points or "
        "text; name it with --task, or give --task module:function to measure them"
    )


def _run(context: CheckContext) -> Iterable[Finding]:
    outcome = context.task
    assert outcome is not None
    if not outcome.decisions:
        yield _found(context, outcome, "info", "The samples hold nothing to judge the task by", [])
        return
    given = [limit for limit in context.limits or () if limit.about_task]
    unknown = [x.task_number for x in given if x.task_number not in outcome.result.numbers]
    if unknown:
        yield _unknown_number(outcome, unknown)
    limits = [limit for limit in given if limit.task_number in outcome.result.numbers]
    yield _judged(context, outcome, limits) if limits else _by_default(context, outcome)


def _judged(context: CheckContext, outcome: TaskOutcome, limits: list[Limit]) -> Finding:
    """By the user's own limits, to the letter."""
    numbers = outcome.result.numbers
    beyond = [limit for limit in limits if limit.violated_by(numbers[limit.task_number])]
    if beyond:
        return _found(context, outcome, "fail", "The task is beyond its limits", beyond)
    return _found(context, outcome, "pass", "The task is within its limits", limits)


def _by_default(context: CheckContext, outcome: TaskOutcome) -> Finding:
    if outcome.limits is None:
        return _found(context, outcome, "info", "The task is measured; no limit is set", [])
    fail, warn = outcome.limits.as_limits()
    value = outcome.result.numbers[outcome.limits.number]
    if outcome.guessed and warn.violated_by(value):
        return _guessed(context, outcome, warn)
    if fail.violated_by(value) and outcome.decisions >= LEAST_TO_FAIL:
        return _found(context, outcome, "fail", "The quant model fails at its task", [fail])
    alone = outcome.wrong <= 1 < outcome.decisions
    beyond = [warn] if warn.violated_by(value) and not alone else outcome.beside()
    if beyond:
        return _found(context, outcome, "warn", "The quant model decides differently", beyond)
    return _found(context, outcome, "pass", "The quant model decides as the float model", [warn])


def _guessed(context: CheckContext, outcome: TaskOutcome, limit: Limit) -> Finding:
    """A guess that sees a difference: a warning at most, and none while the outputs are fine."""
    read = [o for o in context.outputs if o.name in outcome.result.signal and o.accumulated]
    levels = [o.accumulated.sqnr_db for o in read if o.accumulated is not None]
    fine = bool(levels) and min(levels) >= FINE_DB
    few = outcome.decisions < LEAST_TO_FAIL or outcome.wrong <= 1
    status: FindingStatus = "info" if fine or few else "warn"
    title = "What looks like the task's result differs; the task is a guess"
    return _found(context, outcome, status, title, [limit])


def _found(
    context: CheckContext,
    outcome: TaskOutcome,
    status: FindingStatus,
    title: str,
    limits: list[Limit],
) -> Finding:
    told = [_told(outcome, limit) for limit in limits]
    if outcome.guessed:
        why = "; ".join(outcome.result.evidence)
        told.append(f"the task is a guess ({why}): confirm it with --task {outcome.result.kind}")
    doubt = _doubt(outcome) if outcome.limits is not None else None
    return CHECK.found(
        status,
        title,
        "; ".join([outcome.sentence, *told, *([doubt] if doubt else [])]),
        _ADVICE if status in ("fail", "warn") else "",
        layers=_output_layers(context) if status in ("fail", "warn") else (),
        evidence=outcome.evidence,
        confidence=_confidence(outcome),
    )


def _unknown_number(outcome: TaskOutcome, names: list[str]) -> Finding:
    known = ", ".join(outcome.result.numbers)
    return CHECK.found(
        "warn",
        "A limit names no number of the task",
        f"{outcome.result.kind} has no {', '.join(names)}; it has {known}",
        "Correct the name of the limit.",
        confidence="high",
    )


def _output_layers(context: CheckContext) -> Iterator[int]:
    return (output.layer for output in context.outputs if output.layer is not None)


def _told(outcome: TaskOutcome, limit: Limit) -> str:
    value = outcome.result.numbers[limit.task_number]
    broken = limit.violated_by(value)
    signs = {("min", True): "<", ("min", False): "≥", ("max", True): ">", ("max", False): "≤"}
    return f"{limit.metric} {value:.3g} {signs[limit.direction, broken]} {limit.value:g}"


def _doubt(outcome: TaskOutcome) -> str | None:
    """How far the share of differing decisions can be trusted, where there are few of them."""
    if not outcome.decisions or outcome.decisions >= FEW_DECISIONS:
        return None
    low, high = wilson(outcome.decisions - outcome.wrong, outcome.decisions)
    many = "1 decision" if outcome.decisions == 1 else f"{outcome.decisions:.0f} decisions"
    return (
        f"{many} only: the share of equal ones is between {100 * low:.0f} and {100 * high:.0f} % "
        "in truth (95 % interval); use more samples"
    )


def _confidence(outcome: TaskOutcome) -> Confidence:
    if outcome.decisions < FEW_DECISIONS or outcome.guessed:
        return "low"
    return "high" if outcome.decisions >= MANY_DECISIONS else "medium"


CHECK = Check(KINDS["task-effect"], _run, _applies)
