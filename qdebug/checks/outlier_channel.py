"""``outlier-channel``: one or few channels set the range of all the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qdebug.analysis.what_if import Change, Gain
from qdebug.checks.check import Check
from qdebug.checks.context import CheckContext, JoinedLayer
from qdebug.checks.facts.effect import (
    free,
    gain_of,
    gains_of,
    is_bad,
    is_doubtful,
    rounded,
    status_of,
)
from qdebug.checks.facts.evidence import float_layers, gain_evidence, name_channels
from qdebug.checks.facts.reach import layers_of_nodes
from qdebug.checks.facts.weights import weight_rows
from qdebug.graph.pairs import WeightPair
from qdebug.metrics.sqnr import level_db, tensor_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vendors.advice import keep_in_float, weights_per_channel

Array = npt.NDArray[Any]

OUTLIER_TIMES = 8.0
"""An outlier is so many times the median channel: the others lose three of their eight bits. By
judgement."""
_EXCEPTIONS = 4
"""Outliers are at most one channel of so many: more of them are no exception. By judgement: at two
the sample `detector-naive` gets a remark."""
HARMED_DB = 18.0
"""SQNR, predicted from the step, below which the other channels are harmed. By judgement."""
HARMED_WEIGHT_DB = 20.0
"""The same for the other channels of a weight, measured. By judgement."""
WORTH_DB = 1.0
"""Weights and tensor together are told if they win so much more than one alone. By judgement."""
TOGETHER = (
    " The layer's weights and its tensor have to be mended together: both in float win {db:.1f} dB."
)
TRIED_OUTLIERS = 4
"""Layers whose gain is computed: it bounds what the check costs."""


@dataclass(frozen=True)
class Outlier:
    """A tensor whose range few of its channels set.

    Attributes:
        at: position of its pair.
        channels: the outliers.
        peak: their largest magnitude.
        median: median of the channels' largest magnitudes.
        rest_db: SQNR that the step leaves of the other channels, dB.
        step: quantization step.
    """

    at: int
    channels: tuple[int, ...]
    peak: float
    median: float
    rest_db: float
    step: float


def find_outliers(context: CheckContext) -> list[Outlier]:
    """Tensors with outlier channels, the most harmed first."""
    found = []
    for layer in context.joined:
        limits = layer.range
        if limits is None or limits.step <= 0:
            continue
        outlier = _outlier(layer, limits.step)
        if outlier is not None:
            found.append(outlier)
    return sorted(found, key=lambda item: item.rest_db)


def _outlier(layer: JoinedLayer, step: float) -> Outlier | None:
    moments, peaks = layer.moments, layer.channel_peaks
    if moments is None or len(moments) < _EXCEPTIONS:
        return None
    median = float(np.median(peaks))
    loud = np.flatnonzero(peaks > OUTLIER_TIMES * median)
    if median == 0 or not 0 < len(loud) <= len(peaks) // _EXCEPTIONS:
        return None
    rest = np.setdiff1d(np.arange(len(peaks)), loud)
    power = float(moments.ff[rest].sum() / max(moments.n[rest].sum(), 1))
    if power == 0:
        return None

    def rest_db(step: float) -> float:
        return level_db(power, min(step * step / 12, power))

    if rest_db(step * _filled(layer)) >= HARMED_DB:
        return None  # the range is wider than any channel needs: none of them sets it
    return Outlier(layer.at, tuple(loud.tolist()), float(peaks.max()), median, rest_db(step), step)


def _filled(layer: JoinedLayer) -> float:
    """How much of its range a tensor's values reach, 0..1, on the side where they reach more."""
    moments, limits = layer.moments, layer.range
    if moments is None or limits is None:
        return 1.0
    ends = (float(moments.min_f.min()), limits.low), (float(moments.max_f.max()), limits.high)
    reached = (value / end for value, end in ends if value * end > 0)
    return min(1.0, max(reached, default=1.0))


def _run(context: CheckContext) -> Iterator[Finding]:
    if not is_doubtful(context):
        return
    yield from _in_weights(context)
    tried = find_outliers(context)[:TRIED_OUTLIERS]
    for item, (cure, gain) in zip(tried, _cures(context, tried), strict=True):
        status = status_of(context, gain)
        if status == "info":
            continue
        layer = context.layer(item.at)
        which = name_channels(item.channels)
        others = len(layer.channel_peaks) - len(item.channels)
        both = TOGETHER.format(db=gain.db) if cure.weights and gain is not None else ""
        finding = CHECK.found(
            status,
            f"{layer.name}: channel {which} reaches {item.peak:.3g}, the others {item.median:.3g}",
            f"One scale serves all channels: a step of {item.step:.3g} is set by channel {which} "
            f"and leaves {item.rest_db:.1f} dB of the other {others} "
            f"channels. Layers after it only show the damage.{both}",
            f"Equalize `{layer.name}` with the layer after it (divide these channels of its weight "
            "and bias, multiply the matching inputs of the next), or give this tensor 16 bits, or "
            "keep it in float.",
            layers=[item.at],
            evidence=[
                _channel_bars(layer),
                *gain_evidence(context, gain),
                *keep_in_float(float_layers(context, [item.at]), context.vendor),
            ],
            gain_db=rounded(gain),
            confidence="high",
        )
        yield context.cured_by(finding, cure)


def _cures(context: CheckContext, outliers: Sequence[Outlier]) -> list[tuple[Change, Gain | None]]:
    """What wins most for each: its tensor in float, or its tensor and its layer's weights.

    A channel that is loud in the weights is loud in the tensor: with one of the two mended the
    other still spoils the layer, and each alone may win nothing.
    """
    alone = [free(context, [item.at]) for item in outliers]
    both = [free(context, [item.at], weights=True) for item in outliers]
    gains = gains_of(context, [*alone, *both], matters=partial(is_bad, context))
    found = []
    for i, change in enumerate(alone):
        one, two = gains[i], gains[len(alone) + i]
        if (one is None) != (two is None):
            one, two = one or gain_of(context, change), two or gain_of(context, both[i])
        together = two is not None and (one is None or two.db >= one.db + WORTH_DB)
        found.append((both[i], two) if together else (change, one))
    return found


def _channel_bars(layer: JoinedLayer) -> Evidence:
    peaks = layer.channel_peaks
    order = np.argsort(-peaks, kind="stable")[:24]
    data = {
        "labels": [f"channel {index}" for index in order],
        "values": [float(f"{peaks[index]:.4g}") for index in order],
        "unit": "",
    }
    return Evidence("bars", "Largest magnitude of the channels", data)


def _in_weights(context: CheckContext) -> Iterator[Finding]:
    found = weight_outliers(context)
    if not found:
        return
    layers = context.once(layers_of_nodes)
    touched = [layers[pair.node] for pair, _, _ in found if pair.node in layers]
    weights = Change(weights=frozenset(pair.node for pair, _, _ in found))
    cure, gain = weights, gain_of(context, weights)
    both = free(context, touched).on_top_of(weights)
    together = gain_of(context, both) if both.free else None
    is_both = together is not None and (gain is None or together.db >= gain.db + WORTH_DB)
    if is_both:
        cure, gain = both, together
    status = status_of(context, gain)
    if status == "info":
        return
    graph = context.float_graph
    rows = [
        [graph.nodes[pair.node].label, name_channels(loud), round(db, 1)]
        for pair, loud, db in found
    ]
    columns = ["layer", "channels that set the scale", "SQNR of the others, dB"]
    more = TOGETHER.format(db=gain.db) if is_both and gain is not None else ""
    finding = CHECK.found(
        status,
        f"{len(found)} layers have one weight scale where every channel needs its own",
        f"In {rows[0][0]} channel {rows[0][1]} sets the scale; the others keep {rows[0][2]} dB."
        f"{more}",
        "Quantize weights per channel (`per_channel=True` in ONNX Runtime), or equalize.",
        layers=touched,
        evidence=[
            Evidence("table", "Weights with outlier channels", {"columns": columns, "rows": rows}),
            *gain_evidence(context, gain),
            *weights_per_channel(context.vendor),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )
    yield context.cured_by(finding, cure)


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
        if f.shape != q.shape or len(f) < _EXCEPTIONS:
            continue
        peaks = np.abs(f).max(axis=1)
        loud = np.flatnonzero(peaks > OUTLIER_TIMES * np.median(peaks))
        rest = np.setdiff1d(np.arange(len(f)), loud)
        if 0 < len(loud) <= len(f) // _EXCEPTIONS:
            db = tensor_db(f[rest], q[rest])
            if db < HARMED_WEIGHT_DB:
                found.append((pair, loud.tolist(), db))
    return found


CHECK = Check(KINDS["outlier-channel"], _run)
