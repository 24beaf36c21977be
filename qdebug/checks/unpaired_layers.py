"""``unpaired-layers``: how much of the network is compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus
from qdebug.vocabulary.numbers import percent

NOTEWORTHY_SHARE, DOUBTFUL_SHARE = 0.3, 0.6
"""Shares of layers without a counterpart: worth a remark, and a warning. By judgement: where
the graphs belong together pairing finds 98 % and more (docs/benchmarks.md)."""
_EXPECTED = re.compile(r"folded into|.*, not compared$")
"""Reasons of tensors that are fused away, or hold no real numbers, as they should."""


def _unpaired(context: CheckContext) -> Iterator[Finding]:
    left = [x for x in context.pairing.unpaired_float if not _EXPECTED.match(x.reason)]
    total = len(left) + len(context.joined)
    share = len(left) / max(total, 1)
    judged = context.task.result.signal if context.task is not None else ()
    lost = [o.name for o in context.outputs if o.state == "not_compared" and o.name not in judged]
    if share < NOTEWORTHY_SHARE and not lost:
        return
    reasons = Counter(item.reason for item in left).most_common(8)
    status: FindingStatus = "warn" if lost or share > DOUBTFUL_SHARE else "info"
    often = f" Most often: {reasons[0][0]}." if reasons else ""
    outputs = f" Outputs not compared: {', '.join(lost)}." if lost else ""
    yield UNPAIRED.found(
        status,
        f"{len(left)} of {total} float tensors have no counterpart",
        f"{percent(share)} of the float tensors are not compared.{often}{outputs}",
        "Compare with the float model that was quantized, after the same graph optimization "
        "(`quant_pre_process`).",
        evidence=[
            Evidence(
                "table",
                "Why they are not compared",
                {"columns": ["reason", "tensors"], "rows": [[r, n] for r, n in reasons]},
            )
        ],
        confidence="high",
    )


UNPAIRED = Check(KINDS["unpaired-layers"], _unpaired)
