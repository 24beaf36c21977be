"""What a check is, and how one is run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from qdebug.analysis.what_if import Change
from qdebug.checks.context import CheckContext
from qdebug.run.kinds import Kind
from qdebug.run.model import Confidence, Evidence, Finding, FindingStatus

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Check:
    """One check: it raises the findings of one kind.

    Attributes:
        kind: of the findings; a plug-in's check brings a record of its own.
        run: yields findings, made with ``found``; none means passed.
        applies: whether the check makes sense here, None for always; a string is the reason why
            it does not.
        wanted: whether the check belongs to a run of this kind at all; where it does not, it
            leaves no finding.
        passed: title and text of a pass, where it depends on how much was looked at.
        ahead: changes whose gain the check will ask for, as far as that is known before any check
            has run: they are run while others look at numbers.
        ahead_samples: how many of the first samples it will ask for them on.
    """

    kind: Kind
    run: Callable[[CheckContext], Iterable[Finding]]
    applies: Callable[[CheckContext], str | None] = field(default=lambda _context: None)
    wanted: Callable[[CheckContext], bool] = field(default=lambda _context: True)
    passed: Callable[[CheckContext], tuple[str, str]] | None = None
    ahead: Callable[[CheckContext], Iterable[Change]] = field(default=lambda _context: ())
    ahead_samples: int = 1

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
        if not check.wanted(context):
            return []
        reason = check.applies(context)
        if reason is not None:
            return [kind.found("not_applicable", kind.passed, reason)]
        found = list(check.run(context)) or [_pass(check, context)]
    except Exception as error:
        _LOG.debug("check %s crashed", kind.slug, exc_info=True)
        title = f"the check {kind.slug} crashed"
        return [kind.found("error", title, f"{type(error).__name__}: {error}", confidence="low")]
    return found


def changes_ahead(check: Check, context: CheckContext) -> list[Change]:
    """What a check will ask for, if it will be run; nothing where it fails to say."""
    what_if = context.what_if
    try:
        if what_if is None or not check.wanted(context) or check.applies(context) is not None:
            return []
        return [change for change in check.ahead(context) if what_if.is_possible(change)]
    except Exception:  # its run says why
        _LOG.debug("check %s cannot say what it will ask for", check.kind.slug, exc_info=True)
        return []


def _pass(check: Check, context: CheckContext) -> Finding:
    told = (check.kind.passed, "") if check.passed is None else check.passed(context)
    return check.kind.found("pass", *told)
