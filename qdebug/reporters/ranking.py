"""Which layers a reader should see first, and the limits they are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping

from qdebug.reporters.text import accumulated_db, local_db
from qdebug.run.gates import GATES, gate_of
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding, Layer, Run
from qdebug.run.standing import has_channels, sqnr_limit
from qdebug.vocabulary.states import BROKEN, HARMLESS

_SEEN = ("fail", "error", "warn", "info")
EFFECTS = tuple(kind.slug for kind in KINDS.values() if kind.is_effect)
"""Findings of these kinds say how much of an error shows, not where it enters."""
MOST_NAMED = 8
"""Layers that one finding marks."""

Named = Mapping[int, tuple[int, str]]
"""Layers that failed findings name, by index: their rank from 0, and the finding's slug."""


def causes(run: Run) -> list[Finding]:
    """Failed findings that name the layers where an error enters, in the run's order."""
    failed = (finding for finding in run.findings if finding.status == "fail")
    return [f for f in failed if f.layers and f.slug not in EFFECTS]


def named_layers(run: Run) -> Named:
    """The layers of ``causes``: a whole tensor's SQNR may look fine where its parts are lost."""
    slugs: dict[int, str] = {}
    for finding in causes(run):
        for index in finding.layers[:MOST_NAMED]:
            slugs.setdefault(index, finding.slug)
    return {index: (rank, slug) for rank, (index, slug) in enumerate(slugs.items())}


def convicting_layer(run: Run) -> Layer | None:
    """The layer that shows the fault: of the first cause, the one whose worst channel is dead.

    A finding may name sound neighbours, from where the fault begins to where it shows; broken
    layers go first, then the lowest channel below the limit, else the one it names first.
    """
    known = {layer.index: layer for layer in run.layers}
    named = next((f for f in causes(run) if any(index in known for index in f.layers)), None)
    if named is None:
        return None
    layers = [known[index] for index in named.layers if index in known]
    kind = KINDS.get(named.slug)
    if kind is not None and kind.begins_with_worst:
        return layers[0]
    broken = [layer for layer in layers if layer.state in BROKEN]
    limit = sqnr_limit(run)
    dead = [x for x in layers if (level := channel_db(x)) is not None and not level >= limit]
    worst = sorted(dead, key=lambda layer: _worst_db(channel_db(layer)))
    return next(iter((*broken, *worst, *layers)))


def _worst_db(level: float | None) -> float:
    return -math.inf if level is None or math.isnan(level) else level


def severity(layer: Layer, named: Named) -> tuple[int, float, int]:
    """Sort key, most telling first.

    Named by a failed finding, broken, sources, the rest by accumulated error, harmless.
    """
    if layer.index in named:
        return 0, named[layer.index][0], layer.index
    value = accumulated_db(layer)
    level = math.inf if value is None or math.isnan(value) else value
    if layer.state in BROKEN:
        return 1, level, layer.index
    if layer.state in HARMLESS:
        return 4, level, layer.index
    if layer.role == "source":
        local = local_db(layer)
        return 2, level if local is None or math.isnan(local) else local, layer.index
    return 3, level, layer.index


def worst_first(run: Run) -> list[Layer]:
    """The layers in the order of ``severity``."""
    named = named_layers(run)
    return sorted(run.layers, key=lambda layer: severity(layer, named))


def is_bad(layer: Layer, limit_db: float) -> bool:
    """Whether a layer is broken or its accumulated SQNR is below the limit."""
    if layer.state in BROKEN:
        return True
    value = accumulated_db(layer)
    return layer.state == "ok" and value is not None and not value >= limit_db


def channel_db(layer: Layer) -> float | None:
    """Accumulated SQNR of the worst channel in dB, where there are channels."""
    worst = layer.worst_channel
    return worst.sqnr_db if worst is not None and has_channels(layer) else None


def glyph(layer: Layer, limit_db: float, named: Named) -> tuple[str, str]:
    """Mark and word for a layer.

    Broken, source, the slug of a failed finding that names it, victim, bad, ok, no verdict.
    """
    if layer.state in BROKEN:
        return "✗", "broken"
    if layer.role == "source":
        return "✗", "source"
    if layer.index in named:
        return "✗", named[layer.index][1]
    if layer.role == "victim":
        return "!", "victim"
    if is_bad(layer, limit_db):
        return "!", "below limit"
    return ("✓", "ok") if layer.state in ("ok", "identical") else ("·", "no verdict")


def first_bad(run: Run) -> Layer | None:
    """The first layer in execution order that is bad."""
    limit = sqnr_limit(run)
    return next((layer for layer in run.layers if is_bad(layer, limit)), None)


def seen_findings(run: Run) -> list[Finding]:
    """Findings that say something was seen: most severe first, then by gate."""
    order = {status: rank for rank, status in enumerate(_SEEN)}
    found = [finding for finding in run.findings if finding.status in order]
    return sorted(found, key=lambda finding: (order[finding.status], gate_rank(finding)))


def gate_rank(finding: Finding) -> int:
    """Place of its gate: a later gate means little while an earlier one fails."""
    gate = gate_of(finding)
    return GATES.index(gate) if gate in GATES else len(GATES)


def findings_with(run: Run, status: str) -> list[Finding]:
    """Findings of one status, in the run's order."""
    return [finding for finding in run.findings if finding.status == status]
