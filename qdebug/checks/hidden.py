"""Faults that a larger one hides: what else is found once that is undone.

At an output that one fault has ruined, taking a second one away changes next to nothing: its gain,
computed on the graph as it is, says that it does no harm. So what the findings would undo is
undone, and the checks are asked again, their gains taken on top of that. Two faults in one layer
may hide each other, so that both are remarks: each is asked about with the other one undone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import WORTH_DB, is_doubtful
from qdebug.checks.facts.own_values import unfit_for_own_values
from qdebug.checks.facts.reach import downstream
from qdebug.checks.facts.undone import is_apart, places, undone
from qdebug.run.gates import gate_of
from qdebug.run.kinds import KINDS, Family
from qdebug.run.model import Finding

ROUNDS = 2
"""How often what was found is undone and the checks are asked again: three faults are told apart.
It bounds what a run costs. By judgement."""
REMARKS = 4
"""Remarks that are asked about again, each with the others undone: it bounds what that costs. By
judgement."""
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
    every = list(told)
    known = [f for f in _taken_for_known(every) if context.cure_of(f) is not None]
    asked = [check for check in checks if check.kind.cause is not None]
    found: list[tuple[Finding, Finding]] = []
    if not known and is_doubtful(context):
        found = _hidden_by_each_other(context, asked, [made for made, _ in every])
        known = [made for made, _ in found]
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


def _hidden_by_each_other(
    context: CheckContext, checks: Sequence[Check], made: Sequence[Finding]
) -> list[tuple[Finding, Finding]]:
    """Remarks on what is certainly wrong in one layer, that are more with the others undone."""
    remarks = [f for f in made if f.status == "info" and context.cure_of(f) is not None]
    # Whether one is certain may take a run of the quant model: not asked of one that is alone.
    remarks = [f for f in remarks if _beside(f, remarks)]
    remarks = [f for f in remarks if _is_certain(context, f)][:REMARKS]
    found = []
    for remark in remarks:
        others = [f for f in _beside(remark, remarks) if is_apart(context, f, remark)]
        without = undone(context, others)
        if without is None:
            continue
        (check,) = [check for check in checks if check.kind.slug == remark.slug]
        again = [f for f in _asked(without, check, others) if places(f) == places(remark)]
        found += [(finding, _on_top(finding, others[0])) for finding in again]
    return found


def _beside(finding: Finding, others: Iterable[Finding]) -> list[Finding]:
    """Others of the same layer."""
    return [f for f in others if f is not finding and places(f) & places(finding)]


def _is_certain(context: CheckContext, finding: Finding) -> bool:
    """Whether it tells what no sound way of quantizing makes, whatever that wins."""
    kind = KINDS.get(finding.slug)
    if kind is None:
        return False
    if kind.follows_input:
        return bool(set(finding.layers[:1]) & context.once(unfit_for_own_values))
    return kind.of_constants or bool(kind.spoils_behind)


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


def _is_known(context: CheckContext, finding: Finding, known: Iterable[Finding]) -> bool:
    """Whether it names what was named before, or ranges that were set by a wrong operator's values.

    The first of its layers is the one that matters, where a finding has several; of ranges those
    behind the first may be there for what this one names.
    """
    return any(_is_told_by(context, finding, other) for other in known)


def _is_told_by(context: CheckContext, finding: Finding, other: Finding) -> bool:
    """Whether another finding tells of the same fault; one layer may have two.

    A range that does not fit the twin's own values is a fault beside the operator that makes them.
    What says why is not told by what says less, nor constants by others that are mended apart.
    """
    first = set(finding.layers[:1])
    if other.slug == finding.slug:
        return first <= set(other.layers)
    kind, beside = KINDS.get(finding.slug), KINDS.get(other.slug)
    if kind is None or beside is None:
        return first <= places(other)
    is_spoilt = kind.follows_input and Family.RANGES in beside.spoils_behind
    if is_spoilt and first & context.once(unfit_for_own_values):
        return False
    if first <= places(other):
        says_why = (kind.cause or math.inf) < (beside.cause or math.inf)
        of_constants = kind.of_constants and beside.of_constants
        return not says_why and not (of_constants and is_apart(context, finding, other))
    return is_spoilt and first <= downstream(context.layers, other.layers)


def _on_top(finding: Finding, first: Finding) -> Finding:
    told = (
        f" Hidden behind {first.id} {first.slug}: the gain is what this wins once that is undone."
    )
    return dataclasses.replace(finding, seen=finding.seen + told)
