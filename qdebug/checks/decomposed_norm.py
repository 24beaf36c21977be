"""``decomposed-norm``: an operator in pieces, with a quantized value between them.

A LayerNorm in pieces squares its input and divides by a root; a GELU or Softmax in pieces goes
through an error function or exponentials. Each piece has a range of its own kind, and an 8-bit step
on any of them costs more than the whole operator is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qdebug.analysis.what_if import Gain
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import free, gain_beside, gain_of, rounded, status_of
from qdebug.checks.facts.evidence import float_layers, gain_evidence
from qdebug.checks.facts.masks import mask_layers
from qdebug.checks.facts.norms import norm_layers, quantized_norms
from qdebug.checks.facts.own_values import unfit_for_own_values
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vendors.advice import keep_in_float


def _decomposed_norm(context: CheckContext) -> Iterator[Finding]:
    groups = context.once(quantized_norms)
    if not groups:
        return
    layers = context.once(norm_layers)
    gain = _gain(context, layers)
    status = status_of(context, gain)
    kinds = sorted({group.kind for group, _ in groups})
    rows = [[g.kind, g.nodes[0].label, g.nodes[-1].label, len(g.nodes)] for g, _ in groups]
    columns = ["it is a", "from", "to", "nodes"]
    first = groups[0][0]
    yield DECOMPOSED_NORM.found(
        status,
        f"{len(groups)} {' and '.join(kinds)} in pieces, and the pieces are quantized",
        f"{first.kind} from {first.nodes[0].label} to {first.nodes[-1].label} is computed by "
        f"{len(first.nodes)} nodes with 8-bit values in between.",
        "Export with a higher opset (LayerNormalization from 17, Gelu from 20), or fuse them "
        "before quantization (`quant_pre_process`), or keep the listed nodes in float.",
        layers=layers,
        evidence=[
            Evidence("table", "Operators in pieces", {"columns": columns, "rows": rows}),
            *gain_evidence(context, gain),
            *keep_in_float(float_layers(context, layers), context.vendor),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )


def _gain(context: CheckContext, layers: Sequence[int]) -> Gain | None:
    """What all pieces in float win, a piece aside whose range is a fault of its own."""
    gain = gain_beside(context, layers, context.once(mask_layers))
    if status_of(context, gain) not in ("fail", "warn"):
        return gain
    own = context.once(unfit_for_own_values).intersection(layers)
    if own and len(own) < len(layers):
        return gain_of(context, free(context, layers), base=free(context, own))
    return gain


DECOMPOSED_NORM = Check(KINDS["decomposed-norm"], _decomposed_norm)
