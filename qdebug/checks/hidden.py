"""Faults that a larger one hides: what else is found once that is undone.

At an output that one fault has ruined, taking a second one away changes next to nothing: its gain,
computed on the graph as it is, says that it does no harm. So what the findings would undo is
undone, and the checks are asked again, their gains taken on top of that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import WORTH_DB
from qdebug.checks.facts.own_values import unfit_for_own_values
from qdebug.checks.facts.reach import downstream
from qdebug.checks.facts.undone import places, undone
from qdebug.run.gates import gate_of
from qdebug.run.kinds import KINDS, Family
from qdebug.run.model import Finding

ROUNDS = 2
"""How often what was found is undone and the checks are asked again: three faults are told apart.
It bounds what a run costs. By judgement."""
_BAD = ("fail", "warn")


def hidden_findings(
    context: CheckContext, checks: Sequence[Check], told: Iterable[tuple[Finding, Finding]]
) -> list[tuple[Finding, Finding]]:
    """Findings of faults that are seen only with those undone that are found already.

    Args:
        context: of the run.
        checks: to be asked again.
        told: each finding as its check made it, and as it stands beside the others.

    Returns:
        The same of the new ones.
    """
    # What says how much, and not why, names layers as well; it has no cure.
    known = [f for f in _taken_for_known(list(told)) if context.cure_of(f) is not None]
    asked = [check for check in checks if check.kind.cause is not None]
    found: list[tuple[Finding, Finding]] = []
    for _ in range(ROUNDS):
        again = undone(context, known)
        if again is None:
            break
        new = [f for check in asked for f in _asked(again, check, known)]
        if not new:
            break
        largest = max(known, key=lambda f: f.gain_db or 0.0)
        known += new
        found += [(finding, _on_top(finding, largest)) for finding in new]
    return found


def _taken_for_known(told: Sequence[tuple[Finding, Finding]]) -> list[Finding]:
    """What stands as a failure or a warning, and what follows from a wrong input."""
    is_input = any(f.status in _BAD and gate_of(f) == "input" for _, f in told)
    return [made for made, f in told if f.status in _BAD or (is_input and made.status in _BAD)]


def _asked(context: CheckContext, check: Check, known: Sequence[Finding]) -> list[Finding]:
    """What a check finds now and did not find before, and what undoing it wins on top."""
    try:
        if check.applies(context) is not None:
            return []
        found = [f for f in check.run(context) if f.status in _BAD]
    except Exception:  # it has been run before: what it could not say then is told there
        return []
    new = [f for f in found if (f.gain_db or 0.0) >= WORTH_DB and context.cure_of(f) is not None]
    return [f for f in new if not _is_known(context, f, known)]


def _is_known(context: CheckContext, finding: Finding, known: Sequence[Finding]) -> bool:
    """Whether it names what was named before, or ranges that were set by a wrong operator's values.

    The first of its layers is the one that matters, where a finding has several; of ranges those
    behind the first may be there for what this one names.
    """
    first = set(finding.layers[:1])
    is_range = finding.slug in KINDS and KINDS[finding.slug].follows_input
    for other in known:
        kind = KINDS.get(other.slug)
        if first <= (set(other.layers) if other.slug == finding.slug else places(other)):
            return True
        if kind is None or Family.RANGES not in kind.spoils_behind or not is_range:
            continue
        behind = first <= downstream(context.layers, other.layers)
        if behind and not first & context.once(unfit_for_own_values):
            return True
    return False


def _on_top(finding: Finding, first: Finding) -> Finding:
    told = (
        f" Hidden behind {first.id} {first.slug}: the gain is what this wins once that is undone."
    )
    return dataclasses.replace(finding, seen=finding.seen + told)
