"""Which layers a reader should see first, and the limits they are held against."""

from __future__ import annotations

import math
from collections.abc import Iterable

from qdebug.reporters.text import accumulated_db, local_db
from qdebug.run.model import Finding, Layer, Run

DEFAULT_LIMIT_DB = 20.0
"""Accumulated SQNR below which a layer counts as bad where the run states no limit."""

_BROKEN = ("nonfinite", "zero_quant", "zero_float")
_HARMLESS = ("identical", "zero_both", "low_signal", "not_compared")
_SEEN = ("fail", "error", "warn", "info")


def sqnr_limit(run: Run) -> float:
    """The limit on the accumulated SQNR, in dB, that this run was judged by."""
    for limit in run.verdict.limits:
        if limit.metric == "sqnr_db":
            return limit.value
    return DEFAULT_LIMIT_DB


def severity(layer: Layer) -> tuple[int, float, int]:
    """Sort key, most telling first: broken, sources, the rest by accumulated error, harmless."""
    value = accumulated_db(layer)
    level = math.inf if value is None or math.isnan(value) else value
    if layer.state in _BROKEN:
        return 0, level, layer.index
    if layer.state in _HARMLESS:
        return 3, level, layer.index
    if layer.role == "source":
        local = local_db(layer)
        return 1, level if local is None or math.isnan(local) else local, layer.index
    return 2, level, layer.index


def worst_first(layers: Iterable[Layer]) -> list[Layer]:
    """Layers in the order of ``severity``."""
    return sorted(layers, key=severity)


def is_bad(layer: Layer, limit_db: float) -> bool:
    """Whether a layer is broken or its accumulated SQNR is below the limit."""
    if layer.state in _BROKEN:
        return True
    value = accumulated_db(layer)
    return layer.state == "ok" and value is not None and not value >= limit_db


def glyph(layer: Layer, limit_db: float) -> tuple[str, str]:
    """Mark and word for a layer: source, victim, bad, broken, ok or without a verdict."""
    if layer.state in _BROKEN:
        return "✗", "broken"
    if layer.role == "source":
        return "✗", "source"
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
    """Findings that say something was seen, in the run's order: most severe first."""
    order = {status: rank for rank, status in enumerate(_SEEN)}
    found = [finding for finding in run.findings if finding.status in order]
    return sorted(found, key=lambda finding: order[finding.status])


def findings_with(run: Run, status: str) -> list[Finding]:
    """Findings of one status, in the run's order."""
    return [finding for finding in run.findings if finding.status == status]
