"""``few-samples``: too few inputs to trust a pass."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
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
        f"{'s' if count != 1 else ''}; another may leave the ranges that these keep.",
        f"Give at least {ENOUGH} varied inputs before trusting a pass.",
        confidence="high",
    )


FEW_SAMPLES = Check(KINDS["few-samples"], _few_samples)
