"""What a check is, what it may look at, and how all of them are run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qdebug.analysis.ceiling import Ceiling
from qdebug.analysis.tasks import TaskOutcome
from qdebug.analysis.what_if import WhatIf
from qdebug.capture.stats import LayerStats
from qdebug.checks.settle import settle
from qdebug.errors import UsageError
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pairing
from qdebug.limits import LayerLimit
from qdebug.plugins import load_plugin, plugin_names
from qdebug.run.model import (
    Confidence,
    Evidence,
    Finding,
    FindingStatus,
    Layer,
    Limit,
    OutputResult,
    SampleInfo,
    Severity,
)

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_SEVERITY: dict[str, Severity] = {"fail": "error", "error": "error", "warn": "warning"}


@dataclass(frozen=True)
class CheckContext:
    """Everything a check may look at. Nothing in it is changed by a check.

    Attributes:
        float_graph: the reference graph.
        quant_graph: its twin.
        pairing: pairs and weight pairs.
        layers: one a pair, in the same order.
        stats: one a pair, in the same order.
        outputs: results at the model's outputs.
        samples: what the models ran on.
        limits: the user's limits, None where the defaults hold.
        vendor: toolchain that advice is written for, None where not known.
        what_if: reruns the quant graph with something changed; None where it cannot be rerun.
        task: effect on the task, None where none was recognized.
        layer_limits: the user's limits on single layers.
        ceiling: the 16-bit model, None where it was not asked for.
        input_findings: what the input gate has found.
    """

    float_graph: Graph
    quant_graph: Graph
    pairing: Pairing
    layers: Sequence[Layer]
    stats: Sequence[LayerStats]
    outputs: Sequence[OutputResult]
    samples: Sequence[SampleInfo]
    limits: Sequence[Limit] | None = None
    vendor: str | None = None
    what_if: WhatIf | None = None
    task: TaskOutcome | None = None
    layer_limits: Sequence[LayerLimit] = ()
    ceiling: Ceiling | None = None
    input_findings: Sequence[Finding] = ()
    _known: dict[Callable[[CheckContext], Any], Any] = field(
        default_factory=dict, repr=False, compare=False
    )

    def once(self, compute: Callable[[CheckContext], _T]) -> _T:
        """What a function of this context gives, computed the first time it is asked for."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        known: _T = self._known[compute]
        return known


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: stable identifier, for instance ``QD301``.
        slug: name of the problem.
        passed: title of the finding when there is no problem.
        run: yields findings, made with ``found``; none means passed.
        applies: whether the check makes sense here, None for always; a string is the reason why
            it does not.
    """

    id: str
    slug: str
    passed: str
    run: Callable[[CheckContext], Iterable[Finding]]
    applies: Callable[[CheckContext], str | None] = field(default=lambda _context: None)

    def found(
        self,
        status: FindingStatus,
        title: str,
        seen: str,
        advice: str = "",
        *,
        layers: Iterable[int] = (),
        evidence: Iterable[Evidence] = (),
        gain_db: float | None = None,
        confidence: Confidence = "medium",
    ) -> Finding:
        """A finding of this check."""
        severity: Severity = _SEVERITY.get(status, "info")
        return Finding(
            self.id,
            self.slug,
            status,
            severity,
            title,
            seen,
            advice,
            gain_db,
            confidence,
            tuple(layers),
            tuple(evidence),
        )


def run_checks(context: CheckContext) -> list[Finding]:
    """Findings of the input gate and every check, ordered by status, then gain, then id.

    What follows from another finding is lowered to a remark (``settle``).
    """
    findings = list(context.input_findings)
    for name in plugin_names("checks"):
        try:
            check: Check = load_plugin("checks", name)
        except UsageError as error:
            findings.append(_broken(name, error.message))
            continue
        findings.extend(run_check(check, context))
    return sorted(settle(findings, context.layers), key=_rank)


def run_check(check: Check, context: CheckContext) -> list[Finding]:
    """Findings of one check: what it found, or that it passed, does not apply or crashed."""
    try:
        reason = check.applies(context)
        if reason is not None:
            return [check.found("not_applicable", check.passed, reason)]
        found = list(check.run(context))
    except Exception as error:
        _LOG.debug("check %s crashed", check.slug, exc_info=True)
        title = f"the check {check.slug} crashed"
        return [check.found("error", title, f"{type(error).__name__}: {error}", confidence="low")]
    return found or [check.found("pass", check.passed, "")]


def _broken(name: str, reason: str) -> Finding:
    title = f"the check {name} could not be loaded"
    return Finding("QD000", name, "error", "error", title, reason, "reinstall the plug-in")


def _rank(finding: Finding) -> tuple[int, float, str]:
    order = ("fail", "error", "warn", "info", "pass", "not_applicable")
    return order.index(finding.status), -(finding.gain_db or 0.0), finding.id
