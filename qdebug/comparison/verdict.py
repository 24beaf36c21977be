"""The answer: pass, warn, fail or inconclusive, with the limits it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.checks.facts.limits import WARN_LIMITS, is_given, output_limits
from qdebug.run.gates import gate_of
from qdebug.run.model import Finding, Limit, OutputResult, Verdict

_DEAD = ("zero_quant", "nonfinite")


def decide(
    outputs: Sequence[OutputResult],
    findings: Sequence[Finding],
    limits: Sequence[Limit] | None,
) -> Verdict:
    """The verdict on a run.

    A failed finding decides first, the one at the earliest gate; then a warning. The limits at the
    outputs are the finding ``output-error``'s.

    Args:
        outputs: results at the outputs.
        findings: of all checks.
        limits: the user's limits; None for the defaults.
    """
    used = _limits_used(findings, limits)
    failed = [f for f in findings if f.status == "fail"]
    early = [f for gate in ("input", "float") for f in failed if gate_of(f) == gate]
    if early:
        reason = f"{early[0].slug}: {early[0].seen}"
        return Verdict("fail", gate_of(early[0]) or "input", reason, used)
    compared = [o for o in outputs if o.accumulated is not None and o.state != "low_signal"]
    if not compared and any(f.slug == "dead-output" for f in failed):
        return _failed(failed, used)
    if not compared and not any(_judges_task(f) for f in findings):
        return Verdict("inconclusive", "int8", _why_nothing(outputs), used)
    for output in compared:
        if output.state in _DEAD:
            return Verdict("fail", "int8", f"output {output.name}: {output.reason}", used)
    if failed:
        return _failed(failed, used)
    return _by_warnings(findings, used)


def _judges_task(finding: Finding) -> bool:
    """Whether the task alone gives an answer: its outputs may be classes, which have no error."""
    return finding.slug == "task-effect" and finding.status in ("pass", "warn", "fail")


def _failed(failed: Sequence[Finding], limits: tuple[Limit, ...]) -> Verdict:
    """By the first finding; behind the ceiling's where that says what the first one is not."""
    first = failed[0]
    reason = f"{first.slug}: {first.seen}"
    ceiling = next((f for f in failed if gate_of(f) == "ceiling"), first)
    if ceiling is not first:
        reason = f"{ceiling.slug}: {ceiling.seen}; {reason}"
    return Verdict("fail", gate_of(ceiling) or "int8", reason, limits)


def _limits_used(findings: Sequence[Finding], limits: Sequence[Limit] | None) -> tuple[Limit, ...]:
    """The limits that the outputs are held to: those that ``output-error`` names, at any status.

    A page that tells a number beside a limit has no second limit for it.
    """
    about_task = [limit for limit in limits or () if limit.about_task]
    soft = any(f.slug == "output-error" and _names(f, WARN_LIMITS) for f in findings)
    if soft and not is_given(limits):
        return (*WARN_LIMITS, *about_task)
    return (*output_limits(limits), *about_task)


def _names(finding: Finding, limits: Sequence[Limit]) -> bool:
    values = {limit.value for limit in limits}
    return any(row[-1] in values for e in finding.evidence for row in e.data.get("rows", ()))


def _by_warnings(findings: Sequence[Finding], limits: tuple[Limit, ...]) -> Verdict:
    warned = next((f for f in findings if f.status == "warn"), None)
    if warned is None:
        return Verdict("pass", "int8", "every output is within its limits", limits)
    gate = gate_of(warned) or "int8"
    return Verdict("warn", gate, f"{warned.slug}: {warned.seen}", limits)


def _why_nothing(outputs: Sequence[OutputResult]) -> str:
    if any(output.state == "low_signal" for output in outputs):
        return "no signal at the outputs on these samples; try others"
    return "no output could be compared: " + "; ".join(
        f"{output.name}: {output.reason}" for output in outputs
    )
