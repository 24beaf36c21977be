"""The last word on a run's findings, once all are known.

A number at an output says that there is an error; other findings say why. So ``output-error``
carries a verdict only where nothing else does, and a default limit alone is no failure of a model
that decides as its float twin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from qdebug.checks.facts.limits import is_given
from qdebug.run.gates import gate_of
from qdebug.run.model import Finding, FindingStatus, Limit, Severity

_SLUG = "output-error"
_GATES = ("float", "ceiling", "int8")
"""Gates of the findings that say why an output of the quantized graph is bad."""
_ALONE = " The task's result is the same, so the default limit only warns."


def weigh(
    findings: Sequence[Finding], limits: Sequence[Limit] | None, task_agrees: bool
) -> list[Finding]:
    """The findings, ``output-error`` at the status that it has beside the others.

    Args:
        findings: all of a run.
        limits: the user's.
        task_agrees: a known task's result is the same in both models.
    """
    return [_weighed(f, findings, limits, task_agrees) for f in findings]


def _weighed(
    finding: Finding, others: Sequence[Finding], limits: Sequence[Limit] | None, agrees: bool
) -> Finding:
    if finding.slug != _SLUG or finding.status not in ("warn", "fail"):
        return finding
    bad = {f.status for f in others if f is not finding and gate_of(f) in _GATES}
    excused = finding.status == "fail" and not is_given(limits) and agrees
    status = "warn" if excused else finding.status
    if "fail" in bad or (status == "warn" and "warn" in bad):
        return _at(finding, "info", " Other findings say why.")
    return _at(finding, "warn", _ALONE) if excused else finding


def _at(finding: Finding, status: FindingStatus, why: str) -> Finding:
    severity: Severity = "warning" if status == "warn" else "info"
    seen = finding.seen + "." * (not finding.seen.endswith(".")) + why
    return dataclasses.replace(finding, status=status, severity=severity, seen=seen)
