"""What each of several faults costs by itself: its gain with the others undone.

Of two faults the larger is the one that costs more where the other is not there. At one output that
is the order of the gains on the graph as it is: with ``v(S)`` its SQNR once the faults ``S`` are
undone, ``v(1) - v(0) > v(2) - v(0)`` says the same as ``v(12) - v(2) > v(12) - v(1)``. Over several
outputs it is not: one that the first fault has ruined shows nothing of the second, and the gain is
then that at an output which only the second reaches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import FAIL_GAIN_DB, WARN_GAIN_DB, cost_of
from qdebug.checks.facts.undone import is_apart, places, undone
from qdebug.run.model import Finding

_BAD = ("fail", "warn")
_LARGER = " It costs more by itself than another fault that fails the run."
_Told = tuple[Finding, Finding]


def sized(
    context: CheckContext, checks: Sequence[Check], told: Sequence[_Told]
) -> list[tuple[Finding, float]]:
    """The findings as they stand, each with the size that it is ordered by, in dB.

    A warning that would fail the run by itself does so beside other faults as well, and so does one
    that costs more than a fault that fails the run: it is no smaller matter than that.

    Args:
        context: of the run.
        checks: that made the findings.
        told: each finding as its check made it, and as it stands beside the others.
    """
    cured = [made for made, f in told if f.status in _BAD and context.cure_of(made) is not None]
    sizes = [_size(context, made, cured) for made, _ in told]
    found = []
    for (made, shown), alone in zip(told, sizes, strict=True):
        size = shown.gain_db or 0.0 if alone is None else alone[1]
        found.append((shown if alone is None else _told(alone, checks, made, shown), size))
    failed = [size for (f, size), alone in zip(found, sizes, strict=True) if alone and _fails(f)]
    least = max(FAIL_GAIN_DB, min(failed, default=math.inf))
    return [
        (_failing(f, _LARGER) if alone and f.status == "warn" and size > least else f, size)
        for (f, size), alone in zip(found, sizes, strict=True)
    ]


def _size(
    context: CheckContext, made: Finding, cured: Sequence[Finding]
) -> tuple[CheckContext, float] | None:
    """The context with all other faults undone, and what this one costs there; None without any."""
    cure = context.cure_of(made)
    if cure is None or not any(made is one for one in cured):
        return None
    others = [other for other in cured if other is not made and is_apart(context, other, made)]
    if not others:
        return None
    alone = undone(context, others)
    size = cost_of(alone, cure) if alone is not None else None
    return None if alone is None or size is None else (alone, size)


def _told(
    alone: tuple[CheckContext, float], checks: Sequence[Check], made: Finding, shown: Finding
) -> Finding:
    """The finding with what it costs by itself, where the gain beside the others hides that."""
    context, size = alone
    if size < (shown.gain_db or 0.0) + WARN_GAIN_DB:
        return shown
    cost = f" With the other faults undone, this one costs {size:.1f} dB."
    if shown.status == "warn" and _fails_alone(context, checks, made):
        return _failing(shown, cost)
    return dataclasses.replace(shown, seen=shown.seen + cost)


def _failing(finding: Finding, why: str) -> Finding:
    return dataclasses.replace(finding, seen=finding.seen + why, status="fail", severity="error")


def _fails(finding: Finding) -> bool:
    return finding.status == "fail"


def _fails_alone(context: CheckContext, checks: Sequence[Check], made: Finding) -> bool:
    """Whether its check fails the run for it, with the other faults undone."""
    (check,) = [check for check in checks if check.kind.slug == made.slug]
    try:
        again = list(check.run(context))
    except Exception:  # it has been run before: what it could not say then is told there
        return False
    return any(_fails(f) and places(f) == places(made) for f in again)
