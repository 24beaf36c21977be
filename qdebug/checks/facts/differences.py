"""Weights and biases that differ from the float model's beyond rounding.

Rounding leaves at most half a step; what is beyond that and large against the channel itself is no
rounding. A BatchNormalization folded on one side only is allowed for by the pairing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.checks.context import CheckContext
from qdebug.checks.facts.biases import wrongly_scaled_biases
from qdebug.checks.facts.qdq import SAME, misread_factors
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.weights import (
    ALIKE,
    NEGLIGIBLE,
    STEPS,
    channels_at_limit,
    row_cosines,
    weight_rows,
    weight_steps,
)
from qdebug.graph.marks import corrected_biases
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import rows_db

Array = npt.NDArray[Any]

FOREIGN_DB = 10.0
"""SQNR below which a channel is not the float model's. By judgement."""
_VISIBLE_SHARE = 0.1
"""An error of a bias below this share of its largest value is not seen. By judgement."""
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


def differences(context: CheckContext) -> list[WeightDifference]:
    """Weights and biases that differ beyond rounding, in execution order.

    Without shared biases in another layer's scale, which have a cause of their own, and without
    those that are off as the codes beside them are misread: their scale is a product with theirs.
    """
    layers = context.once(layers_of_nodes)
    on_purpose = corrected_biases(context.quant_graph.metadata)
    wrongly_scaled = context.once(wrongly_scaled_biases)
    found = []
    for pair in context.pairing.weights:
        is_shared = pair.role == "bias" and pair.node in wrongly_scaled
        if pair.quant_tensor in on_purpose or is_shared or _is_misread_alike(context, pair):
            continue
        if len(channels_at_limit(context, pair)):
            continue
        difference = _difference(context, pair, layers.get(pair.node))
        if difference is not None:
            found.append(difference)
    return found


def _is_misread_alike(context: CheckContext, pair: WeightPair) -> bool:
    """Whether a bias is off by a factor by which Q and DQ of some tensor disagree."""
    factors = context.once(misread_factors)
    if not factors or pair.role != "bias" or not is_comparable(context, pair):
        return False
    f, q = weight_rows(pair)
    power = float((f**2).sum())
    factor = float((f * q).sum()) / power if power > 0 else 0.0
    rest = np.abs(q - factor * f)
    is_factor = bool((rest <= STEPS * weight_steps(pair, len(f))).all())
    return is_factor and any(abs(factor - known) <= SAME * known for known in factors)


def _difference(
    context: CheckContext, pair: WeightPair, layer: int | None
) -> WeightDifference | None:
    if not is_comparable(context, pair):
        return None
    f, q = weight_rows(pair)
    readings = [(q, weight_steps(pair, len(f)))]
    if is_in_codes(context, pair):
        readings = [_scaled_to(f, q, axis=None), _scaled_to(f, q, axis=1)]
    for q, steps in readings:
        wrong = _beyond_rounding(f, q, steps)
        if pair.role == "bias":
            wrong &= np.abs(q - f)[:, 0] > _visible(context, layer, f)
        if not wrong.any():
            return None
    channels = tuple(np.flatnonzero(wrong).tolist())
    kind, detail = _name_difference(f, q, wrong)
    worst = float(rows_db(f, q)[wrong].min())
    return WeightDifference(pair, layer, channels, kind, detail, worst, len(f))


def _beyond_rounding(f: Array, q: Array, steps: Array) -> Array:
    difference = q - f
    error = np.maximum(difference.max(axis=1), -difference.min(axis=1))
    limit = np.maximum(STEPS * steps[:, 0], NEGLIGIBLE * max(f.max(), -f.min()))
    del difference  # as large as the weight; the next line makes it again
    wrong: Array = (rows_db(f, q) < FOREIGN_DB) & (error > limit)
    return wrong


def _scaled_to(f: Array, codes: Array, axis: int | None) -> tuple[Array, Array]:
    """Codes of an unknown scale as values, and the steps, by least squares.

    Dynamic quantization applies the scale behind the product: one for all channels (``axis`` None),
    or one for each (1), and then a zero point of each as well.
    """
    x, y = codes, f
    if axis is not None:
        x, y = (v - v.mean(axis=axis, keepdims=True) for v in (codes, f))
    power = (x**2).sum(axis=axis, keepdims=True)
    dot = (y * x).sum(axis=axis, keepdims=True)
    factor = np.divide(dot, power, out=np.zeros_like(dot), where=power > 0)
    steps = np.broadcast_to(np.abs(factor), (len(f), 1))
    return x * factor + (f - y), steps


def is_comparable(context: CheckContext, pair: WeightPair) -> bool:
    """Whether the values can be held against each other."""
    f, q = weight_rows(pair)
    if f.shape != q.shape:
        return False
    # the scale of a bias in codes is a product that is not stored with it
    return not (pair.role == "bias" and q.any() and is_in_codes(context, pair))


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
    if f.shape[1] > 1 and float(np.nanmin(row_cosines(f[wrong], q[wrong]))) > ALIKE:
        gains = (f[wrong] * q[wrong]).sum(axis=1) / (f[wrong] ** 2).sum(axis=1)
        return "rescaled", f"rescaled by {np.median(gains):.3g}"
    return "different", "different beyond rounding"


def _is_like(f: Array, q: Array) -> bool:
    """Whether the rows agree up to a factor each: a rolled weight may keep its scales in place."""
    cosines = row_cosines(f, q)
    return bool(np.nanmean(cosines) > ALIKE) if not np.isnan(cosines).all() else False
