"""``huge-constant``: a stand-in for infinity stretches a quantized range.

An attention mask adds a huge negative number, and a range that includes it leaves the logits not a
single step.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import gain_beside, rounded, status_of
from qdebug.checks.facts.evidence import float_layers, gain_evidence
from qdebug.checks.facts.masks import harmful_masks, mask_layers
from qdebug.checks.facts.norms import norm_layers
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vendors.advice import keep_in_float


def _huge_constant(context: CheckContext) -> Iterator[Finding]:
    masked = context.once(harmful_masks)
    if not masked:
        return
    layers = context.once(mask_layers)
    gain = gain_beside(context, layers, context.once(norm_layers))
    first = masked[0]
    rows = [
        [context.layers[m.at].name, m.constant, m.value, float(f"{m.logits:.4g}"), m.step]
        for m in masked
    ]
    columns = ["layer", "constant", "its size", "size of the other values", "step"]
    yield HUGE_CONSTANT.found(
        status_of(context, gain),
        f"{context.layers[first.at].name}: a constant of {first.value:.3g} in a quantized range",
        f"{first.constant} reaches {first.value:.3g} where the other values stay within "
        f"{first.logits:.3g}; the step of {first.step:.3g} that follows leaves them no code "
        f"({len(masked)} layers).",
        "Keep the mask's Add (or Where) and the Softmax after it in float, or replace the constant "
        "by a number just below the logits, for instance -30, before quantization.",
        layers=layers,
        evidence=[
            Evidence(
                "table", "Constants against what they meet", {"columns": columns, "rows": rows}
            ),
            *gain_evidence(context, gain),
            *keep_in_float(float_layers(context, layers), context.vendor),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )


HUGE_CONSTANT = Check(KINDS["huge-constant"], _huge_constant)
