"""``bias-clipped``: an int32 bias at the limit of its codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdebug.analysis.what_if import Change
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import gain_of, rounded, structural_status
from qdebug.checks.facts.evidence import float_layers, gain_evidence
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.weights import (
    channels_at_limit,
    unless_other_model,
    weight_rows,
    weight_steps,
)
from qdebug.run.kinds import KINDS
from qdebug.run.model import Finding
from qdebug.vendors.advice import keep_in_float

_LOST_SHARE = 0.01
"""Error of a bias, as a share of its largest value, below which clipping loses nothing worth more
than a remark. By judgement."""


def _bias_clipped(context: CheckContext) -> Iterator[Finding]:
    layers = context.once(layers_of_nodes)
    for pair in context.pairing.weights:
        at_limit = channels_at_limit(context, pair)
        if not len(at_limit):
            continue
        f, q = weight_rows(pair)
        if f.shape != q.shape:
            continue
        cure = Change(weights=frozenset({pair.node}))
        gain = gain_of(context, cure)
        first = int(at_limit[0])
        node = context.float_graph.nodes[pair.node]
        scale = float(weight_steps(pair, len(f))[first, 0])
        lost, harmless = float(np.abs(q - f).max()), _LOST_SHARE * float(np.abs(f).max())
        touched = [layers[pair.node]] if pair.node in layers else []
        finding = BIAS_CLIPPED.found(
            structural_status(context, gain) if lost > harmless else "info",
            f"{node.label}: the int32 bias is at its limit in {len(at_limit)} of {len(f)} channels",
            f"With a bias scale of {scale:.3g} (input scale x weight scale) int32 reaches "
            f"{2**31 * scale:.3g}; channel {first} wants {f[first, 0]:.4g} and gets "
            f"{q[first, 0]:.4g}. The weights of these channels are nearly zero.",
            f"Give `{node.label}` per-channel weight scales with a floor (ONNX Runtime 1.22 and "
            "later adjusts them), or remove the near-zero channels, or keep the layer in float.",
            layers=touched,
            evidence=[
                *gain_evidence(context, gain),
                *(keep_in_float(float_layers(context, touched), context.vendor) if touched else ()),
            ],
            gain_db=rounded(gain),
            confidence="high",
        )
        yield context.cured_by(finding, cure)


BIAS_CLIPPED = Check(KINDS["bias-clipped"], _bias_clipped, unless_other_model)
