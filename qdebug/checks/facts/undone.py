"""The run with what some findings name undone."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

from qdebug.analysis.what_if import Change
from qdebug.checks.context import CheckContext
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding


def undone(context: CheckContext, known: Iterable[Finding]) -> CheckContext | None:
    """The context with findings undone as their checks have noted; None where that cannot be.

    Gains of the new context are taken on top of that. What was measured layer by layer stays that
    of the run.
    """
    # Whatever it wins: what is wrong in itself may win nothing while another fault is there.
    cures = [cure for f in known if (cure := context.cure_of(f)) is not None]
    if not cures or context.what_if is None:
        return None
    change = functools.reduce(lambda both, cure: cure.on_top_of(both), cures, Change())
    what_if = context.what_if.on_top_of(change)
    if what_if.outcome(Change()) is None:
        return None
    return dataclasses.replace(context, what_if=what_if)


def places(finding: Finding) -> frozenset[int]:
    """The layers that a finding means: the first one where the others only follow."""
    kind = KINDS.get(finding.slug)
    return frozenset(finding.layers[:1] if kind and kind.begins_with_worst else finding.layers)


def is_apart(context: CheckContext, one: Finding, other: Finding) -> bool:
    """Whether undoing one leaves the other as it is: at other layers, or something else there."""
    if not places(one) & places(other):
        return True
    cures = context.cure_of(one), context.cure_of(other)
    return cures[0] is not None and cures[1] is not None and cures[0].is_apart_from(cures[1])
