"""Findings that follow from others become remarks: what is left at ``fail`` is the cause."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence

from qdebug.checks.facts.calibrated import guess_of_calibration
from qdebug.checks.facts.reach import downstream
from qdebug.run.gates import GATES
from qdebug.run.kinds import KINDS, Kind
from qdebug.run.model import Finding, Layer

_BAD = ("fail", "warn")
_Known = tuple[Finding, Kind]


def settle(
    findings: Sequence[Finding],
    layers: Sequence[Layer],
    kinds: Mapping[str, Kind] = KINDS,
    own: Collection[int] = (),
) -> list[Finding]:
    """The findings, those explained by another lowered to ``info`` with a reference to it.

    Args:
        findings: of all checks.
        layers: of the run.
        kinds: by slug; a finding of a kind that is not among them neither explains another nor is
            explained.
        own: layers whose range is a fault in the quant graph: a guess that calibration had other
            inputs does not explain it.
    """
    known = [(finding, kinds[finding.slug]) for finding in findings if finding.slug in kinds]
    return [_settled(f, kinds.get(f.slug), known, layers, own) for f in findings]


def _settled(
    finding: Finding,
    kind: Kind | None,
    others: Sequence[_Known],
    layers: Sequence[Layer],
    own: Collection[int],
) -> Finding:
    if kind is None or finding.status not in _BAD:
        return finding
    if finding.layers and set(_told(finding, kind)) <= set(own):
        others = [one for one in others if not guess_of_calibration(one[0])]
    causes = [one for one in others if _explains(one, (finding, kind), layers)]
    if not causes:
        return finding
    cause, _ = min(causes, key=_order)
    seen = f"{finding.seen} This follows from {cause.id} {cause.slug}."
    return dataclasses.replace(finding, status="info", severity="info", seen=seen)


def _order(one: _Known) -> tuple[int, float]:
    """Of several causes the one at the earliest gate is told, then that of the lowest rank."""
    _, kind = one
    gate = len(GATES) if kind.gate is None else GATES.index(kind.gate)
    return gate, math.inf if kind.cause is None else kind.cause


def _explains(one: _Known, other: _Known, layers: Sequence[Layer]) -> bool:
    (cause, why), (finding, what) = one, other
    if why.slug == what.slug or not _is_as_bad(cause, finding):
        return False
    if why.explains:
        return what.family in why.explains
    if why.gate == "input":
        return what.symptom or what.follows_input
    if why.spoils_behind and what.family in why.spoils_behind and finding.layers:
        told = _told(finding, what)
        at = cause.layers if what.of_constants else downstream(layers, cause.layers)
        return set(told) <= set(at)
    if why.cause is not None and what.symptom and not _says_more(other, one):
        reached = downstream(layers, cause.layers)
        return not finding.layers or bool(reached & set(finding.layers))
    return _says_more(one, other)


def _says_more(one: _Known, other: _Known) -> bool:
    """Whether the first of two causes says why, and names all layers of the second."""
    (cause, why), (finding, what) = one, other
    if why.cause is None or what.cause is None or what.cause < why.cause:
        return False
    told = _told(finding, what)
    return bool(told) and set(told) <= set(cause.layers)


def _told(finding: Finding, kind: Kind) -> tuple[int, ...]:
    """The layers that have to be explained."""
    return finding.layers[:1] if kind.begins_with_worst else finding.layers


def _is_as_bad(cause: Finding, finding: Finding) -> bool:
    """A failure explains failures and warnings, a warning only warnings."""
    return cause.status == "fail" or cause.status == finding.status == "warn"
