"""From pairs and their statistics to the layers, outputs and arrays of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qdebug.analysis.ceiling import Ceiling
from qdebug.capture.deployed import DeployedOutputs
from qdebug.capture.state import (
    SILENT_SHARE,
    all_error_metrics,
    classify,
    local_error,
    worst_channels,
)
from qdebug.capture.stats import LayerStats, Range
from qdebug.graph.model import Graph
from qdebug.graph.pairs import Pair, Pairing, Quantizer, WeightPair
from qdebug.graph.walk import walk
from qdebug.metrics.metric import sqnr_db
from qdebug.metrics.moments import Moments, measure
from qdebug.run.arrays import BINS, RunArrays
from qdebug.run.model import (
    ErrorMetrics,
    Layer,
    LocalError,
    OutputResult,
    QuantInfo,
    SampleInfo,
    TensorRange,
    WeightError,
    WorstChannel,
)

KEPT_CHANNELS = 16
_NO_ROWS = Moments.empty(0).table
INPUT = "Input"
"""Operator name of the layers that stand for the models' inputs."""


def make_layers(
    float_graph: Graph,
    pairing: Pairing,
    stats: Sequence[LayerStats],
    samples: Sequence[SampleInfo],
) -> list[Layer]:
    """One layer a pair, in execution order."""
    upstream = _neighbours(float_graph, pairing.pairs)
    downstream: dict[int, list[int]] = {}
    for at, sources in enumerate(upstream):
        for source in sources:
            downstream.setdefault(source, []).append(at)
    weights = _weight_errors(pairing.weights)
    accumulated = _metrics_of([stat.accumulated for stat in stats])
    local = _metrics_of([stat.local for stat in stats])
    worst = _worst_channels([stat.accumulated for stat in stats], KEPT_CHANNELS)
    layers = []
    for at, (pair, stat) in enumerate(zip(pairing.pairs, stats, strict=True)):
        node = float_graph.producer.get(pair.float_tensor)
        layers.append(
            Layer(
                index=at,
                name=node.label if node else pair.float_tensor,
                op=node.op if node else INPUT,
                float_tensor=pair.float_tensor,
                quant_tensor=pair.read,
                shape=stat.shape,
                paired_by=pair.paired_by,
                quant=_quant_info(pair.quantizer),
                weight=weights.get(node.index) if node is not None else None,
                inputs=tuple(upstream[at]),
                outputs=tuple(downstream.get(at, ())),
                accumulated=accumulated[at],
                local=_local(stat, local[at]),
                **_numbers(stat, samples, worst[at]),  # type: ignore[arg-type]
            )
        )
    return layers


def _metrics_of(many: Sequence[Moments | None]) -> list[ErrorMetrics | None]:
    """The metrics of many layers, in one go; None where nothing was measured."""
    found = iter(all_error_metrics([moments for moments in many if moments is not None]))
    return [None if moments is None else next(found) for moments in many]


def _worst_channels(many: Sequence[Moments | None], count: int) -> list[tuple[WorstChannel, ...]]:
    """The worst channels of many tensors, in one go; none where there are no channels."""
    chosen = [moments for moments in many if moments is not None and len(moments) > 1]
    found = iter(worst_channels(chosen, count))
    return [next(found) if moments is not None and len(moments) > 1 else () for moments in many]


def _local(stat: LayerStats, metrics: ErrorMetrics | None) -> LocalError | None:
    if stat.accumulated is None or stat.local is None or metrics is None:
        return None
    return local_error(stat.local, stat.local_clipped_ee, metrics)


def _numbers(
    stat: LayerStats, samples: Sequence[SampleInfo], channels: tuple[WorstChannel, ...]
) -> dict[str, object]:
    """The measured fields of a layer that are no metrics."""
    moments = stat.accumulated
    if moments is None:
        reason = stat.mismatch or "the tensor holds nothing"
        empty = ("sensitivity", "clipped", "codes_used")
        unknown = dict.fromkeys((*empty, "worst_channel", "worst_sample"))
        return {**unknown, "state": "not_compared", "reason": reason}
    total = moments.total()
    state, reason_or_none = classify(moments, stat.range.step if stat.range else None)
    by_sample = _by_sample(stat.per_sample)
    return {
        "sensitivity": None,
        "clipped": stat.clipped / max(float(total.n[0]), 1) if stat.range else None,
        "codes_used": int(stat.codes.sum()) if stat.range else None,
        "codes_total": stat.range.codes if stat.range else None,
        "worst_channel": channels[0] if channels else None,
        "worst_channels": channels,
        "channel_axis": stat.channel_axis if len(moments) > 1 else None,
        "worst_sample": _worst_sample(stat.per_sample, by_sample, samples),
        "sample_sqnr_db": tuple(by_sample),
        "range_float": _range(total.min_f, total.max_f),
        "range_quant": _range(total.min_q, total.max_q),
        "state": state,
        "reason": reason_or_none or _lengths(stat),
    }


def _by_sample(parts: Sequence[Moments]) -> list[float]:
    if not parts:
        return []
    found: list[float] = sqnr_db(Moments(np.concatenate([m.table for m in parts]))).tolist()
    return found


def _lengths(stat: LayerStats) -> str | None:
    """That only the common part of a tensor was compared."""
    if stat.lengths is None:
        return None
    f, q = stat.lengths
    return f"length {f} in float and {q} in quant: the first {min(f, q)} are compared"


def _worst_sample(
    moments: Sequence[Moments], by_sample: Sequence[float], samples: Sequence[SampleInfo]
) -> str | None:
    """Name of the sample of lowest SQNR, among those that carry a signal."""
    peaks = [max(abs(float(m.min_f[0])), abs(float(m.max_f[0]))) for m in moments]
    floor = SILENT_SHARE * max((p for p in peaks if np.isfinite(p)), default=0.0)
    usable = [i for i, peak in enumerate(peaks) if peak >= floor]
    if not usable:
        return None
    return samples[min(usable, key=lambda i: by_sample[i])].name


def make_outputs(
    float_graph: Graph,
    layers: Sequence[Layer],
    pairing: Pairing,
    deployed: DeployedOutputs | None,
    ceiling: Ceiling | None = None,
) -> list[OutputResult]:
    """The result at each output of the float model."""
    by_tensor = {layer.float_tensor: layer for layer in layers}
    reasons = {item.tensor: item.reason for item in pairing.unpaired_float}
    results = []
    for name in float_graph.outputs:
        layer = by_tensor.get(name)
        results.append(
            OutputResult(
                name=name,
                accumulated=layer.accumulated if layer else None,
                state=layer.state if layer else "not_compared",
                deployed=deployed.deployed(name) if deployed else None,
                runtime=deployed.runtime(name) if deployed else None,
                ceiling=ceiling.metrics(name) if ceiling else None,
                layer=layer.index if layer else None,
                worst_channel=layer.worst_channel if layer else None,
                worst_sample=layer.worst_sample if layer else None,
                reason=layer.reason if layer else reasons.get(name, "it has no counterpart"),
            )
        )
    return results


def make_arrays(stats: Sequence[LayerStats]) -> RunArrays:
    """Histograms and per-channel numbers of all layers."""
    filled = [(i, s.histogram) for i, s in enumerate(stats) if s.histogram.width > 0]
    known = [stat.accumulated for stat in stats]
    channels = [m.table if m is not None and len(m) > 1 else _NO_ROWS for m in known]
    every = Moments(np.concatenate([_NO_ROWS, *channels]))
    absmax = np.maximum(np.abs(every.min_f), np.abs(every.max_f))
    ranges = np.array([h.range for _, h in filled], np.float64).reshape(-1, 2)
    return RunArrays(
        hist_layers=np.array([i for i, _ in filled], np.int32),
        hist_range=ranges,
        hist_float=np.array([h.float for _, h in filled], np.uint32).reshape(-1, BINS),
        hist_quant=np.array([h.quant for _, h in filled], np.uint32).reshape(-1, BINS),
        channel_offsets=np.cumsum([0, *map(len, channels)]).astype(np.int64),
        channel_sqnr_db=sqnr_db(every).astype(np.float32),
        channel_absmax=absmax.astype(np.float32),
    )


def _quant_info(quantizer: Quantizer | None) -> QuantInfo | None:
    if quantizer is None:
        return None
    scales = quantizer.scale.reshape(-1).astype(float).tolist()
    zeros = quantizer.zero_point.reshape(-1).astype(int).tolist()
    limits = Range.of(quantizer)
    if limits is not None:
        return QuantInfo(quantizer.dtype, scales[0], zeros[0], None, (limits.low, limits.high))
    if len(scales) == 1:
        return QuantInfo(quantizer.dtype, scales[0], zeros[0])
    ends = [
        (end - z) * s
        for s, z in zip(scales, zeros, strict=True)
        for end in (quantizer.low, quantizer.high)
    ]
    return QuantInfo(
        quantizer.dtype, tuple(scales), tuple(zeros), quantizer.axis, (min(ends), max(ends))
    )


def _weight_errors(pairs: Sequence[WeightPair]) -> dict[int, WeightError]:
    """The error of each weight, by index of the float node that reads it."""
    pairs = [pair for pair in pairs if pair.role == "weight"]
    shapes, many = zip(*map(_weight_moments, pairs), strict=True) if pairs else ((), ())
    metrics, worst = all_error_metrics(many), _worst_channels(many, 1)
    return {
        pair.node: WeightError(
            tensor=pair.float_tensor,
            quant_tensor=pair.quant_tensor,
            shape=shape,
            dtype=pair.quantizer.dtype if pair.quantizer else "float32",
            per_channel=pair.quantizer is not None and pair.quantizer.scale.size > 1,
            sqnr_db=found.sqnr_db,
            cosine=found.cosine,
            worst_channel=channels[0] if channels else None,
        )
        for pair, shape, found, channels in zip(pairs, shapes, metrics, worst, strict=True)
    }


def _weight_moments(pair: WeightPair) -> tuple[tuple[int, ...], Moments]:
    """The shape and the moments of a weight, whose values are read once for both."""
    reference = np.ascontiguousarray(pair.reference, np.float32)
    test = np.ascontiguousarray(pair.quant_value, np.float32)
    axis = pair.channel_axis if reference.ndim > 1 else None
    return reference.shape, measure(reference, test, axis)


def _range(low: np.ndarray, high: np.ndarray) -> TensorRange | None:
    if low[0] > high[0]:
        return None
    return TensorRange(float(low[0]), float(high[0]))


def _neighbours(graph: Graph, pairs: Sequence[Pair]) -> list[list[int]]:
    """Positions of the nearest pairs upstream of each pair."""
    source: Mapping[str, int] = {pair.float_tensor: at for at, pair in enumerate(pairs)}
    found: list[list[int]] = []

    def before(tensor: str) -> tuple[str, ...]:
        return () if tensor in source else graph.sources(tensor)

    for pair in pairs:
        reached = walk(graph.sources(pair.float_tensor), before)
        found.append(sorted({source[tensor] for tensor in reached if tensor in source}))
    return found
