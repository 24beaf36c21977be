"""Weights that were rewritten together, so that what one layer changes another makes up for.

Cross-layer equalization (Nagel et al. 2019) and SmoothQuant (Xiao et al. 2023) divide a layer's
channels by numbers that they multiply into the next layer. Each of the two differs from the float
model's then, and the network computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdebug.analysis.what_if import Change, Gain
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.differences import differences
from qdebug.checks.facts.effect import DAMAGED_DB, WARN_GAIN_DB, WORTH_DB, free, gain_of
from qdebug.checks.facts.outputs import output_parts

ROUNDS = 3
"""How often the weight whose undoing wins most is undone and the others are asked again: at an
output that it ruined, nothing can be lost. By judgement."""
TRIED = 24
"""Layers into which the float weights are put back, one at a time: it bounds the cost."""


def made_up_for(context: CheckContext) -> dict[int, float]:
    """Float nodes whose weight differs and is made up for elsewhere, and what undoing it costs, dB.

    The float weight of a layer that is wrong wins something at an output; that of one half of a
    rewriting wins nowhere and loses where it counts. Told with all activations in float, since
    ranges that were calibrated with a wrong weight do not fit the right one. ``once`` per context.
    """
    nodes = list(dict.fromkeys(item.pair.node for item in context.once(differences)))[:TRIED]
    base = free(context, range(len(context.layers)))
    known: dict[int, list[Gain]] = {}
    for _ in range(ROUNDS):
        known = _gains(context, [n for n in nodes if n not in base.weights], base)
        wrong = max(known, key=lambda node: _won(known[node]), default=None)
        if wrong is None or _won(known[wrong]) < WARN_GAIN_DB:
            break
        base = base.on_top_of(Change(weights=frozenset({wrong})))
    lost = {node: _lost(gains) for node, gains in known.items() if _won(gains) < WORTH_DB}
    return {node: db for node, db in lost.items() if db >= WORTH_DB}


def _won(gains: Sequence[Gain]) -> float:
    return max(gain.db for gain in gains)


def _lost(gains: Sequence[Gain]) -> float:
    """What undoing costs, dB, at an output with something to lose: another fault leaves none."""
    return max((-gain.db for gain in gains if gain.before >= DAMAGED_DB), default=0.0)


def _gains(context: CheckContext, nodes: Sequence[int], base: Change) -> dict[int, list[Gain]]:
    """What the float weight of each node alone wins at each output on top of a change."""
    if context.what_if is None or not nodes:
        return {}
    changes = [base.on_top_of(Change(weights=frozenset({node}))) for node in nodes]
    context.what_if.run_ahead([base, *changes])
    parts = context.once(output_parts)
    found = {}
    for node, change in zip(nodes, changes, strict=True):
        gains = (gain_of(context, change, [part], base, everywhere=True) for part in parts)
        known = [gain for gain in gains if gain is not None]
        if known:
            found[node] = known
    return found
