"""The board's final answers: what its program does wrongly behind the network."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.reading import findings
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding


def _check(slug: str) -> Check:
    """The check of one kind; a run without such a mistake has no finding of it."""

    def wanted(context: CheckContext) -> bool:
        return context.reading is not None and any(
            mistake.slug == slug for mistake in findings.named(context.reading)
        )

    def run(context: CheckContext) -> Iterator[Finding]:
        assert context.reading is not None
        yield from findings.mistakes_of(context.reading, slug)

    return Check(KINDS[slug], run, wanted=wanted)


def _left(context: CheckContext) -> bool:
    """Whether something is left that no named mistake tells."""
    return context.reading is not None and context.reading.info.state != "explained"


def _run(context: CheckContext) -> Iterator[Finding]:
    assert context.reading is not None
    yield from findings.differing(context.reading)


def _passed(context: CheckContext) -> tuple[str, str]:
    assert context.reading is not None
    return findings.passed(context.reading)


DIFFERS = Check(findings.DIFFERS, _run, wanted=_left, passed=_passed)
CODES = _check("reading-codes")
BOXES = _check("reading-boxes")
PLACING = _check("reading-placing")
SCORES = _check("reading-scores")
CLASSES = _check("reading-classes")
SUPPRESSION = _check("reading-suppression")
TEXT = _check("reading-text")
MASK = _check("reading-mask")
