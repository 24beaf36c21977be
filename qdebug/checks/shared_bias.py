"""``shared-bias``: layers share one bias, which was quantized with the scale of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qdebug.analysis.what_if import Change, Gain
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.biases import shared_biases, wrongly_scaled_biases
from qdebug.checks.facts.differences import FOREIGN_DB
from qdebug.checks.facts.effect import (
    DOUBTFUL_DB,
    WORTH_DB,
    gain_of,
    rounded,
    structural_status,
)
from qdebug.checks.facts.evidence import gain_evidence
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.task import task_is_harmed
from qdebug.checks.facts.weights import unless_other_model, weight_steps
from qdebug.graph.pairs import WeightPair
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus

_SLIGHT_DB = 26.0
"""SQNR from which on a bias in another layer's scale, 5 % off, is a remark where undoing it wins
nothing. By judgement."""


def _shared_bias(context: CheckContext) -> Iterator[Finding]:
    wrongly_scaled = context.once(wrongly_scaled_biases)
    for tensor, pairs in shared_biases(context).items():
        wrong = {p.node: wrongly_scaled[p.node] for p in pairs if p.node in wrongly_scaled}
        if wrong:
            yield _finding(context, tensor, pairs, wrong)


def _finding(
    context: CheckContext, tensor: str, pairs: Sequence[WeightPair], wrong: Mapping[int, float]
) -> Finding:
    layers = context.once(layers_of_nodes)
    change = Change(weights=frozenset(wrong))
    gain = gain_of(context, change)
    worst = min(wrong, key=lambda node: wrong[node])
    label = context.float_graph.nodes[worst].label
    found = SHARED_BIAS.found(
        _status(context, gain, wrong[worst]),
        f"{len(pairs)} layers share the bias {tensor}: its one scale is wrong in {len(wrong)}",
        f"An int32 bias counts in steps of input scale x weight scale, and these differ from layer "
        f"to layer, the codes do not. Worst in {label}: SQNR {wrong[worst]:.1f} dB.",
        f"Give each of these layers a bias initializer of its own in the float model (copy "
        f"`{pairs[0].float_tensor}` under {len(pairs)} names) and quantize again; formats with "
        "Q/DQ nodes have a scale for each copy.",
        layers=dict.fromkeys(layers[node] for node in wrong if node in layers),
        evidence=[*gain_evidence(context, gain), _table(context, pairs, wrong)],
        gain_db=rounded(gain),
        confidence="high",
    )
    return context.cured_by(found, change)


def _status(context: CheckContext, gain: Gain | None, worst_db: float) -> FindingStatus:
    """How bad it is: layers that share a bias on purpose have scales that hardly differ."""
    if gain is None:
        return "warn" if worst_db >= FOREIGN_DB else structural_status(context, gain)
    if gain.db < WORTH_DB and worst_db >= _SLIGHT_DB:
        return "info"
    fine = gain.before >= DOUBTFUL_DB and not context.once(task_is_harmed)
    return "warn" if fine else structural_status(context, gain)


def _table(
    context: CheckContext, pairs: Sequence[WeightPair], wrong: Mapping[int, float]
) -> Evidence:
    rows: list[list[str | float | None]] = []
    for pair in pairs:
        step = float(weight_steps(pair, len(pair.quant_value.reshape(-1))).max())
        db = wrong.get(pair.node)
        rows.append(
            [
                context.float_graph.nodes[pair.node].label,
                float(f"{step:.3g}"),
                "right" if db is None else "wrong",
                None if db is None else round(max(db, -100.0), 1),
            ]
        )
    columns = ["layer", "largest step of its bias", "value", "SQNR of the bias, dB"]
    return Evidence("table", "Layers that share the bias", {"columns": columns, "rows": rows})


SHARED_BIAS = Check(KINDS["shared-bias"], _shared_bias, unless_other_model)
