"""``weight-mismatch``, ``bias-clipped``, ``dead-channel``, and ``wrong-model``.

The float model's weights against the quant model's, dequantized. A BatchNormalization folded on
one side only is allowed for by the pairing. Rounding leaves at most half a step; what is beyond
that and large against the channel itself is no rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if import Change, Gain
from qdebug.checks.check import Check, CheckContext
from qdebug.checks.effect import gain_evidence, gain_of, name_channels, rounded, structural_status
from qdebug.graph.pairs import WeightPair
from qdebug.run.model import Evidence, Finding

Array = npt.NDArray[Any]

POOR_DB = 10.0
"""A channel of its weight below this is not the float model's."""
STEPS = 2.0
"""Rounding and its variants stay within so many steps."""
FOREIGN_COSINE = 0.5
"""Weights of another training run hardly correlate, channel by channel."""
FOREIGN_SHARE = 0.5
"""So many layers with foreign weights make the model another one."""
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


def _rows(pair: WeightPair) -> tuple[Array, Array]:
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


def _steps(pair: WeightPair, rows: int) -> Array:
    """Quantization step of every channel, zero where it is not quantized."""
    if pair.quantizer is None or pair.quantizer.block_size:
        return np.zeros((rows, 1))
    scale = pair.quantizer.scale.astype(np.float64).reshape(-1)
    if len(scale) == rows:
        return scale.reshape(-1, 1)
    return np.full((rows, 1), float(scale.max()))


def channel_db(f: Array, q: Array) -> Array:
    """SQNR of each row, dB."""
    with np.errstate(divide="ignore", invalid="ignore"):
        db = 10 * np.log10((f**2).sum(axis=1) / ((q - f) ** 2).sum(axis=1))
    return np.where((f == q).all(axis=1), np.inf, db)


def row_cosines(f: Array, q: Array) -> Array:
    """Cosine of each row; NaN where one is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        cosines: Array = (f * q).sum(axis=1) / np.sqrt((f**2).sum(axis=1) * (q**2).sum(axis=1))
    return cosines


def differences(context: CheckContext) -> list[WeightDifference]:
    """Weights and biases that differ beyond rounding, in execution order."""
    layers = layers_of_nodes(context)
    found = []
    for pair in context.pairing.weights:
        if _is_clipped(context, pair):
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
    f, q = _rows(pair)
    if f.shape != q.shape:
        return None
    steps = _steps(pair, len(f))
    if is_in_codes(context, pair):
        if pair.role == "bias" and q.any():
            return None  # its scale is a product that is not stored with it
        factor = float((f * q).sum() / (q**2).sum()) if q.any() else 0.0
        q, steps = q * factor, np.full((len(f), 1), abs(factor))
    db = channel_db(f, q)
    beyond = np.abs(q - f).max(axis=1, keepdims=True) > STEPS * steps
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


def _db_all(f: Array, q: Array) -> float:
    error = float(((q - f) ** 2).sum())
    return np.inf if error == 0 else 10 * float(np.log10(max((f**2).sum(), 1e-300) / error))


def _weight_mismatch(context: CheckContext) -> Iterator[Finding]:
    for difference in differences(context):
        change = Change(weights=frozenset({difference.pair.node}))
        gain = gain_of(context, change)
        yield _mismatch_finding(context, difference, gain)


def _mismatch_finding(context: CheckContext, item: WeightDifference, gain: Gain | None) -> Finding:
    node = context.float_graph.nodes[item.pair.node]
    count = len(item.channels)
    which = (
        f"all {item.total} channels"
        if count == item.total
        else (f"channel{'s' if count > 1 else ''} {name_channels(item.channels)} of {item.total}")
    )
    title = f"{node.label}: the {item.pair.role} is not the float model's ({item.detail})"
    seen = (
        f"In {which} the dequantized {item.pair.role} ({item.pair.quant_tensor}) is {item.detail} "
        f"against {item.pair.float_tensor}: SQNR {item.worst_db:.1f} dB at worst, where rounding "
        f"stays within half a step."
    )
    advice = (
        f"Export the {item.pair.role} of `{node.label}` again from this float model; look at what "
        f"rewrote it in between (equalization, folding, a hand-made edit, a stale file)."
    )
    return WEIGHT_MISMATCH.found(
        structural_status(gain),
        title,
        seen,
        advice,
        layers=[] if item.layer is None else [item.layer],
        evidence=[*gain_evidence(context, gain), _bars(item)],
        gain_db=rounded(gain),
        confidence="high",
    )


def _bars(item: WeightDifference) -> Evidence:
    f, q = _rows(item.pair)
    db = np.clip(np.nan_to_num(channel_db(f, q), posinf=100.0, neginf=-20.0), -20.0, 100.0)
    shown = np.argsort(db, kind="stable")[:32]
    data = {
        "labels": [f"channel {index}" for index in shown],
        "values": [round(float(db[index]), 1) for index in shown],
        "unit": "dB",
    }
    return Evidence("bars", f"SQNR of the {item.pair.role}, worst channels first", data)


def foreign_layers(context: CheckContext) -> tuple[list[WeightPair], int]:
    """Weights that do not correlate with the float model's, and how many were compared."""
    foreign, compared = [], 0
    for pair in context.pairing.weights:
        if pair.role != "weight":
            continue
        f, q = _rows(pair)
        if f.shape != q.shape or f.size < SMALL or f.shape[1] < 4:
            continue
        cosines = row_cosines(f, q)
        if np.isnan(cosines).all():
            continue
        compared += 1
        if float(np.nanmean(cosines)) < FOREIGN_COSINE:
            foreign.append(pair)
    return foreign, compared


def is_other_model(context: CheckContext) -> bool:
    """Whether the quant model's weights come from another float model."""
    foreign, compared = foreign_layers(context)
    return compared > 1 and len(foreign) >= FOREIGN_SHARE * compared


def _wrong_model(context: CheckContext) -> Iterator[Finding]:
    foreign, compared = foreign_layers(context)
    if compared < 2 or len(foreign) < FOREIGN_SHARE * compared:
        return
    layers = layers_of_nodes(context)
    rows = []
    for pair in foreign[:20]:
        f, q = _rows(pair)
        node = context.float_graph.nodes[pair.node]
        rows.append([node.label, round(float(np.nanmean(row_cosines(f, q))), 4)])
    table = {"columns": ["layer", "mean cosine of the channels"], "rows": rows}
    yield WRONG_MODEL.found(
        "fail",
        "the quant model was not made from this float model",
        f"In {len(foreign)} of {compared} layers the dequantized weights do not correlate with the "
        f"float model's; rounding to 8 bits keeps a cosine above 0.99.",
        "Compare with the float model that was quantized, or quantize this one again: check the "
        "file names, the training run and the date of both.",
        layers=[layers[pair.node] for pair in foreign if pair.node in layers],
        evidence=[Evidence("table", "Weights of the two models", table)],
        confidence="high",
    )


def _unless_other(context: CheckContext) -> str | None:
    if not context.pairing.weights:
        return "no weights were paired"
    if is_other_model(context):
        return "the quant model was made from another float model"
    return None


def _bias_codes(context: CheckContext, pair: WeightPair) -> Array | None:
    if pair.role != "bias":
        return None
    codes = context.quant_graph.constant(pair.quant_tensor)
    return codes.reshape(-1) if codes is not None and codes.dtype == np.int32 else None


def _is_clipped(context: CheckContext, pair: WeightPair) -> bool:
    codes = _bias_codes(context, pair)
    return codes is not None and bool((np.abs(codes.astype(np.int64)) >= BIAS_LIMIT).any())


def _bias_clipped(context: CheckContext) -> Iterator[Finding]:
    layers = layers_of_nodes(context)
    for pair in context.pairing.weights:
        if not _is_clipped(context, pair):
            continue
        codes = _bias_codes(context, pair)
        f, q = _rows(pair)
        if codes is None or f.shape != q.shape:
            continue
        at_limit = np.flatnonzero(np.abs(codes.astype(np.int64)) >= BIAS_LIMIT)
        gain = gain_of(context, Change(weights=frozenset({pair.node})))
        first = int(at_limit[0])
        node = context.float_graph.nodes[pair.node]
        scale = float(_steps(pair, len(f))[first, 0])
        lost = float(np.abs(q - f).max())
        yield BIAS_CLIPPED.found(
            structural_status(gain) if lost > 0.01 * float(np.abs(f).max()) else "info",
            f"{node.label}: the int32 bias is at its limit in {len(at_limit)} of {len(f)} channels",
            f"With a bias scale of {scale:.3g} (input scale x weight scale) int32 reaches "
            f"{2**31 * scale:.3g}; channel {first} wants {f[first, 0]:.4g} and gets "
            f"{q[first, 0]:.4g}. The weights of these channels are nearly zero.",
            f"Give `{node.label}` per-channel weight scales with a floor (ONNX Runtime 1.22 and "
            "later adjusts them), or remove the near-zero channels, or keep the layer in float.",
            layers=[layers[pair.node]] if pair.node in layers else [],
            evidence=gain_evidence(context, gain),
            gain_db=rounded(gain),
            confidence="high",
        )


def _dead_channel(context: CheckContext) -> Iterator[Finding]:
    layers = layers_of_nodes(context)
    rows: list[list[str | int]] = []
    touched: list[int] = []
    for pair in context.pairing.weights:
        if pair.role != "weight":
            continue
        f, q = _rows(pair)
        if f.shape != q.shape:
            continue
        dead = np.flatnonzero(~f.any(axis=1))
        if len(dead):
            node = context.float_graph.nodes[pair.node]
            rows.append([node.label, name_channels(dead.tolist()), len(dead)])
            touched += [layers[pair.node]] if pair.node in layers else []
    if rows:
        count = sum(int(row[2]) for row in rows)
        table = {"columns": ["layer", "channels", "count"], "rows": rows}
        yield DEAD_CHANNEL.found(
            "info",
            f"{count} output channel{'s have' if count > 1 else ' has'} all-zero weights",
            "They compute nothing but their bias. Quantizers give them a scale of zero or of their "
            "own choice, which some toolchains turn into infinity.",
            "Prune them before quantization where the toolchain complains.",
            layers=touched,
            evidence=[Evidence("table", "Channels without weights", table)],
            confidence="high",
        )


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
        f, q = _rows(pair)
        if f.shape != q.shape or len(f) < 4:
            continue
        peaks = np.abs(f).max(axis=1)
        loud = np.flatnonzero(peaks > 8 * np.median(peaks))
        rest = np.setdiff1d(np.arange(len(f)), loud)
        if 0 < len(loud) <= len(f) // 4:
            db = _db_all(f[rest], q[rest])
            if db < 2 * POOR_DB:
                found.append((pair, loud.tolist(), db))
    return found


WRONG_MODEL = Check(
    "QD201",
    "wrong-model",
    "the quant model's weights are the float model's, rounded",
    _wrong_model,
    lambda context: None if context.pairing.weights else "no weights were paired",
)
WEIGHT_MISMATCH = Check(
    "QD401",
    "weight-mismatch",
    "every weight and bias is the float model's, up to rounding",
    _weight_mismatch,
    _unless_other,
)
BIAS_CLIPPED = Check(
    "QD402", "bias-clipped", "no int32 bias is at its limit", _bias_clipped, _unless_other
)
DEAD_CHANNEL = Check("QD404", "dead-channel", "no channel has all-zero weights", _dead_channel)
