"""What a check is, what it may look at, and how one is run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qdebug.analysis.ceiling import Ceiling
from qdebug.analysis.tasks import TaskOutcome
from qdebug.analysis.what_if import WhatIf
from qdebug.capture.stats import LayerStats
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pairing
from qdebug.limits import LayerLimit
from qdebug.run.kinds import Kind
from qdebug.run.model import (
    Confidence,
    Evidence,
    Finding,
    FindingStatus,
    Layer,
    Limit,
    OutputResult,
    SampleInfo,
)

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


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
    """One check: it raises the findings of one kind.

    Attributes:
        kind: of the findings; a plug-in's check brings a record of its own.
        run: yields findings, made with ``found``; none means passed.
        applies: whether the check makes sense here, None for always; a string is the reason why
            it does not.
    """

    kind: Kind
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
        return self.kind.found(
            status,
            title,
            seen,
            advice,
            layers=layers,
            evidence=evidence,
            gain_db=gain_db,
            confidence=confidence,
        )


def run_check(check: Check, context: CheckContext) -> list[Finding]:
    """Findings of one check: what it found, or that it passed, does not apply or crashed."""
    kind = check.kind
    try:
        reason = check.applies(context)
        if reason is not None:
            return [kind.found("not_applicable", kind.passed, reason)]
        found = list(check.run(context))
    except Exception as error:
        _LOG.debug("check %s crashed", kind.slug, exc_info=True)
        title = f"the check {kind.slug} crashed"
        return [kind.found("error", title, f"{type(error).__name__}: {error}", confidence="low")]
    return found or [kind.found("pass", kind.passed, "")]
