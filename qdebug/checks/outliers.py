"""``outlier-channel``: one or few channels set the range of all the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdebug.analysis.what_if import Change
from qdebug.checks.check import Check, CheckContext
from qdebug.checks.effect import (
    float_layers,
    free,
    gain_evidence,
    gain_of,
    gains_of,
    is_doubtful,
    name_channels,
    rounded,
    status_of,
)
from qdebug.checks.weight_values import layers_of_nodes, weight_outliers
from qdebug.metrics.moments import Moments
from qdebug.metrics.sqnr import level_db
from qdebug.run.kinds import KINDS
from qdebug.run.model import Evidence, Finding
from qdebug.vendors.advice import keep_in_float, weights_per_channel

TIMES = 8.0
"""An outlier is so many times the median channel."""
POOR_DB = 18.0
"""The other channels are harmed if the step leaves them less than this."""
TRIED = 4


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
    for at, stats in enumerate(context.stats):
        moments, limits = stats.accumulated, stats.range
        if moments is None or limits is None or len(moments) < 4 or limits.step <= 0:
            continue
        outlier = _outlier(at, moments, limits.step)
        if outlier is not None:
            found.append(outlier)
    return sorted(found, key=lambda item: item.rest_db)


def _outlier(at: int, moments: Moments, step: float) -> Outlier | None:
    peaks = np.maximum(np.abs(moments.min_f), np.abs(moments.max_f))
    median = float(np.median(peaks))
    loud = np.flatnonzero(peaks > TIMES * median)
    if median == 0 or not 0 < len(loud) <= len(peaks) // 4:
        return None
    rest = np.setdiff1d(np.arange(len(peaks)), loud)
    power = float(moments.ff[rest].sum() / max(moments.n[rest].sum(), 1))
    if power == 0:
        return None
    db = level_db(power, min(step * step / 12, power))
    if db >= POOR_DB:
        return None
    return Outlier(at, tuple(loud.tolist()), float(peaks.max()), median, db, step)


def _run(context: CheckContext) -> Iterator[Finding]:
    if not is_doubtful(context):
        return
    yield from _in_weights(context)
    tried = find_outliers(context)[:TRIED]
    gains = gains_of(context, [free(context, [item.at]) for item in tried])
    for item, gain in zip(tried, gains, strict=True):
        status = status_of(context, gain)
        if status == "info":
            continue
        layer = context.layers[item.at]
        which = name_channels(item.channels)
        moments = context.stats[item.at].accumulated
        assert moments is not None
        yield CHECK.found(
            status,
            f"{layer.name}: channel {which} reaches {item.peak:.3g}, the others {item.median:.3g}",
            f"One scale serves all channels: a step of {item.step:.3g} is set by channel {which} "
            f"and leaves {item.rest_db:.1f} dB of the other {len(moments) - len(item.channels)} "
            f"channels. Layers after it only show the damage.",
            f"Equalize `{layer.name}` with the layer after it (divide these channels of its weight "
            "and bias, multiply the matching inputs of the next), or give this tensor 16 bits, or "
            "keep it in float.",
            layers=[item.at],
            evidence=[
                _channel_bars(moments),
                *gain_evidence(context, gain),
                *keep_in_float(float_layers(context, [item.at]), context.vendor),
            ],
            gain_db=rounded(gain),
            confidence="high",
        )


def _channel_bars(moments: Moments) -> Evidence:
    peaks = np.maximum(np.abs(moments.min_f), np.abs(moments.max_f))
    order = np.argsort(-peaks, kind="stable")[:24]
    data = {
        "labels": [f"channel {index}" for index in order],
        "values": [float(f"{peaks[index]:.4g}") for index in order],
        "unit": "",
    }
    return Evidence("bars", "Largest magnitude of the channels", data)


def _in_weights(context: CheckContext) -> Iterator[Finding]:
    found = context.once(weight_outliers)
    if not found:
        return
    layers = context.once(layers_of_nodes)
    gain = gain_of(context, Change(weights=frozenset(pair.node for pair, _, _ in found)))
    status = status_of(context, gain)
    if status == "info":
        return
    graph = context.float_graph
    rows = [
        [graph.nodes[pair.node].label, name_channels(loud), round(db, 1)]
        for pair, loud, db in found
    ]
    columns = ["layer", "channels that set the scale", "SQNR of the others, dB"]
    yield CHECK.found(
        status,
        f"{len(found)} layers have one weight scale where every channel needs its own",
        f"In {rows[0][0]} channel {rows[0][1]} sets the scale; the others keep {rows[0][2]} dB.",
        "Quantize weights per channel (`per_channel=True` in ONNX Runtime), or equalize.",
        layers=[layers[pair.node] for pair, _, _ in found if pair.node in layers],
        evidence=[
            Evidence("table", "Weights with outlier channels", {"columns": columns, "rows": rows}),
            *gain_evidence(context, gain),
            *weights_per_channel(context.vendor),
        ],
        gain_db=rounded(gain),
        confidence="high",
    )


CHECK = Check(KINDS["outlier-channel"], _run)
