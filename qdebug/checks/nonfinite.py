"""``nonfinite``: NaN or infinity in one of the runs."""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding, FindingStatus


def _nonfinite(context: CheckContext) -> Iterator[Finding]:
    bad = [layer for layer in context.layers if layer.state == "nonfinite"]
    if not bad:
        return
    counts = {x.index: _nonfinite_counts(context, x.index) for x in bad}
    only_quant = [x for x in bad if counts[x.index][1] > 0]
    first = (only_quant or bad)[0]
    outputs = [o.name for o in context.outputs if o.state == "nonfinite"]
    status: FindingStatus = "fail" if outputs else ("warn" if only_quant else "info")
    side = "quant" if only_quant else "float"
    f, q = counts[first.index]
    reach = f"They reach {', '.join(outputs)}." if outputs else "They do not reach an output."
    yield NONFINITE.found(
        status,
        f"{first.name}: NaN or infinity, first in the {side} run",
        f"{f} values of the float run and {q} more of the quant run are not finite there; "
        f"{len(bad)} layers have such values. {reach}",
        f"Look at what `{first.name}` computes (a division, a root, a logarithm, an overflow) and "
        "at the scale of its inputs.",
        layers=[x.index for x in bad],
        confidence="high",
    )


def _nonfinite_counts(context: CheckContext, at: int) -> tuple[int, int]:
    moments = context.layer(at).moments
    if moments is None:
        return 0, 0
    return int(moments.nonfinite_f.sum()), int(moments.nonfinite_q.sum())


NONFINITE = Check(KINDS["nonfinite"], _nonfinite)
