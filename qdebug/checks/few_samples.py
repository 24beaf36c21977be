"""``few-samples``: too few inputs to trust a pass."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import FAIL_GAIN_DB, TRUSTED_SAMPLES
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding

ENOUGH = 8
"""Samples from which on ranges and the worst sample mean something. By judgement."""


def _few_samples(context: CheckContext) -> Iterator[Finding]:
    count = len(context.samples)
    if count >= ENOUGH:
        return
    yield FEW_SAMPLES.found(
        "info",
        f"{count} sample{'s' if count != 1 else ''} only",
        f"Ranges, clipped values and the worst sample are known for {count} input"
        f"{'s' if count != 1 else ''}; another may leave the ranges that these keep."
        f"{_of_gains(count)}",
        f"Give at least {ENOUGH} varied inputs before trusting a pass.",
        confidence="high",
    )


def _of_gains(count: int) -> str:
    if count >= TRUSTED_SAMPLES:
        return ""
    known = (
        f"of {FAIL_GAIN_DB:.0f} dB or less"
        if count == 1
        else "within the spread between the samples"
    )
    return f" So gains {known} are remarks here, whatever they would be with more samples."


FEW_SAMPLES = Check(KINDS["few-samples"], _few_samples)
