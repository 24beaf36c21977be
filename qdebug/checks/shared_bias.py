"""``shared-bias``: layers share one bias, which was quantized with the scale of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qdebug.analysis.what_if import Change, Gain
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.differences import FOREIGN_DB, STEPS
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
from qdebug.checks.facts.weights import unless_other_model, weight_rows, weight_steps
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import tensor_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding, FindingStatus

_WRONG_DB, _SLIGHT_DB = 40.0, 26.0
"""SQNR below which a shared bias has another layer's scale, 1 % off, and from which on (5 % off) it
is a remark where undoing it wins nothing. The first is what 8 bits leave of a tensor at best; the
second by judgement. Rounding is told apart by the steps."""
_LOUD = 0.1
"""Share of the largest value below which one may be rounded to zero. By judgement."""


def _shared_bias(context: CheckContext) -> Iterator[Finding]:
    for tensor, pairs in _shared(context).items():
        known = [(pair, _error_db(pair)) for pair in pairs]
        wrong = {pair.node: db for pair, db in known if db is not None}
        if wrong:
            yield _finding(context, tensor, pairs, wrong)


def _error_db(pair: WeightPair) -> float | None:
    """SQNR of a bias that another layer's scale was used for, dB; None where it is right."""
    f, q = weight_rows(pair)
    if f.shape != q.shape:
        return None
    loud = np.abs(f) > _LOUD * np.abs(f).max(initial=0.0)
    if not (f[loud] * q[loud] > 0).all():
        return None  # no scale turns a sign, or makes a large value zero
    db = tensor_db(f, q)
    beyond = float(np.abs(q - f).max()) > STEPS * float(weight_steps(pair, len(f)).max())
    return db if beyond and db < _WRONG_DB else None


def _shared(context: CheckContext) -> Mapping[str, Sequence[WeightPair]]:
    """Biases in codes that several layers read, by their tensor.

    The codes are one, so the value is one as well, but each layer reads it under a scale of its
    own: that of its input times that of its weights (ONNX, ``QLinearConv``).
    """
    found: dict[str, list[WeightPair]] = {}
    for pair in context.pairing.weights:
        if pair.role == "bias":
            found.setdefault(pair.quant_tensor, []).append(pair)
    codes = {name: context.quant_graph.constant(name) for name in found}
    return {
        name: pairs
        for name, pairs in found.items()
        if len(pairs) > 1 and (value := codes[name]) is not None and value.dtype.kind in "iu"
    }


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
