"""The answer: pass, warn, fail or inconclusive, with the limits it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.metrics.metric import METRICS
from qdebug.run.gates import gate_of
from qdebug.run.model import Finding, Limit, OutputResult, Verdict

DEFAULT_LIMITS = (Limit("cosine", 0.9, "min"), Limit("sqnr_db", 8.0, "min"))
"""Below these an output is damaged in any task. They are no promise of accuracy above."""
WARN_LIMITS = (Limit("cosine", 0.99, "min"), Limit("sqnr_db", 15.0, "min"))
"""Below these it depends on the task, where that is not known to be unharmed."""
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
    given = [limit for limit in limits or () if not limit.about_task]
    about_task = [limit for limit in limits or () if limit.about_task]
    used = (*(given or DEFAULT_LIMITS), *about_task)
    failed = [f for f in findings if f.status == "fail"]
    early = next((f for f in failed if gate_of(f) in ("input", "float")), None)
    if early is not None:
        return Verdict("fail", gate_of(early) or "input", f"{early.slug}: {early.seen}", used)
    compared = [o for o in outputs if o.accumulated is not None and o.state != "low_signal"]
    if not compared:
        return Verdict("inconclusive", "int8", _why_nothing(outputs), used)
    for output in compared:
        if output.state in _DEAD:
            return Verdict("fail", "int8", f"output {output.name}: {output.reason}", used)
    if failed:
        gate = gate_of(failed[0]) or "int8"
        return Verdict("fail", gate, f"{failed[0].slug}: {failed[0].seen}", used)
    return _by_limits(compared, findings, used, not given and not _task_is_sound(findings))


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
                return (
                    f"output {output.name}: accumulated {metric.title} {value:.4g} {sign} {bound}"
                )
    return None


def _why_nothing(outputs: Sequence[OutputResult]) -> str:
    if any(output.state == "low_signal" for output in outputs):
        return "no signal at the outputs on these samples; try others"
    return "no output could be compared: " + "; ".join(
        f"{output.name}: {output.reason}" for output in outputs
    )
