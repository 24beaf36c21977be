"""``weight-mismatch``: a weight or bias that is not the float model's.

Rounding leaves at most half a step; what is beyond that and large against the channel itself is no
rounding. A BatchNormalization folded on one side only is allowed for by the pairing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if import Change
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext
from qdebug.checks.facts.effect import gain_of, rounded, structural_status
from qdebug.checks.facts.evidence import gain_evidence, name_channels
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.weights import (
    NEGLIGIBLE,
    channels_at_limit,
    row_cosines,
    unless_other_model,
    weight_rows,
    weight_steps,
)
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import rows_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding

Array = npt.NDArray[Any]

ONE_EACH = 3
"""Layers that get a finding each; more of them share one, to be read at a glance."""
FOREIGN_DB = 10.0
"""SQNR below which a channel is not the float model's. By judgement."""
STEPS = 2.0
"""Rounding stays within half a step, AdaRound (Nagel et al. 2020) within one; as much again is left
to scales that were rounded too."""
_VISIBLE_SHARE = 0.1
"""An error of a bias below this share of its largest value is not seen. By judgement."""
_ALIKE = 0.95
"""Cosine from which two channels are the same up to a factor: 8 bits keep more than 0.99, other
channels of a trained network have far less. By judgement."""
_MOST = 0.5
"""A weight is looked at for rolled channels where more of them than this differ. By judgement."""


@dataclass(frozen=True)
class WeightDifference:
    """How the quant model's weight or bias differs from the float model's.

    Attributes:
        pair: the two.
        layer: index of the layer, None where its tensor has no pair.
        channels: output channels that differ.
        kind: what was done to them.
        detail: with its numbers.
        worst_db: lowest SQNR of a channel, dB.
        total: number of channels.
    """

    pair: WeightPair
    layer: int | None
    channels: tuple[int, ...]
    kind: Literal["zeroed", "rolled", "rescaled", "different"]
    detail: str
    worst_db: float
    total: int


def _weight_mismatch(context: CheckContext) -> Iterator[Finding]:
    found = differences(context)
    if len({item.pair.node for item in found}) > ONE_EACH:
        yield _many_mismatches(context, found)
        return
    for item in found:
        yield _mismatch(context, item)


def _mismatch(context: CheckContext, item: WeightDifference) -> Finding:
    label, role = context.float_graph.nodes[item.pair.node].label, item.pair.role
    return _mismatch_finding(
        context,
        [item],
        f"{label}: the {role} is not the float model's ({item.detail})",
        f"In {_which(item)} the dequantized {role} ({item.pair.quant_tensor}) is {item.detail} "
        f"against {item.pair.float_tensor}: SQNR {item.worst_db:.1f} dB at worst, where rounding "
        f"stays within half a step.",
        f"Export the {role} of `{label}` again from this float model; look at what rewrote it in "
        "between (equalization, folding, a hand-made edit, a stale file).",
    )


def _many_mismatches(context: CheckContext, items: Sequence[WeightDifference]) -> Finding:
    worst = sorted(items, key=lambda item: item.worst_db)
    nodes = {item.pair.node for item in items}
    label = context.float_graph.nodes[worst[0].pair.node].label
    return _mismatch_finding(
        context,
        worst,
        f"{len(nodes)} layers have a weight or bias that is not the float model's",
        f"Worst in {label}: {_which(worst[0])} of its {worst[0].pair.role} "
        f"({worst[0].pair.quant_tensor}) are {worst[0].detail}, SQNR {worst[0].worst_db:.1f} dB; "
        "rounding stays within half a step.",
        "Quantize this float model again, or compare with the one that was quantized: so many "
        "layers at once point to a step in between that rewrites weights (equalization, folding, "
        "fine-tuning).",
    )


def _mismatch_finding(
    context: CheckContext,
    items: Sequence[WeightDifference],
    title: str,
    seen: str,
    advice: str,
) -> Finding:
    cure = Change(weights=frozenset(item.pair.node for item in items))
    gain = gain_of(context, cure)
    finding = WEIGHT_MISMATCH.found(
        structural_status(context, gain),
        title,
        seen,
        advice,
        layers=dict.fromkeys(item.layer for item in items if item.layer is not None),
        evidence=[
            *gain_evidence(context, gain),
            _difference_table(context, items),
            _bars(items[0]),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )
    return context.cured_by(finding, cure)


def _which(item: WeightDifference) -> str:
    count = len(item.channels)
    if count == item.total:
        return f"all {item.total} channels"
    return f"channel{'s' if count > 1 else ''} {name_channels(item.channels)} of {item.total}"


def _difference_table(context: CheckContext, items: Sequence[WeightDifference]) -> Evidence:
    rows = [
        [
            context.float_graph.nodes[item.pair.node].label,
            item.pair.role,
            name_channels(item.channels),
            item.detail,
            round(max(item.worst_db, -100.0), 1),
        ]
        for item in items[:30]
    ]
    columns = ["layer", "of it", "channels", "in the quant model", "worst channel's SQNR, dB"]
    return Evidence("table", "What differs", {"columns": columns, "rows": rows})


def _bars(item: WeightDifference) -> Evidence:
    f, q = weight_rows(item.pair)
    db = np.clip(np.nan_to_num(rows_db(f, q), posinf=100.0, neginf=-20.0), -20.0, 100.0)
    shown = np.argsort(db, kind="stable")[:32]
    data = {
        "labels": [f"channel {index}" for index in shown],
        "values": [round(float(db[index]), 1) for index in shown],
        "unit": "dB",
    }
    return Evidence("bars", f"SQNR of the {item.pair.role}, worst channels first", data)


def differences(context: CheckContext) -> list[WeightDifference]:
    """Weights and biases that differ beyond rounding, in execution order."""
    layers = context.once(layers_of_nodes)
    found = []
    for pair in context.pairing.weights:
        if len(channels_at_limit(context, pair)):
            continue
        difference = _difference(context, pair, layers.get(pair.node))
        if difference is not None:
            found.append(difference)
    return found


def _difference(
    context: CheckContext, pair: WeightPair, layer: int | None
) -> WeightDifference | None:
    f, q = weight_rows(pair)
    if f.shape != q.shape:
        return None
    steps = weight_steps(pair, len(f))
    if is_in_codes(context, pair):
        if pair.role == "bias" and q.any():
            return None  # its scale is a product that is not stored with it
        factor = float((f * q).sum() / (q**2).sum()) if q.any() else 0.0
        q, steps = q * factor, np.full((len(f), 1), abs(factor))
    db = rows_db(f, q)
    error = np.abs(q - f).max(axis=1, keepdims=True)
    beyond = error > np.maximum(STEPS * steps, NEGLIGIBLE * np.abs(f).max())
    wrong = (db < FOREIGN_DB) & beyond[:, 0]
    if pair.role == "bias":
        wrong &= np.abs(q - f)[:, 0] > _visible(context, layer, f)
    if not wrong.any():
        return None
    channels = tuple(np.flatnonzero(wrong).tolist())
    kind, detail = _name_difference(f, q, wrong)
    return WeightDifference(pair, layer, channels, kind, detail, float(db[wrong].min()), len(f))


def is_in_codes(context: CheckContext, pair: WeightPair) -> bool:
    """Whether the quant value is integer codes whose scale is not known."""
    codes = context.quant_graph.constant(pair.quant_tensor)
    # A quantizer without a range holds only the zero point: the scale is applied elsewhere.
    unscaled = pair.quantizer is None or pair.quantizer.high == pair.quantizer.low
    return unscaled and codes is not None and codes.dtype.kind in "iu"


def _visible(context: CheckContext, layer: int | None, bias: Array) -> float:
    """Size from which an error of a bias is seen: a step of the output, or a part of the bias."""
    own = _VISIBLE_SHARE * float(np.abs(bias).max(initial=0.0))
    limits = context.layer(layer).range if layer is not None else None
    return max(own, limits.step if limits is not None else 0.0)


def _name_difference(
    f: Array, q: Array, wrong: Array
) -> tuple[Literal["zeroed", "rolled", "rescaled", "different"], str]:
    if not q[wrong].any():
        return "zeroed", "zero"
    share = float(wrong.mean())
    if share > _MOST and len(f) > 3:
        shifts = [s for s in range(1, len(f)) if _is_like(np.roll(f, s, axis=0), q)]
        if shifts:
            shift = shifts[0] if shifts[0] <= len(f) // 2 else shifts[0] - len(f)
            return "rolled", f"rolled by {shift} output channel{'s' if abs(shift) != 1 else ''}"
    if f.shape[1] > 1 and float(np.nanmin(row_cosines(f[wrong], q[wrong]))) > _ALIKE:
        gains = (f[wrong] * q[wrong]).sum(axis=1) / (f[wrong] ** 2).sum(axis=1)
        return "rescaled", f"rescaled by {np.median(gains):.3g}"
    return "different", "different beyond rounding"


def _is_like(f: Array, q: Array) -> bool:
    """Whether the rows agree up to a factor each: a rolled weight may keep its scales in place."""
    cosines = row_cosines(f, q)
    return bool(np.nanmean(cosines) > _ALIKE) if not np.isnan(cosines).all() else False


WEIGHT_MISMATCH = Check(KINDS["weight-mismatch"], _weight_mismatch, unless_other_model)
