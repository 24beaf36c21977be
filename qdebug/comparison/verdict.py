"""The answer: pass, warn, fail or inconclusive, with the limits it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.checks.facts.limits import WARN_LIMITS, output_limits
from qdebug.metrics.metric import METRICS
from qdebug.run.gates import gate_of
from qdebug.run.model import Finding, Limit, OutputResult, Verdict

_DEAD = ("zero_quant", "nonfinite")


def decide(
    outputs: Sequence[OutputResult],
    findings: Sequence[Finding],
    limits: Sequence[Limit] | None,
) -> Verdict:
    """The verdict on a run.

    A failed finding decides first, the one at the earliest gate; then the limits at the outputs.

    Args:
        outputs: results at the outputs.
        findings: of all checks.
        limits: the user's limits; None for the defaults.
    """
    about_task = [limit for limit in limits or () if limit.about_task]
    by_default = len(about_task) == len(limits or ())
    used = (*output_limits(limits), *about_task)
    failed = [f for f in findings if f.status == "fail"]
    early = [f for gate in ("input", "float") for f in failed if gate_of(f) == gate]
    if early:
        reason = f"{early[0].slug}: {early[0].seen}"
        return Verdict("fail", gate_of(early[0]) or "input", reason, used)
    compared = [o for o in outputs if o.accumulated is not None and o.state != "low_signal"]
    if not compared and any(f.slug == "dead-output" for f in failed):
        return _failed(failed, used)
    if not compared:
        return Verdict("inconclusive", "int8", _why_nothing(outputs), used)
    for output in compared:
        if output.state in _DEAD:
            return Verdict("fail", "int8", f"output {output.name}: {output.reason}", used)
    if failed:
        return _failed(failed, used)
    return _by_limits(compared, findings, used, by_default and not _task_is_sound(findings))


def _failed(failed: Sequence[Finding], limits: tuple[Limit, ...]) -> Verdict:
    """By the first finding; behind the ceiling's where that says what the first one is not."""
    first = failed[0]
    reason = f"{first.slug}: {first.seen}"
    ceiling = next((f for f in failed if gate_of(f) == "ceiling"), first)
    if ceiling is not first:
        reason = f"{ceiling.slug}: {ceiling.seen}; {reason}"
    return Verdict("fail", gate_of(ceiling) or "int8", reason, limits)


def _task_is_sound(findings: Sequence[Finding]) -> bool:
    """Whether enough of the model's own decisions are known not to have changed."""
    return any(
        f.slug == "task-effect" and f.status == "pass" and f.confidence != "low" for f in findings
    )


def _by_limits(
    outputs: Sequence[OutputResult],
    findings: Sequence[Finding],
    limits: tuple[Limit, ...],
    with_warnings: bool,
) -> Verdict:
    beyond = _first_violation(outputs, limits)
    if beyond is not None:
        return Verdict("fail", "int8", beyond, limits)
    close = _first_violation(outputs, WARN_LIMITS) if with_warnings else None
    if close is not None:
        return Verdict("warn", "int8", close, limits)
    warned = next((f for f in findings if f.status == "warn"), None)
    if warned is not None:
        gate = gate_of(warned) or "int8"
        return Verdict("warn", gate, f"{warned.slug}: {warned.seen}", limits)
    return Verdict("pass", "int8", "every output is within its limits", limits)


def _first_violation(outputs: Sequence[OutputResult], limits: Sequence[Limit]) -> str | None:
    for output in outputs:
        if output.accumulated is None:
            continue
        for limit in limits:
            if limit.about_task:  # the check task-effect has judged these
                continue
            value = float(getattr(output.accumulated, limit.metric))
            if limit.violated_by(value):
                metric = METRICS[limit.metric]
                sign = "<" if limit.direction == "min" else ">"
                bound = f"{limit.value:g} {metric.unit}".rstrip()
                shown = f"{metric.title} {metric.write(value, limit.value)}"
                return f"output {output.name}: accumulated {shown} {sign} {bound}"
    return None


def _why_nothing(outputs: Sequence[OutputResult]) -> str:
    if any(output.state == "low_signal" for output in outputs):
        return "no signal at the outputs on these samples; try others"
    return "no output could be compared: " + "; ".join(
        f"{output.name}: {output.reason}" for output in outputs
    )
