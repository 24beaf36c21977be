"""Findings that follow from others become remarks: what is left at ``fail`` is the cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from qdebug.run.model import Finding, Layer

CAUSES = (
    "bad-scale",
    "qdq-mismatch",
    "weight-mismatch",
    "bias-clipped",
    "huge-constant",
    "mixed-range",
    "decomposed-norm",
    "dead-output",
    "outlier-channel",
    "activation-clipping",
    "range-too-wide",
)
"""Between two that name the same layers, the earlier one says why."""
SYMPTOMS = ("dead-output", "nonfinite", "runtime-mismatch", "error-source")
"""They show where; a cause upstream of them says why. Where an output dies in its own quantizer,
that is the cause itself: few codes are used because none is left."""
_RANGES = ("activation-clipping", "range-too-wide")
_BAD = ("fail", "warn")


def settle(findings: Sequence[Finding], layers: Sequence[Layer]) -> list[Finding]:
    """The findings, those explained by another lowered to ``info`` with a reference to it."""
    return [_settled(finding, findings, layers) for finding in findings]


def _settled(finding: Finding, others: Sequence[Finding], layers: Sequence[Layer]) -> Finding:
    if finding.status not in _BAD:
        return finding
    cause = next((other for other in others if _explains(other, finding, layers)), None)
    if cause is None:
        return finding
    seen = f"{finding.seen} This follows from {cause.id} {cause.slug}."
    return dataclasses.replace(finding, status="info", severity="info", seen=seen)


def _explains(cause: Finding, finding: Finding, layers: Sequence[Layer]) -> bool:
    if cause is finding or cause.slug == finding.slug or not _is_as_bad(cause, finding):
        return False
    if cause.slug == "wrong-model":
        return finding.id[:3] in ("QD3", "QD4", "QD5")
    if cause.id.startswith("QD1"):
        return finding.slug in (*_RANGES, "outlier-channel", *SYMPTOMS)
    if cause.slug in CAUSES and finding.slug in SYMPTOMS and not _says_more(finding, cause):
        reached = downstream(layers, cause.layers)
        return not finding.layers or bool(reached & set(finding.layers))
    return _says_more(cause, finding)


def _says_more(cause: Finding, finding: Finding) -> bool:
    """Whether the first of two causes says why, and names all layers of the second."""
    known = cause.slug in CAUSES and finding.slug in CAUSES
    if not known or CAUSES.index(finding.slug) < CAUSES.index(cause.slug):
        return False
    # Range findings begin with the layer that matters most.
    told = finding.layers[:1] if finding.slug in _RANGES else finding.layers
    return bool(told) and set(told) <= set(cause.layers)


def _is_as_bad(cause: Finding, finding: Finding) -> bool:
    """A failure explains failures and warnings, a warning only warnings."""
    return cause.status == "fail" or cause.status == finding.status == "warn"


def downstream(layers: Sequence[Layer], start: Iterable[int]) -> set[int]:
    """These layers and all that their values reach."""
    found, todo = set(start), list(start)
    while todo:
        for at in layers[todo.pop()].outputs:
            if at not in found:
                found.add(at)
                todo.append(at)
    return found
