"""The float model's weights and the quant model's, dequantized, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.checks.context import CheckContext
from qdebug.graph.pairs import WeightPair

Array = npt.NDArray[Any]

NEGLIGIBLE = 1e-4
"""An error below this share of the weight's largest value has no effect, whatever its channel: it
is 2 % of the step of 8 bits. By judgement."""
STEPS = 2.0
"""Rounding stays within half a step, AdaRound (Nagel et al. 2020) within one; as much again is left
to scales that were rounded too."""
FOREIGN_COSINE = 0.5
"""Mean cosine of the channels below which a weight comes from another training run. By judgement:
those hardly correlate, and 8 bits keep a cosine above 0.99."""
FOREIGN_SHARE = 0.5
"""Share of foreign weights that makes the model another one. By judgement: a fault touches single
layers."""
ALIKE = 0.95
"""Cosine from which two channels are the same up to a factor: 8 bits keep more than 0.99, other
channels of a trained network have far less. By judgement."""
FEWEST_VALUES = 32
"""A weight of fewer values may correlate, or not, by chance. By judgement."""
_LOOKED_UP = 64
"""Channels, evenly spread, that are looked for among all of the float model's: bounds the cost."""
BIAS_LIMIT = 2**31 - 256
"""int32 codes from here on are at their limit: exporters saturate in float32, where the numbers
below 2^31 lie 128 apart."""


def weight_rows(pair: WeightPair) -> tuple[Array, Array]:
    """Both values as float64 ``[channels, values]``, what one side folded away applied."""
    f = np.asarray(pair.reference, np.float64)
    q = np.asarray(pair.quant_value, np.float64)
    if f.size != q.size:
        size = max(f.size, q.size)
        f, q = (np.broadcast_to(v.reshape(-1), (size,)) if v.size == 1 else v for v in (f, q))
    if pair.role == "bias":
        return f.reshape(-1, 1), q.reshape(-1, 1)
    return _rows(f, pair.channel_axis), _rows(q, pair.channel_axis)


def _rows(value: Array, axis: int) -> Array:
    first = np.moveaxis(value, axis, 0) if axis else value
    return first.reshape(value.shape[axis], -1)


def weight_steps(pair: WeightPair, rows: int) -> Array:
    """Quantization step of every channel, zero where it is not quantized."""
    if pair.quantizer is None or pair.quantizer.block_size:
        return np.zeros((rows, 1))
    scale = pair.quantizer.scale.astype(np.float64).reshape(-1)
    if len(scale) == rows:
        return scale.reshape(-1, 1)
    return np.full((rows, 1), float(scale.max()))


def row_cosines(f: Array, q: Array) -> Array:
    """Cosine of each row; NaN where one is zero."""
    products, ff, qq = (np.einsum("ij,ij->i", a, b) for a, b in ((f, q), (f, f), (q, q)))
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines: Array = products / np.sqrt(ff * qq)
    return cosines


def channels_at_limit(context: CheckContext, pair: WeightPair) -> Array:
    """Channels of an int32 bias whose code is at its limit; empty for any other constant."""
    codes = context.quant_graph.constant(pair.quant_tensor) if pair.role == "bias" else None
    if codes is None or codes.dtype != np.int32:
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.abs(codes.reshape(-1).astype(np.int64)) >= BIAS_LIMIT)


def foreign_weights(context: CheckContext) -> tuple[list[WeightPair], int]:
    """Weights that do not correlate with the float model's, and how many were compared."""
    foreign, compared = [], 0
    for pair in context.pairing.weights:
        if pair.role != "weight":
            continue
        f, q = weight_rows(pair)
        if f.shape != q.shape or f.size < FEWEST_VALUES or f.shape[1] < 4:
            continue
        cosines = row_cosines(f, q)
        if np.isnan(cosines).all():
            continue
        compared += 1
        if float(np.nanmean(cosines)) < FOREIGN_COSINE and not _is_in_another_order(f, q):
            foreign.append(pair)
    return foreign, compared


def _is_in_another_order(f: Array, q: Array) -> bool:
    """Whether the channels are the float model's at other places: a fault, and no other model."""
    lengths = [np.linalg.norm(rows, axis=1) for rows in (f, q)]
    rows = [v[n > 0] / n[n > 0, None] for v, n in zip((f, q), lengths, strict=True)]
    if not all(map(len, rows)):
        return False
    some = rows[1][:: max(1, len(rows[1]) // _LOOKED_UP)]
    return float((some @ rows[0].T).max(axis=1).mean()) > ALIKE


def is_other_model(context: CheckContext) -> bool:
    """Whether the quant model's weights come from another float model."""
    foreign, compared = context.once(foreign_weights)
    return compared > 1 and len(foreign) >= FOREIGN_SHARE * compared


def unless_other_model(context: CheckContext) -> str | None:
    """Why single weights cannot be judged, None where they can."""
    if not context.pairing.weights:
        return "no weights were paired"
    if is_other_model(context):
        return "the quant model was made from another float model"
    return None
