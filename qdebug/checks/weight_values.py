"""The float model's weights against the quant model's, dequantized.

A BatchNormalization folded on one side only is allowed for by the pairing. Rounding leaves at most
half a step; what is beyond that and large against the channel itself is no rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.checks.check import CheckContext
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import rows_db, tensor_db

Array = npt.NDArray[Any]

POOR_DB = 10.0
"""A channel of its weight below this is not the float model's."""
STEPS = 2.0
"""Rounding and its variants stay within so many steps."""
FOREIGN_COSINE = 0.5
"""Weights of another training run hardly correlate, channel by channel."""
NEGLIGIBLE = 1e-4
"""An error below this share of the weight's largest value has no effect, whatever its channel."""
SMALL = 32
"""A weight of fewer values says nothing about where it comes from."""
BIAS_LIMIT = 2**31 - 256
"""int32 codes from here on are at their limit; exporters stop a little before it."""


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


def weight_rows(pair: WeightPair) -> tuple[Array, Array]:
    """Both values as float64 ``[channels, values]``, the folded factor applied."""
    f = np.asarray(pair.float_value, np.float64)
    q = np.asarray(pair.quant_value, np.float64)
    if f.size != q.size:
        size = max(f.size, q.size)
        f, q = (np.broadcast_to(v.reshape(-1), (size,)) if v.size == 1 else v for v in (f, q))
    if pair.role == "bias":
        return f.reshape(-1, 1), q.reshape(-1, 1)
    f, q = (
        np.moveaxis(v, pair.channel_axis, 0).reshape(v.shape[pair.channel_axis], -1) for v in (f, q)
    )
    if pair.folded is not None:
        f = f * np.asarray(pair.folded, np.float64).reshape(-1, 1)
    return f, q


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
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines: Array = (f * q).sum(axis=1) / np.sqrt((f**2).sum(axis=1) * (q**2).sum(axis=1))
    return cosines


def differences(context: CheckContext) -> list[WeightDifference]:
    """Weights and biases that differ beyond rounding, in execution order."""
    layers = context.once(layers_of_nodes)
    found = []
    for pair in context.pairing.weights:
        if is_clipped(context, pair):
            continue
        difference = _difference(context, pair, layers.get(pair.node))
        if difference is not None:
            found.append(difference)
    return found


def layers_of_nodes(context: CheckContext) -> dict[int, int]:
    """Float node index to the layer that stands for its result, activation included."""
    found: dict[int, int] = {}
    known = {layer.float_tensor: layer.index for layer in context.layers}
    for pair in context.pairing.weights:
        tensor = context.float_graph.nodes[pair.node].outputs[0]
        for _ in range(4):
            if tensor in known:
                found[pair.node] = known[tensor]
                break
            users = context.float_graph.consumer_nodes(tensor)
            if len(users) != 1:
                break
            tensor = users[0].outputs[0]
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
    wrong = (db < POOR_DB) & beyond[:, 0]
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
    own = 0.1 * float(np.abs(bias).max(initial=0.0))
    limits = context.stats[layer].range if layer is not None else None
    return max(own, limits.step if limits is not None else 0.0)


def _name_difference(
    f: Array, q: Array, wrong: Array
) -> tuple[Literal["zeroed", "rolled", "rescaled", "different"], str]:
    if not q[wrong].any():
        return "zeroed", "zero"
    share = float(wrong.mean())
    if share > 0.5 and len(f) > 3:
        shifts = [s for s in range(1, len(f)) if _is_like(np.roll(f, s, axis=0), q)]
        if shifts:
            shift = shifts[0] if shifts[0] <= len(f) // 2 else shifts[0] - len(f)
            return "rolled", f"rolled by {shift} output channel{'s' if abs(shift) != 1 else ''}"
    if f.shape[1] > 1 and float(np.nanmin(row_cosines(f[wrong], q[wrong]))) > 0.95:
        gains = (f[wrong] * q[wrong]).sum(axis=1) / (f[wrong] ** 2).sum(axis=1)
        return "rescaled", f"rescaled by {np.median(gains):.3g}"
    return "different", "different beyond rounding"


def _is_like(f: Array, q: Array) -> bool:
    """Whether the rows agree up to a factor each: a rolled weight may keep its scales in place."""
    cosines = row_cosines(f, q)
    return bool(np.nanmean(cosines) > 0.95) if not np.isnan(cosines).all() else False


def foreign_layers(context: CheckContext) -> tuple[list[WeightPair], int]:
    """Weights that do not correlate with the float model's, and how many were compared."""
    foreign, compared = [], 0
    for pair in context.pairing.weights:
        if pair.role != "weight":
            continue
        f, q = weight_rows(pair)
        if f.shape != q.shape or f.size < SMALL or f.shape[1] < 4:
            continue
        cosines = row_cosines(f, q)
        if np.isnan(cosines).all():
            continue
        compared += 1
        if float(np.nanmean(cosines)) < FOREIGN_COSINE:
            foreign.append(pair)
    return foreign, compared


def bias_codes(context: CheckContext, pair: WeightPair) -> Array | None:
    """The int32 codes of a bias; None for what is none."""
    if pair.role != "bias":
        return None
    codes = context.quant_graph.constant(pair.quant_tensor)
    return codes.reshape(-1) if codes is not None and codes.dtype == np.int32 else None


def is_clipped(context: CheckContext, pair: WeightPair) -> bool:
    """Whether a code of an int32 bias is at its limit."""
    codes = bias_codes(context, pair)
    return codes is not None and bool((np.abs(codes.astype(np.int64)) >= BIAS_LIMIT).any())


def weight_outliers(context: CheckContext) -> list[tuple[WeightPair, Sequence[int], float]]:
    """Per-tensor weights in which few channels set the scale of all.

    Returns:
        The weight, these channels, and the SQNR of the others in dB.
    """
    found = []
    for pair in context.pairing.weights:
        quantizer = pair.quantizer
        if pair.role != "weight" or quantizer is None or quantizer.scale.size != 1:
            continue
        f, q = weight_rows(pair)
        if f.shape != q.shape or len(f) < 4:
            continue
        peaks = np.abs(f).max(axis=1)
        loud = np.flatnonzero(peaks > 8 * np.median(peaks))
        rest = np.setdiff1d(np.arange(len(f)), loud)
        if 0 < len(loud) <= len(f) // 4:
            db = tensor_db(f[rest], q[rest])
            if db < 2 * POOR_DB:
                found.append((pair, loud.tolist(), db))
    return found
